"""A broker that stands still for longer than sessions and transactions last, and goes on."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer, TopicPartition

from processors.events import UserSignup
from streams.errors import BrokerError
from streams.kafka.offsets import ends
from streams.kafka.topics import ensure, group_of, topic_names
from streams.localbroker import embedded
from tests.support.processes import Process, broker_began, catches, descendants, retold, stand_still
from tests.support.site import PARTITIONS, SPACES, Site
from tests.support.workers import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

STALL = 35
"""s: at 30, its leaders' epochs change as well, and clients hear that theirs are too old."""


@pytest.fixture
def stalling(tmp_path: Path) -> Iterator[tuple[Site, int]]:
    """An installation on a broker of its own, and that broker's process."""
    before = descendants(os.getpid())
    with embedded.start(tmp_path / "broker") as broker:
        java = broker_began(before)
        yield Site.make(broker.address, tmp_path, "stall.", DEMO_REMINDERS="off"), java


def sign_up(site: Site, users: range) -> None:
    for user in users:
        site.foreign.publish(UserSignup(user=str(user), email=f"{user}@example.org"), ce_id=f"signup-{user}")


def test_a_worker_goes_on_when_its_broker_does(stalling: tuple[Site, int]) -> None:
    """Whatever it was about to do: each sign-up is handled once, with its folder and mail, and no table is found empty."""
    site, java = stalling
    with site.start("worker") as worker:
        site.wait_until_owned()
        sign_up(site, range(50))
        stand_still(java)
        try:
            time.sleep(STALL)  # what is tried is this very time
        finally:
            os.kill(java, signal.SIGCONT)
        wait_until_handled(site, 50, "what came before was not handled")
        sign_up(site, range(50, 100))
        wait_until_handled(site, 100, "what came afterwards was not handled")
        assert worker.process.poll() is None
        assert "has ended" not in site.said()
    done = retold("get", "user", "7", env=site.env)
    assert (done.returncode, "7@example.org" in done.stdout) == (0, True)


def test_a_worker_goes_on_each_time_that_its_broker_does(stalling: tuple[Site, int]) -> None:
    """Though each time other clients are left with connections that nobody serves (rule 35)."""
    site, java = stalling
    with site.start("worker") as worker:
        site.wait_until_owned()
        sign_up(site, range(20))
        wait_until_handled(site, 20, "it does not handle")
        for count in (40, 60, 80):
            sign_up(site, range(count - 20, count - 10))
            stand_still(java)
            try:
                time.sleep(20)  # what is tried is this very time: longer than any session or transaction lasts
            finally:
                os.kill(java, signal.SIGCONT)
            sign_up(site, range(count - 10, count))
            # It takes 2 to 8 s, and 20 s more for each producer that is lost meanwhile; what this guards against takes for ever.
            wait_until_handled(site, count, "it does not go on")
        assert worker.process.poll() is None


def wait_until_handled(site: Site, count: int, what: str) -> None:
    """A broker that has just gone on, on a busy machine, may not answer within a request's time-out yet."""
    expected = {"user": count, "folder": count, "email": 2 * count}
    until(lambda: site.accepted() == expected, what, despite=BrokerError)


def test_an_offset_that_a_slow_broker_leaves_out_is_none(stalling: tuple[Site, int]) -> None:
    """The client says -1001 and no error: taken for the end of a table, a full one would be read as empty."""
    site, java = stalling
    admin, prefix = site.foreign.clients.admin(), site.foreign.config.prefix
    ensure(admin, site.foreign.config, ["user"])
    partitions = [(topic_names(prefix, "user").inbox, partition) for partition in range(PARTITIONS)]
    sign_up(site, range(10))
    known = ends(admin, partitions)
    assert sum(known.values()) == 10
    stand_still(java)
    try:
        with pytest.raises(BrokerError, match=r"the offsets of stall\.user-. are not known"):
            ends(admin, partitions, timeout=1.0)
    finally:
        os.kill(java, signal.SIGCONT)
    until(lambda: ends(admin, partitions) == known, "the ends are not known again", despite=BrokerError)


def test_a_worker_that_is_told_to_stop_does_not_wait_for_its_broker(stalling: tuple[Site, int]) -> None:
    """Neither in a restore, here one that waits for a transaction, nor while it leaves its group (rule 35)."""
    site, java = stalling
    ensure(site.foreign.clients.admin(), site.foreign.config, SPACES)
    dead = transaction_of_a_dead_worker(site)
    worker = site.start("worker")
    site.wait_until_owned()
    until(lambda: "__consumer_offsets-" in site.said(), "it is not reported")
    told_to_stop(worker, java)
    del dead


def test_a_worker_that_is_told_to_stop_gives_up_a_commit(stalling: tuple[Site, int]) -> None:
    """Sending a transaction's offsets alone holds librdkafka for 8 s, whatever time it is given."""
    site, java = stalling
    worker = site.start("worker")
    site.wait_until_owned()
    sign_up(site, range(20))
    wait_until_handled(site, 20, "it does not handle")
    producer = site.foreign.clients.producer()
    topic = topic_names(site.foreign.config.prefix, "user").inbox
    for user in range(20, 2000):
        data = UserSignup(user=str(user), email=f"{user}@example.org")
        producer.produce(topic, site.foreign.codec.encode(data), data.key.encode())
    producer.flush(30)
    told_to_stop(worker, java)


def told_to_stop(worker: Process, java: int) -> None:
    """While its broker stands still."""
    stand_still(java)
    try:
        worker.process.send_signal(signal.SIGTERM)
        assert worker.ended(5) == 0
    finally:
        os.kill(java, signal.SIGCONT)
        worker.stop(signal.SIGKILL)


def transaction_of_a_dead_worker(site: Site) -> Producer:
    """Open, and with an offset of the namespace `user`: it stays so for longer than the test takes."""
    clients, inbox = site.foreign.clients, topic_names(site.foreign.config.prefix, "user").inbox
    member = clients.group_consumer(group_of(site.foreign.config.prefix, "user"), "dead")
    assigned: list[TopicPartition] = []
    member.subscribe([inbox], on_assign=lambda _, partitions: assigned.extend(partitions))
    until(lambda: member.poll(0.1) is None and len(assigned) == PARTITIONS, "nothing was assigned")
    producer = clients.transactional_producer("dead", "dead", lambda *_: None, timeout=300.0)
    producer.init_transactions(20)
    producer.begin_transaction()
    producer.send_offsets_to_transaction([TopicPartition(inbox, 0, 3)], member.consumer_group_metadata(), 20)
    member.close()
    return producer


def test_a_second_ctrl_c_ends_a_worker_whose_broker_stands_still(stalling: tuple[Site, int]) -> None:
    """The first one finishes what was begun, and waits seconds for a broker that is away."""
    site, java = stalling
    worker = site.start("worker")
    site.wait_until_owned()
    sign_up(site, range(5))
    stand_still(java)
    try:
        worker.process.send_signal(signal.SIGINT)
        until(lambda: "Ctrl-C again" in site.said(), "the first Ctrl-C was not heard")
        if worker.process.poll() is None:
            worker.process.send_signal(signal.SIGINT)
        assert Process.ended(worker, 5) == 130
    finally:
        os.kill(java, signal.SIGCONT)


@pytest.mark.parametrize("command", ["worker", "server"])
def test_a_command_that_is_told_to_stop_while_it_starts_does_not_wait_for_its_broker(
    stalling: tuple[Site, int], command: str
) -> None:
    """Before it is ready it asks the broker for much, one thing after the other."""
    site, java = stalling
    stand_still(java)
    try:
        with site.start(command) as starting:
            until(lambda: catches(starting.process.pid, signal.SIGTERM), "it does not listen to signals")
            time.sleep(1)  # what is tried is a command that waits for its first answer
            starting.process.send_signal(signal.SIGTERM)
            assert starting.ended(5) == 0
    finally:
        os.kill(java, signal.SIGCONT)
