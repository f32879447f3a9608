"""Whether the broker of this project has come back at another address: clients go on at the one that they were made with."""

from __future__ import annotations

from streams.config import Config
from streams.errors import ConfigError
from streams.localbroker import state


def where_it_went(config: Config, address: str) -> str:
    """A sentence without its stop, if it is not at `address` any more; empty otherwise, and for a broker that a setting names."""
    try:
        now = None if config.broker else state.find(config)
    except ConfigError:  # another user's: nothing is known of it
        return ""
    if now in (None, address):
        return ""
    return f"the Kafka of this project was at {address} when this was started, and is at {now} now: start it again"
