"""Records of logs as the file keeps them, and the events that they are."""

from __future__ import annotations

from confluent_kafka import Message

from streams.history.stored.kept_headers import unpacked
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
