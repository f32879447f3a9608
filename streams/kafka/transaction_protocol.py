"""Four requests of Kafka's protocol that confluent-kafka 2.16 does not have: active producers, their transactions, and their ends.

As in Kafka's own message definitions (DescribeProducers 61, DescribeTransactions 65 and ListTransactions 66, each in version
0, and WriteTxnMarkers 27 in version 1), for aiokafka's connections.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Boolean, CompactArray, CompactString, Int16, Int32, Int64, Schema, TaggedFields

TEXT, TAGS = CompactString("utf-8"), ("tags", TaggedFields)


class DescribeProducersResponseV0(Response):
    API_KEY, API_VERSION = 61, 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("topics", CompactArray(
            ("name", TEXT),
            ("partitions", CompactArray(
                ("partition_index", Int32),
                ("error_code", Int16),
                ("error_message", TEXT),
                ("active_producers", CompactArray(
                    ("producer_id", Int64),
                    ("producer_epoch", Int32),
                    ("last_sequence", Int32),
                    ("last_timestamp", Int64),
                    ("coordinator_epoch", Int32),
                    ("current_txn_start_offset", Int64),
                    TAGS,
                )),
                TAGS,
            )),
            TAGS,
        )),
        TAGS,
    )  # fmt: skip


class DescribeProducersRequestV0(RequestStruct):
    API_KEY, API_VERSION, FLEXIBLE_VERSION = 61, 0, True
    RESPONSE_TYPE = DescribeProducersResponseV0
    SCHEMA = Schema(("topics", CompactArray(("name", TEXT), ("partitions", CompactArray(Int32)), TAGS)), TAGS)


class DescribeProducers(Request[DescribeProducersRequestV0]):
    """Sent to a partition's leader: the producers with state there; a start offset of -1 means no open transaction."""

    API_KEY = 61

    def __init__(self, topic: str, partition: int) -> None:
        self._topic, self._partition = topic, partition

    def build(self, struct: type[DescribeProducersRequestV0]) -> DescribeProducersRequestV0:
        return struct([(self._topic, [self._partition], {})], {})


class DescribeTransactionsResponseV0(Response):
    API_KEY, API_VERSION = 65, 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("transaction_states", CompactArray(
            ("error_code", Int16),
            ("transactional_id", TEXT),
            ("transaction_state", TEXT),
            ("transaction_timeout_ms", Int32),
            ("transaction_start_time_ms", Int64),
            ("producer_id", Int64),
            ("producer_epoch", Int16),
            ("topics", CompactArray(("topic", TEXT), ("partitions", CompactArray(Int32)), TAGS)),
            TAGS,
        )),
        TAGS,
    )  # fmt: skip


class DescribeTransactionsRequestV0(RequestStruct):
    API_KEY, API_VERSION, FLEXIBLE_VERSION = 65, 0, True
    RESPONSE_TYPE = DescribeTransactionsResponseV0
    SCHEMA = Schema(("transactional_ids", CompactArray(TEXT)), TAGS)


class DescribeTransactions(Request[DescribeTransactionsRequestV0]):
    """Sent to the coordinator of these transactional ids."""

    API_KEY = 65

    def __init__(self, transactional_ids: Sequence[str]) -> None:
        self._ids = list(transactional_ids)

    def build(self, struct: type[DescribeTransactionsRequestV0]) -> DescribeTransactionsRequestV0:
        return struct(self._ids, {})


class ListTransactionsResponseV0(Response):
    API_KEY, API_VERSION = 66, 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("unknown_state_filters", CompactArray(TEXT)),
        ("transaction_states", CompactArray(
            ("transactional_id", TEXT),
            ("producer_id", Int64),
            ("transaction_state", TEXT),
            TAGS,
        )),
        TAGS,
    )  # fmt: skip


class ListTransactionsRequestV0(RequestStruct):
    API_KEY, API_VERSION, FLEXIBLE_VERSION = 66, 0, True
    RESPONSE_TYPE = ListTransactionsResponseV0
    SCHEMA = Schema(("state_filters", CompactArray(TEXT)), ("producer_id_filters", CompactArray(Int64)), TAGS)


class ListTransactions(Request[ListTransactionsRequestV0]):
    """Sent to every broker: each lists the transactional ids of these producers that it coordinates, and that we may see."""

    API_KEY = 66

    def __init__(self, producer_ids: Sequence[int]) -> None:
        self._ids = list(producer_ids)

    def build(self, struct: type[ListTransactionsRequestV0]) -> ListTransactionsRequestV0:
        return struct([], self._ids, {})


class WriteTxnMarkersResponseV1(Response):
    API_KEY, API_VERSION = 27, 1
    SCHEMA = Schema(
        ("markers", CompactArray(
            ("producer_id", Int64),
            ("topics", CompactArray(
                ("name", TEXT),
                ("partitions", CompactArray(("partition_index", Int32), ("error_code", Int16), TAGS)),
                TAGS,
            )),
            TAGS,
        )),
        TAGS,
    )  # fmt: skip


class WriteTxnMarkersRequestV1(RequestStruct):
    API_KEY, API_VERSION, FLEXIBLE_VERSION = 27, 1, True
    RESPONSE_TYPE = WriteTxnMarkersResponseV1
    SCHEMA = Schema(
        ("markers", CompactArray(
            ("producer_id", Int64),
            ("producer_epoch", Int16),
            ("transaction_result", Boolean),
            ("topics", CompactArray(("name", TEXT), ("partition_indexes", CompactArray(Int32)), TAGS)),
            ("coordinator_epoch", Int32),
            TAGS,
        )),
        TAGS,
    )  # fmt: skip


class WriteEnds(Request[WriteTxnMarkersRequestV1]):
    """Sent to the leader of these partitions, by topic: it ends the producer's transaction there, as committed or aborted."""

    API_KEY = 27

    def __init__(
        self, producer: tuple[int, int, int], partitions: Mapping[str, Sequence[int]], *, committed: bool
    ) -> None:
        """`producer`: its id, its epoch, and that of its coordinator."""
        self._producer, self._partitions, self._committed = producer, partitions, committed

    def build(self, struct: type[WriteTxnMarkersRequestV1]) -> WriteTxnMarkersRequestV1:
        number, epoch, coordinator_epoch = self._producer
        topics: list[tuple[str, list[int], dict[int, bytes]]] = [
            (topic, list(partitions), {}) for topic, partitions in self._partitions.items()
        ]
        return struct([(number, epoch, self._committed, topics, coordinator_epoch, {})], {})


def plain(response: Any) -> dict[str, Any]:
    """A response's fields by name, including those of nested structures."""
    found: dict[str, Any] = response.to_object()
    return found
