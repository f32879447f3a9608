"""Records of logs as the file keeps them, and the events that they are."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from confluent_kafka import Message

from streams.codec import AvroCodec
from streams.errors import UnsupportedSchema
from streams.history.stored.kept_headers import unpacked
from streams.history.stored.stored_past import learn_schemas
from streams.kafka.messages import LogEvent, LogReader


def event_of_record(
    reader: LogReader, partition: tuple[str, int], sequence: int, key: str, value: bytes, kept: bytes
) -> LogEvent | None:
    """The event of a record that is kept, read as Kafka gave it. Raises UnsupportedSchema."""
    headers: list[tuple[str, str | bytes | None]] = [*unpacked(kept)]
    message = Message(
        topic=partition[0], partition=partition[1], offset=0, key=f"{key}@{sequence}".encode(), value=value, headers=headers
    )
    return reader.event(partition[0], message)


def events_of_records(
    db: sqlite3.Connection, codec: AvroCodec, partition: tuple[str, int], found: Iterable[tuple[int, str, bytes, bytes]]
) -> list[LogEvent]:
    """The events of records: sequence, key, value and headers of each.

    A schema that this process has not met is learnt from the file, which has those of all its records. Raises UnsupportedSchema
    for what the code here cannot read, and sqlite3.Error.
    """
    try:
        return _events(codec, partition, found)
    except UnsupportedSchema:
        learn_schemas(db, codec)
        return _events(codec, partition, found)


def _events(codec: AvroCodec, partition: tuple[str, int], found: Iterable[tuple[int, str, bytes, bytes]]) -> list[LogEvent]:
    reader = LogReader(codec)
    return [event for each in found if (event := event_of_record(reader, partition, *each)) is not None]
