"""Server-sent events as text, and which requests ask for them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from starlette.datastructures import Headers
from starlette.types import Scope

from streams.server.http.accept import weights

MEDIA_TYPE: Final = "text/event-stream"
RETRY: Final = b"retry: 2000\n\n"
"""ms after which a disconnected client comes back."""
STREAMED: Final = "retold.stream"
"""In the scope of a request whose answer was a stream."""
HEADERS: Final = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no", "Vary": "Accept"}


class StreamEvent(NamedTuple):
    """`data` is JSON in one line; empty: nothing is told but the place. `place` is what the stream goes on from, if it is given."""

    name: str
    data: bytes
    place: str = ""

    @property
    def text(self) -> bytes:
        return _lines(*self)


class SharedEvent(StreamEvent):
    """One that several streams tell: its text is made once."""

    _text = b""

    @property
    def text(self) -> bytes:
        self._text = self._text or _lines(*self)
        return self._text


def text_of(events: Iterable[StreamEvent]) -> bytes:
    return b"".join(event.text for event in events)


def _lines(name: str, data: bytes, place: str) -> bytes:
    named = b"event: %b\n" % name.encode() if name else b""
    placed = b"id: %b\n" % place.encode() if place else b""
    told = b"data: %b\n" % data if data else b""
    return b"%b%b%b\n" % (named, placed, told)


def comment(words: str) -> bytes:
    return b": %b\n\n" % words.encode()


KEEP_ALIVE: Final = comment("ping")


def asks_for_stream(scope: Scope) -> bool:
    """Whether its header Accept names event streams, and nothing that it would rather have."""
    accept = Headers(scope=scope).get("accept", "")
    if MEDIA_TYPE not in accept:
        return False
    wanted = dict(weights(accept))
    liked = wanted.get(MEDIA_TYPE, 0.0)
    return liked > 0.0 and all(liked >= weight for kind, weight in wanted.items() if kind != "*/*")


def events_in(text: bytes) -> list[dict[str, bytes]]:
    """The members of the events in a whole piece of such text: `event`, `id`, `data`, and `comment`."""
    found = []
    for part in text.split(b"\n\n"):
        pairs = [line.partition(b": ") for line in part.split(b"\n") if line]
        if members := {name.decode() or "comment": value for name, _, value in pairs}:
            found.append(members)
    return found
