"""What restores a namespace's partitions: its engine, and what reads its topics."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from confluent_kafka import murmur2

from streams.app import App
from streams.code_digest import code_of
from streams.codec import AvroCodec
from streams.config import Config
from streams.engine.engine import Engine
from streams.engine.event_handlers import MOST_AHEAD, Inbox, Limits
from streams.errors import TopicMismatch
from streams.kafka.cancellable_steps import Cancelled, never_cancelled
from streams.kafka.clients import Clients
from streams.kafka.committed import CommittedOffsets
from streams.kafka.corrections_topic import read_corrections
from streams.kafka.deleted_records import accepted_starts
from streams.kafka.schemas_topic import add_schemas, all_schemas
from streams.kafka.topics import TopicInfo, describe, group_of, topic_names
from streams.worker.code_here import CodeHere
from streams.worker.generation_restore import LastCorrection
from streams.worker.restore import Restorer
from streams.worker.restore_checks import RestoreChecks
from streams.worker.standby import Standby

FETCH_WAIT = 0.5
"""s that a fetch waits for records of copies, when there are none."""
AHEAD = 4_096
"""kB of a partition that the consumer of copies holds at most."""


def described_restorer(app: App, config: Config, clients: Clients, codec: AvroCodec, namespace: str) -> Restorer:
    """Raises TopicMismatch if a topic is missing, and BrokerError."""
    admin, topics = clients.admin(), topic_names(config.prefix, namespace)
    described = describe(admin, sorted(topics[1:]))
    if missing := [topic for topic in topics[1:] if topic not in described]:
        raise TopicMismatch(f"the topic {missing[0]} is missing, so {namespace} has no state that could be restored")
    return restorer_of(app, config, clients, codec, namespace, described)


def restorer_of(
    app: App, config: Config, clients: Clients, codec: AvroCodec, namespace: str, described: Mapping[str, TopicInfo]
) -> Restorer:
    """`described` are the namespace's topics; others may be among them."""
    admin = clients.admin()
    topics, group = topic_names(config.prefix, namespace), group_of(config.prefix, namespace)
    topic_ids = {topic: it.id for topic, it in described.items() if topic in topics[1:]}
    count = described[topics.inbox].partitions
    engine = Engine(
        app,
        namespace,
        codec,
        limits=Limits(config.max_event_bytes, config.max_event_bytes, config.duplicate_window, MOST_AHEAD),
        inbox=Inbox(topics.inbox, topic_ids[topics.inbox], lambda key: int(murmur2(key, count))),
    )
    committed = partial(CommittedOffsets, partial(clients.asking_consumer, group), admin, topics.inbox)
    learn = partial(learn_schemas_of, clients, config.prefix, codec)
    checks = RestoreChecks(topics, app.name, topic_ids, count, accepted_starts(config.accepted_starts))
    last = partial(last_correction_of, clients, config.prefix, app.name)
    code = CodeHere(code_of(app, codec), namespace, engine.generation)
    return Restorer(clients.consumer, committed, admin, topics, group, engine, checks, learn, last, code)


def standby_of(clients: Clients, restorer: Restorer) -> Standby:
    """Copies that this restorer restores from. They share one consumer, which holds only a little ahead."""
    consumer = partial(clients.consumer, "retold-standby", fetch_wait=FETCH_WAIT, ahead=AHEAD)
    return Standby(consumer, restorer.admin, restorer.checks.partitions, restorer.empty, restorer.learn)


def last_correction_of(clients: Clients, prefix: str, application: str) -> LastCorrection:
    """To be read behind the marker: whoever applies a correction has each partition handle something before its end.

    So one that is not known here meets workers of this generation. Raises BrokerError.
    """
    it = next(reversed(read_corrections(clients, prefix, application)), None)
    return LastCorrection() if it is None else LastCorrection(it.number, it.correction, it.by)


def learn_schemas_of(clients: Clients, prefix: str, codec: AvroCodec, cancelled: Cancelled = never_cancelled) -> None:
    """Add every published schema, so that records with a newer schema can be restored. Raises BrokerError."""
    add_schemas(codec.add_schema, all_schemas(clients, prefix, cancelled=cancelled))
