"""librdkafka's own lines on the standard error, each with its time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def debugging(contexts: str) -> Callable[[Callable[[Any], Any], Any], Any]:
    """Makes clients for `Clients` that say what they do; `contexts` as of librdkafka's option `debug`."""

    def make(kind: Callable[[Any], Any], options: Any) -> Any:
        told = {name: value for name, value in options.items() if name != "logger"}
        return kind({**told, "debug": contexts, "log_level": 7})

    return make
