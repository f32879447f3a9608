"""A past in a file, as a server's follower writes it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from confluent_kafka import Message

from streams.codec import AvroCodec
from streams.engine.stored import due_record
from streams.engine.stored import parked_record as stored_parked
from streams.history.correction.corrected_log import KnownCorrection
from streams.history.stored.past_file import HistoryFile
from streams.history.stored.sealed_file import seal
from streams.server.readmodel.history_export import export
from streams.server.readmodel.log_follower import LogFollower
from streams.server.readmodel.store import Store
from streams.server.readmodel.store_high_water import fill_high_water, put_frontier
from tests.support.partitions import Partitions
from tests.support.pasts import log_of

END = 4_000_000_000_000_000
"""µs: behind all that the tests let happen, in the year 2096."""


def stored(there: Partitions, state: Path) -> Store:
    """All that the partitions have logged, set aside and keep for later. To be closed."""
    store = Store(state, "", there.app, there.codec)
    store.open()
    store.partitions = dict.fromkeys(there.engines, there.count)
    writer = store.writer()
    places = [*there.images]
    follower = LogFollower(writer, there.codec, places)
    for (namespace, partition, sequence, key, value, headers) in log_of(there):
        at = namespace, partition
        follower.take(at, log_message(namespace, partition, sequence, key, value, headers))
    for at in places:
        follower.merge.ended(at)
    follower.flush()
    for at, image in there.images.items():
        for queue in image.parked.values():
            for aside in queue:
                follower.take_parked(at, _message(f"{at[0]}-parked", at[1], 0, *stored_parked(aside)))
        for pending in (*image.due.values(), *image.calls.values()):
            follower.take_due(at, _message(f"{at[0]}-due", at[1], 0, *due_record(at[0], pending)))
    writer.commit()
    store.completed()
    return store


def exported(there: Partitions, folder: Path, corrections: Sequence[KnownCorrection] = ()) -> Path:
    """The same as `retold history --export` writes it, with all high-water times and these corrections."""
    store, file = stored(there, folder), folder / "shop.retold"
    try:
        store.write(lambda db: put_high_water(db, END))
        export(HistoryFile(store.file, END), file, corrections)
    finally:
        store.close()
    return file


def put_high_water(db: sqlite3.Connection, until: int) -> None:
    while fill_high_water(db, until):
        pass
    put_frontier(db, until)


def log_message(namespace: str, partition: int, sequence: int, key: str, value: bytes, headers: object) -> Message:
    """A record of a log."""
    return _message(f"{namespace}-log", partition, sequence, b"%b@%d" % (key.encode(), sequence), value, headers)


def _message(topic: str, partition: int, offset: int, key: bytes, value: bytes, headers: object) -> Message:
    return Message(topic=topic, partition=partition, offset=offset, key=key, value=value, headers=headers)


def forget_schemas(codec: AvroCodec, decoders: str = "_decoders") -> None:
    """As if it had met none of the schemas that records are written with; or rows, as `decoders` says."""
    for prefix in list(getattr(codec, decoders)):
        for known in (getattr(codec, decoders), codec._texts, codec._names, codec._fingerprints):
            known.pop(prefix, None)


@contextmanager
def edited(file: Path) -> Iterator[sqlite3.Connection]:
    """A connection that changes a past that was exported, which has its checksum afterwards."""
    with closing(sqlite3.connect(file)) as db:
        yield db
        db.commit()
    seal(file)
