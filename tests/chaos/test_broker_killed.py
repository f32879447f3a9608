"""A broker that is killed while a transaction is open, and comes back when its time is up (rule 33)."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from confluent_kafka.admin import NewTopic

from streams.errors import BrokerError
from streams.kafka.clients import Clients
from streams.kafka.offsets import TopicAndPartition, ends, stable_ends
from streams.localbroker import embedded
from tests.support.processes import descendants
from tests.support.workers import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

HERE: TopicAndPartition = ("killed", 0)
TIMEOUT = 10.0
ENDED_WITHIN = 45.0
"""s after the broker is back: the time-out is over, it looks every 10 s, and starts to look when it has loaded its state."""


def nothing(*_: object) -> None:
    """For callbacks that a test has no use for."""


def test_a_killed_broker_ends_what_was_open(tmp_path: Path) -> None:
    """What lies behind the transaction is readable again: the abort's marker is written, and not just noted."""
    folder = tmp_path / "broker"
    before = descendants(os.getpid())
    with embedded.start(folder) as broker:
        new = {pid: words for pid, words in descendants(os.getpid()).items() if pid not in before}
        [java] = [pid for pid, words in new.items() if words.split()[0].endswith("java")]
        open_one(Clients(broker.address))
        os.kill(java, signal.SIGKILL)
    time.sleep(TIMEOUT)  # what is tried is this very time
    with embedded.start(folder) as broker:
        admin = Clients(broker.address).admin()
        until(
            lambda: stable_ends(admin, [HERE]) == ends(admin, [HERE]),
            "the transaction hangs",
            seconds=ENDED_WITHIN,
            despite=BrokerError,
        )
        assert ends(admin, [HERE])[HERE] == 4  # a record and its commit, a record and its abort


def open_one(clients: Clients) -> None:
    """A transaction that was committed, and one that stays open."""
    admin = clients.admin()
    [made] = admin.client.create_topics([NewTopic(HERE[0], 1, 1)]).values()
    made.result(20)
    producer = clients.transactional_producer("killed", "killed", nothing, timeout=TIMEOUT)
    producer.init_transactions(20)
    producer.begin_transaction()
    producer.produce(HERE[0], b"a", partition=HERE[1])
    producer.commit_transaction(20)
    producer.begin_transaction()
    producer.produce(HERE[0], b"b", partition=HERE[1])
    assert producer.flush(20) == 0
    assert stable_ends(admin, [HERE])[HERE] < ends(admin, [HERE])[HERE]
