"""A worker's codec for a World, cached: tests make many Worlds, and compiling schemas takes milliseconds."""

from __future__ import annotations

from functools import lru_cache

from streams.app import App
from streams.codec import AvroCodec
from streams.data import EventData, Record

APPLICATIONS = 64


def codec_for(app: App) -> AvroCodec:
    """The same as `streams.codec.codec_of`."""
    events, rows = app.event_types().values(), [space.row_type for space in app.namespaces]
    return _compiled(tuple(events), tuple(rows)).copy()


def foreign_codec(app: App) -> AvroCodec:
    """A codec for events that its handlers emit to other applications: its own codec encodes them and cannot decode them."""
    known = set(app.event_types().values())
    emitted = {data for namespace in app.namespaces for emits in namespace.emits.values() for data in emits}
    return AvroCodec(emitted - known, ())


@lru_cache(APPLICATIONS)
def _compiled(events: tuple[type[EventData], ...], rows: tuple[type[Record], ...]) -> AvroCodec:
    return AvroCodec(events, rows)
