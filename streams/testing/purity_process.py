"""The other process of the purity run: reads records from stdin, handles them, and writes the results to stdout.

Guards replace clock, random and socket functions before the application is imported, and are armed after it.
"""

from __future__ import annotations

import datetime
import importlib
import locale
import os
import random
import secrets
import socket
import sys
import time
import types
import uuid
from collections.abc import Callable
from typing import Any

import msgspec

from streams.app import App
from streams.checks.source_code import is_application_module
from streams.codec import codec_of
from streams.engine.engine import Engine
from streams.engine.image import Image
from streams.engine.records import InboxRecord
from streams.engine.timers import due_timers
from streams.errors import ImpureHandler
from streams.testing.purity_run import trace

CLOCKS = ("now", "utcnow", "today")
GUARDED: dict[types.ModuleType, tuple[str, ...]] = {
    time: ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "sleep"),
    random: tuple(name for name in random.__all__ if name[0].islower()),
    secrets: tuple(secrets.__all__),
    os: ("urandom", "getpid"),
    uuid: ("uuid1", "uuid4"),
    socket: ("socket", "create_connection", "getaddrinfo", "gethostname"),
}


class ImpurityGuards:
    """Impure functions raise ImpureHandler while `armed`."""

    def __init__(self) -> None:
        self.armed = False

    def lay(self) -> None:
        for module, names in GUARDED.items():
            for name in names:
                if callable(original := getattr(module, name)):
                    setattr(module, name, self._guard(f"{module.__name__}.{name}", original))

    def arm(self) -> None:
        """Methods of `datetime` cannot be replaced, so the application's modules get another class instead."""
        classes = {real: self._without_clock(real) for real in (datetime.datetime, datetime.date)}
        modules = [module for name, module in sys.modules.items() if name != "__main__"]  # not this one
        for module in filter(is_application_module, modules):
            for name, value in list(vars(module).items()):
                if value is datetime:
                    setattr(module, name, types.SimpleNamespace(**{**vars(datetime), **_by_name(classes)}))
                elif isinstance(value, type) and value in classes:
                    setattr(module, name, classes[value])
        self.armed = True

    def _guard(self, name: str, original: Callable[..., Any]) -> Callable[..., Any]:
        def guarded(*arguments: Any, **named: Any) -> Any:
            if self.armed:
                raise ImpureHandler(f"{name} was called: what differs from run to run may not decide anything")
            return original(*arguments, **named)

        return guarded

    def _without_clock(self, real: type) -> type:
        def made(_: type, *arguments: Any, **named: Any) -> Any:
            return real(*arguments, **named)

        refused = {
            name: staticmethod(self._guard(f"{real.__name__}.{name}", getattr(real, name)))
            for name in CLOCKS
            if hasattr(real, name)
        }
        return _Looks(real.__name__, (real,), {"__new__": made, **refused})


class _Looks(type):
    """A metaclass whose classes accept instances of their base as their own."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, cls.__mro__[1])


def _by_name(classes: dict[Any, type]) -> dict[str, type]:
    return {real.__name__: fake for real, fake in classes.items()}


def load(app: str) -> App:
    module, _, factory = app.partition(":")
    made = getattr(importlib.import_module(module), factory)()
    assert isinstance(made, App)
    return made


StepInput = tuple[str, int, InboxRecord | None, int]
"""Of a `Step`: namespace, now, record, and until when timers fired."""


def run(app: App, steps: list[StepInput], arm: Callable[[], None]) -> list[dict[str, Any]]:
    codec = codec_of(app)
    engines = {namespace.name: Engine(app, namespace.name, codec) for namespace in app.namespaces}
    images: dict[str, Image] = {name: engine.image() for name, engine in engines.items()}
    arm()
    traces = []
    for namespace, now, record, fired in steps:
        batch = engines[namespace].begin(images[namespace], now)
        if record is None:
            batch.fire(due_timers(images[namespace], fired))
        else:
            batch.take_all([record])
        images[namespace].apply(batch.changes)
        traces.append(trace(batch.changes))
    return traces


def main() -> None:
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the application prints is no answer
    locale.setlocale(locale.LC_ALL, "")
    guards = ImpurityGuards()
    guards.lay()
    steps = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=list[StepInput])
    traces = run(load(sys.argv[1]), steps, guards.arm)
    with answer:
        answer.write(msgspec.msgpack.encode(traces))


if __name__ == "__main__":
    main()
