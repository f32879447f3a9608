"""The work that every contestant does: the events, and what must have come out of them."""

from __future__ import annotations

import io
import json
import random
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import Producer, murmur2
from fastavro import parse_schema, schemaless_reader, schemaless_writer

from streams.schemas.schema_ids import canonical, id_of

HERE = Path(__file__).parent
EVENT_FILE = HERE / "schemas" / "bench" / "signup.avsc"
ROW_FILE = HERE / "schemas" / "bench.avsc"
EVENT, ROW = (json.loads(p.read_text()) for p in (EVENT_FILE, ROW_FILE))
EVENT_SCHEMA, ROW_SCHEMA = parse_schema(EVENT), parse_schema(ROW)
FRAME = b"\x00" + id_of(canonical(EVENT)).to_bytes(4, "big")
"""Before the body: Confluent's wire format."""

PARTITIONS = 4
KEYS = 10_000
SEED = 3
START_MS = 1_793_491_200_000  # 2026-11-01T00:00:00Z

HEADER_NAMES = frozenset(("ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time", "ce_subject", "content-type"))
Row = dict[str, Any]
Record = tuple[bytes, bytes, list[tuple[str, bytes]]]


@dataclass
class Expected:
    """What a run over these events must leave: every event once in the log, and these rows."""

    count: int = 0
    checksum: int = 0
    rows: dict[str, Row] = field(default_factory=dict)

    def add(self, event: dict[str, Any], value: bytes) -> None:
        before = self.rows.get(event["user"])
        self.rows[event["user"]] = {
            "email": event["email"],
            "plan": event["plan"],
            "n": (before["n"] if before else 0) + 1,
        }
        self.count += 1
        self.checksum += zlib.crc32(value)


def event_number(number: int, key: int) -> dict[str, Any]:
    user = f"user-{key:05d}"
    return {
        "user": user,
        "email": f"{user}@example.org" if number % 3 else f"{user}@mail.example.org",
        "name": f"Name of {user}",
        "plan": "pro" if number % 5 == 0 else "free",
        "at": START_MS + number,
        "credits": number % 1000,
    }


def headers_of(number: int, user: bytes, event_type: bytes = b"bench.signup") -> list[tuple[str, bytes]]:
    """The seven of CloudEvents' binary mode."""
    seconds, milliseconds = divmod(number, 1000)
    minutes, seconds = divmod(seconds, 60)
    return [
        ("ce_specversion", b"1.0"),
        ("ce_id", b"7d1c0000-0000-4000-8000-%012x" % number),
        ("ce_type", event_type),
        ("ce_source", b"/benchmark"),
        ("ce_time", b"2026-11-01T%02d:%02d:%02d.%03dZ" % (minutes // 60 % 24, minutes % 60, seconds, milliseconds)),
        ("ce_subject", user),
        ("content-type", b"application/vnd.confluent.avro"),
    ]


def encode(event: dict[str, Any]) -> bytes:
    body = io.BytesIO()
    body.write(FRAME)
    schemaless_writer(body, EVENT_SCHEMA, event)
    return body.getvalue()


def decode_row(value: bytes) -> Row:
    """The row in a framed Avro record."""
    return decode_body(value[len(FRAME) :])


def decode_body(body: bytes) -> Row:
    row: Row = schemaless_reader(io.BytesIO(body), ROW_SCHEMA)
    return row


def decode(value: bytes) -> dict[str, Any]:
    """The event in a framed Avro record."""
    event: dict[str, Any] = schemaless_reader(io.BytesIO(value[len(FRAME) :]), EVENT_SCHEMA)
    return event


def records(count: int, expected: Expected) -> Iterator[Record]:
    """`count` events over keys drawn evenly, the same ones each time. Notes in `expected` what they lead to."""
    draw = random.Random(SEED)  # noqa: S311 (repeatable, and nothing secret)
    for number in range(count):
        event = event_number(number, draw.randrange(KEYS))
        value, key = encode(event), event["user"].encode()
        expected.add(event, value)
        yield key, value, headers_of(number, key)


def fill(broker: str, inbox: str, events: Iterable[Record]) -> None:
    """Publish the events, placed as Java's default partitioner places them, and wait until they have left."""
    producer = Producer(
        {
            "bootstrap.servers": broker,
            "enable.idempotence": True,
            "log_level": 2,  # a fresh broker is still loading its coordinators: it tries again, and need not say so
            "compression.type": "lz4",
            "linger.ms": 20,
            "batch.size": 1_000_000,
            "queue.buffering.max.messages": 200_000,
        }
    )
    for key, value, headers in events:
        while True:
            try:
                producer.produce(inbox, value, key, murmur2(key, PARTITIONS), headers=headers)
                break
            except BufferError:
                producer.poll(0.05)
    if left := producer.flush(60):
        raise RuntimeError(f"{left} events could not be brought to {inbox} in 60 s")
