"""What a worker of an earlier commit stored, kept under tests/data/stored: read, described, and put on a broker again."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any, NamedTuple, Self

import msgspec
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from streams import App
from streams.codec import codec_of
from streams.engine.engine import Engine, Inbox
from streams.engine.fold import fold
from streams.engine.image import Image
from streams.engine.records import Headers
from streams.kafka.clients import Clients
from streams.kafka.offsets import ends
from streams.worker.image_reader import ImageReader
from tests.support.workers import until

FILES = sorted((Path(__file__).parents[1] / "data" / "stored").glob("*.jsonl"))


LATER = {"fired"}
"""Counters that the first files do not have."""


class Record(NamedTuple):
    """A consumer's message, to all who read one; `name` is its topic without a prefix."""

    name: str
    place: int
    at: int
    stored_key: bytes | None
    stored_value: bytes | None
    stored_headers: Headers

    def key(self) -> bytes | None:
        return self.stored_key

    def value(self) -> bytes | None:
        return self.stored_value

    def headers(self) -> Headers:
        return self.stored_headers

    def offset(self) -> int:
        """It is not stored, and nothing is read again by it."""
        return 0


FILLER = Record("", 0, 0, b"filler", b"aborted", [])


@dataclass(frozen=True)
class Stored:
    """`ends` has each partition's end and `images` what the worker had in memory, by `probe-log-0` and `probe-0`."""

    commit: str
    ends: dict[str, int]
    images: dict[str, dict[str, Any]]
    records: list[Record]

    @classmethod
    def read(cls, path: Path) -> Self:
        first, *lines = map(json.loads, path.read_text(encoding="utf-8").splitlines())
        images = {line.pop("image"): line for line in lines if "image" in line}
        return cls(first["commit"], first["ends"], images, [_record(line) for line in lines if "topic" in line])

    def of(self, topic: str, partition: int) -> list[Record]:
        return [record for record in self.records if (record.name, record.place) == (topic, partition)]

    def engine(self, app: App, namespace: str) -> Engine:
        """With every schema that was published then."""
        codec = codec_of(app)
        for record in self.of("retold-schemas", 0):
            codec.add_schema(json.loads(record.stored_value or b"")["schema"])
        return Engine(app, namespace, codec, inbox=Inbox(namespace))

    def restored(self, app: App, place: str) -> Image:
        """One partition's image, by the code that restores one from a broker."""
        namespace, partition = _split(place)
        reading = ImageReader(self.engine(app, namespace), partition)
        reading.take_rows(self.of(f"{namespace}-table", partition))  # type: ignore[arg-type]  # reads alike
        for kind, take in {"parked": reading.parked, "due": reading.due}.items():
            for record in self.of(f"{namespace}-{kind}", partition):
                take(record)  # type: ignore[arg-type]  # reads alike
        reading.log.take(self.of(f"{namespace}-log", partition))  # type: ignore[arg-type]  # reads alike
        return reading.image()

    def folded(self, app: App, place: str) -> Image:
        namespace, partition = _split(place)
        engine, log = self.engine(app, namespace), self.of(f"{namespace}-log", partition)
        return fold(engine, engine.image(partition), ((it.stored_value, it.stored_headers) for it in log))

    def write(self, clients: Clients, prefix: str) -> None:
        """Into topics that are there and empty: every record comes to lie where it lay.

        The end of a transaction takes one offset, a moment after it was committed: a gap of one is a commit, a longer one
        a transaction that was aborted.
        """
        admin = clients.admin()
        plain, writer = clients.producer(), clients.transactional_producer(f"{prefix}filler", "filler", _refuse)
        writer.init_transactions(30)
        columns = [
            [((prefix + topic, partition), run, gap) for run, gap in _runs(self.of(topic, partition), end)]
            for place, end in self.ends.items()
            for topic, partition in [_split(place)]
        ]
        for level in zip_longest(*columns):
            steps = [step for step in level if step is not None]
            lone = {place: run for place, run, gap in steps if gap != 1}
            _await_ends(admin, {place: run[0].at for place, run in lone.items()})
            _produce(plain, lone)
            if committed := {place: run for place, run, gap in steps if gap == 1}:
                writer.begin_transaction()
                _produce(writer, committed)
                writer.commit_transaction(30)
            if aborted := {place: [FILLER] * (gap - 1) for place, _, gap in steps if gap > 1}:
                writer.begin_transaction()
                _produce(writer, aborted)
                writer.abort_transaction(30)
        _await_ends(admin, {(prefix + topic, at): end for place, end in self.ends.items() for topic, at in [_split(place)]})


def _hash_of(digest: bytes) -> bytes:
    return digest if len(digest) == 16 else blake2b(digest, digest_size=16).digest()


def described(image: Image, known: Sequence[str]) -> dict[str, Any]:
    """All of an image that is the same in every process, as JSON has it. `known` are digests to look up in the window.

    They are hashes, as they were when the files were written; later a short name is its own digest.
    """
    digests = {_hash_of(it): it for it in (*image.window._young, *image.window._old)}
    found = {it: image.window.find(digests.get(bytes.fromhex(it), b""), image.sequence) for it in known}
    assert len(image.window) == len(known)
    return {
        "sequence": image.sequence,
        "recorded": image.recorded,
        "inbox_next": image.inbox_next,
        "rows": {key: [version, plain(row)] for key, (row, version) in sorted(image.rows.items())},
        "parked": {
            key: [[it.offset, it.status] for it in queue]
            for key, queue in sorted(image.parked.items())
        },
        "parked_ids": sorted(digest.hex() for digest in image.parked_ids),
        "quarantined": image.quarantined,
        "timers": {
            key: [due.at, due.emitted.namespace, due.emitted.key.decode()] for key, due in sorted(image.due.items())
        },
        "calls": {
            key: [call.event.key, call.event.data.event_type, call.offset, call.recorded]
            for key, call in sorted(image.calls.items())
        },
        "known": {digest: None if it is None else [it[0], it[2]] for digest, it in found.items()},
        "counters": {name: count for name, count in vars(image.counters).items() if name not in LATER or count},
    }


def plain(row: Any) -> Any:
    return None if row is None else msgspec.to_builtins(row, enc_hook=dict)


def _record(line: dict[str, Any]) -> Record:
    headers = [(name, _bytes(value) or b"") for name, value in line["headers"]]
    return Record(line["topic"], line["partition"], line["offset"], _bytes(line["key"]), _bytes(line["value"]), headers)


def _bytes(kept: str | dict[str, str] | None) -> bytes | None:
    if isinstance(kept, dict):
        return base64.b64decode(kept["base64"], validate=True)
    return None if kept is None else kept.encode()


def _split(place: str) -> tuple[str, int]:
    topic, _, partition = place.rpartition("-")
    return topic, int(partition)


def _runs(records: Sequence[Record], end: int) -> Iterator[tuple[list[Record], int]]:
    """Records that lie one behind the other, and how many offsets after them no reader sees."""
    runs = [[it for _, it in run] for _, run in groupby(enumerate(records), key=lambda it: it[1].at - it[0])]
    for number, run in enumerate(runs, 1):
        following = runs[number][0].at if number < len(runs) else end
        yield run, following - run[-1].at - 1


def _await_ends(admin: AdminClient, wanted: Mapping[tuple[str, int], int]) -> None:
    until(lambda: ends(admin, list(wanted)) == wanted, f"the topics do not end at {wanted}")


def _produce(producer: Producer, runs: Mapping[tuple[str, int], Sequence[Record]]) -> None:
    for (topic, partition), run in runs.items():
        for it in run:
            producer.produce(
                topic, it.stored_value, it.stored_key, partition, headers=it.stored_headers, on_delivery=_refuse
            )
    assert producer.flush(30) == 0


def _refuse(error: Any, _message: Any) -> None:
    assert error is None, error
