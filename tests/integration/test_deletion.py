"""Deleting an application's topics from a broker that other applications use, too."""

from __future__ import annotations

from contextlib import closing

from confluent_kafka import KafkaException, TopicPartition

from streams.config import Config
from streams.history.correction.correction_calls import OPEN, CorrectionCall
from streams.history.correction.correction_plan import StoredChange
from streams.history.difference.difference import NOT
from streams.kafka.clients import Clients
from streams.kafka.correction_calls_topic import read_calls, write_calls
from streams.kafka.corrections_topic import APPLIED, CorrectionState, read_claims, write_correction
from streams.kafka.deletion import Deletion, delete_all, forget_corrections
from streams.kafka.owners import group_exists
from streams.kafka.topics import corrections_topic, ensure, group_of, schemas_topic, tasks_topic, topic_names
from tests.support.workers import until


def handle(clients: Clients, prefix: str, namespace: str) -> None:
    """Leave what a worker leaves: its group. Kafka makes its own topic of groups with the first one."""
    at = TopicPartition(topic_names(prefix, namespace).inbox, 0, 0)
    with closing(clients.asking_consumer(group_of(prefix, namespace))) as worker:
        until(
            lambda: bool(worker.commit(offsets=[at], asynchronous=False)), "the group has no coordinator", despite=KafkaException
        )


def kept(clients: Clients, prefix: str, application: str) -> tuple[list[str], list[str]]:
    """The corrections and the calls of an application that the topic has."""
    states = read_claims(clients, prefix, application).states
    return [it.correction for it in states], list(read_calls(clients, prefix, application))


def test_what_other_applications_keep_under_the_same_prefix_stays(config: Config, clients: Clients) -> None:
    """Their corrections are nowhere else. Our own go: they are of a log that is not there any more."""
    admin, prefix = clients.admin(), config.prefix
    ensure(admin, config, ["user", "order"])
    handle(clients, prefix, "user")
    handle(clients, prefix, "order")
    for application in ("signup", "shop"):
        change = StoredChange((), ("e1",))
        write_correction(
            clients, prefix, CorrectionState(application, f"c-{application}", 1, "ann", "typo", change, APPLIED, 5, 6)
        )
        call = CorrectionCall(application, f"c-{application}", f"r-{application}", NOT, "email.send", "u1", "e2", OPEN)
        write_calls(clients, prefix, [call])
    assert delete_all(admin, prefix, ["user"]) == Deletion(sorted(topic_names(prefix, "user")[1:]), ["order"])
    assert [group_exists(admin, group_of(prefix, it)) for it in ("user", "order")] == [False, True]
    forget_corrections(clients, prefix, "signup")
    assert kept(clients, prefix, "signup") == ([], [])
    assert kept(clients, prefix, "shop") == (["c-shop"], ["r-shop"])
    shared = {schemas_topic(prefix), tasks_topic(prefix), corrections_topic(prefix)}
    last = delete_all(admin, prefix, ["order"])
    assert (set(last.topics), last.others) == (shared | {*topic_names(prefix, "order")[1:]}, [])
