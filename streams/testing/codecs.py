"""A codec for the events that a World's application emits to others."""

from __future__ import annotations

from streams.app import App
from streams.codec import AvroCodec


def foreign_codec(app: App) -> AvroCodec:
    """A codec for events that its handlers emit to other applications: its own codec encodes them and cannot decode them."""
    known = set(app.event_types().values())
    emitted = {data for namespace in app.namespaces for emits in namespace.emits.values() for data in emits}
    return AvroCodec(emitted - known, ())
