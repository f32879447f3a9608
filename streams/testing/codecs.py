"""The codec that a worker has, for a World: tests make many Worlds, and compiling schemas takes milliseconds."""

from __future__ import annotations

from functools import lru_cache

from streams.app import App
from streams.codec import AvroCodec
from streams.data import EventData, Record

APPLICATIONS = 64


def codec_for(app: App) -> AvroCodec:
    """As `streams.codec.codec_of` makes it."""
    events, rows = app.event_types().values(), [space.row_type for space in app.namespaces]
    return _compiled(tuple(events), tuple(rows)).copy()


def foreign_codec(app: App) -> AvroCodec:
    """Of what its handlers emit to namespaces of other applications, which its own codec writes and does not read."""
    known = set(app.event_types().values())
    emitted = {data for namespace in app.namespaces for emits in namespace.emits.values() for data in emits}
    return AvroCodec(emitted - known, ())


@lru_cache(APPLICATIONS)
def _compiled(events: tuple[type[EventData], ...], rows: tuple[type[Record], ...]) -> AvroCodec:
    return AvroCodec(events, rows)
