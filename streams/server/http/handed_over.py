"""When an event has its place before those that the same client sends next: a WebSocket's events begin one after the other."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

HANDED_OVER: ContextVar[Callable[[], object] | None] = ContextVar("HANDED_OVER", default=None)
"""Of the request that this task answers: called once Kafka's client has its event, long before Kafka confirms it."""


def tell_handed_over() -> None:
    if (told := HANDED_OVER.get()) is not None:
        told()
