"""Assembles what builds the rows of a namespace's generation from settings, topics, codec and engine."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

from streams.app import App
from streams.codec import AvroCodec
from streams.config import Config
from streams.engine.fold import CorrectedRows
from streams.kafka.clients import Clients
from streams.kafka.named_producer import completion_of, named_producer
from streams.kafka.open_transactions import worker_ids
from streams.worker.partition_restore import described_restorer, learn_schemas_of
from streams.worker.row_builder import NOTHING_ACCEPTED, Accepted, BuilderParts, RowBuilder

TIMEOUT = 10.0
"""s that a transaction of a builder that was killed holds up readers of its table, unless somebody ends it."""
NOTHING: Mapping[int, CorrectedRows] = MappingProxyType({})
AHEAD = 16_384
"""kB of a partition that its consumer holds at most."""


def builder_of(  # noqa: PLR0913 - what it uses of its process, and what is built
    app: App, config: Config, clients: Clients, codec: AvroCodec, namespace: str, code: str, accepted: Accepted = NOTHING_ACCEPTED,
    corrected: Mapping[int, CorrectedRows] = NOTHING, corrections: int = 0,
) -> RowBuilder:  # fmt: skip
    """`code` is a digest of the code that builds; `corrected` has by partition the rows that corrections reach.

    The last of these has the number `corrections`.

    Raises TopicMismatch if a topic is missing, and BrokerError.
    """
    learn_schemas_of(clients, config.prefix, codec)
    restorer = described_restorer(app, config, clients, codec, namespace)
    name = f"{worker_ids(config.prefix, app.name, namespace)}+rebuild"
    """No instance has such a name. Workers end what it leaves open, as they do for each other."""

    written = [(restorer.names.table, number) for number in range(restorer.checks.partitions)]
    complete = completion_of(clients, restorer.admin, config.prefix, namespace, written)
    producer = named_producer(clients, name, restorer.names.table, timeout=TIMEOUT, complete=complete)
    consumer = partial(clients.consumer, "retold-rebuild", ahead=AHEAD)
    parts = BuilderParts(
        restorer.engine, restorer.names, restorer.checks.partitions, consumer, restorer.admin, producer, code, accepted, corrected,
        corrections,
    )  # fmt: skip
    return RowBuilder(parts)
