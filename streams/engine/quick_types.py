"""What the quick way needs to know about an event's type, by the first bytes of its value (`QuickHandling`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from streams.data import EventData, Record
from streams.engine.event_handlers import EventHandler, EventHandlers
from streams.engine.records import Codec

PREFIX = 5
"""Bytes of a value that say which schema wrote it."""


class QuickType(NamedTuple):
    """One schema of an event, its handler, and the codec's functions for both; see `EventDecoding`."""

    read: Callable[[bytes, int], EventData]
    fingerprint: str
    name: str
    key_field: str
    handler: EventHandler
    settle: Callable[[Any], tuple[Record, bytes]]
    is_answer: bool
    """A gateway of this namespace may answer with it."""


class QuickTypes(dict[bytes, QuickType]):
    """Those of one namespace, each from its first event on. A look-up raises KeyError for any other value."""

    def __init__(self, handlers: EventHandlers, codec: Codec) -> None:
        super().__init__()
        self._handlers, self._codec = handlers, codec
        self._answers = {answer for handler in handlers.by_event.values() for answer in handler.answers}

    def __missing__(self, prefix: bytes) -> QuickType:
        reader = self._codec.event_reader(prefix)
        handler = None if reader is None else self._handlers.by_event.get(reader.data)
        if reader is None or handler is None:
            raise KeyError(prefix)
        settle = self._codec.settler(self._handlers.row_type)
        found = self[prefix] = QuickType(
            reader.read, reader.fingerprint, handler.event_type, reader.data.key_field, handler, settle,
            reader.data in self._answers,
        )  # fmt: skip
        return found
