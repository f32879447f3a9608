"""Finding the broker of a command that stays up, which may start before its broker does."""

from __future__ import annotations

import time
from functools import partial

from streams.cli.process.shutdown import Shutdown
from streams.config import Config
from streams.errors import BrokerUnavailable
from streams.localbroker.choose import found


def find_broker(config: Config, wait: float, shutdown: Shutdown) -> str | None:
    """The broker's address; None if the shutdown came first. Raises BrokerUnavailable if there is none after `wait` s."""
    deadline = time.monotonic() + wait
    while not shutdown.stop.is_set():
        try:
            return shutdown.unless_stopped(partial(found, config))
        except BrokerUnavailable:
            if time.monotonic() >= deadline:
                raise
        time.sleep(0.1)  # not in a wait for `stop`: a signal that sets it then would wait for its lock for ever
    return None
