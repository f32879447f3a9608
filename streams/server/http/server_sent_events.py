"""Server-sent events: their text, and the answer that sends them as they come."""

from __future__ import annotations

from starlette.responses import StreamingResponse

KEEP_ALIVE = b": ping\n\n"
"""A comment, which clients pass over."""


class EventStream(StreamingResponse):
    media_type = "text/event-stream"


def sent_event(data: bytes | None = None, *, id: str = "", retry: int | None = None) -> bytes:
    """`data` is JSON, which has no line breaks; `retry` is in ms. Without data a client takes the id and shows nothing."""
    lines = [] if data is None else [b"data: " + data]
    if id:
        lines.append(b"id: " + id.encode())
    if retry is not None:
        lines.append(b"retry: %d" % retry)
    return b"\n".join(lines) + b"\n\n"
