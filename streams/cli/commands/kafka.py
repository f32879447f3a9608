"""`retold kafka`: this project's broker alone, for workers and servers that come and go."""

from __future__ import annotations

import time

import typer

from streams.cli.output.screen import talk
from streams.cli.process.shutdown import Shutdown
from streams.config import Config, load
from streams.errors import BrokerUnavailable, ConfigError
from streams.localbroker import state
from streams.localbroker.choose import own
from streams.localbroker.password import access_sentence


def kafka() -> None:
    """Run this project's broker alone, until Ctrl-C.

    It is the one that [bold]retold run[/] starts, with the same data. Workers and servers in other terminals find it, and it goes
    on when they stop or are replaced.

    Example: [bold]retold kafka[/], and in other terminals [bold]retold worker[/] and [bold]retold server[/]
    """
    config = load()
    if config.broker is not None:
        raise ConfigError(
            f"RETOLD_BROKER, or `broker` in pyproject.toml, is {config.broker!r}: a broker that retold does not start. Unset it, "
            "and this starts one"
        )
    if (record := state.running(config.state)) is not None:
        raise ConfigError(f"this project's broker runs already at {record.address}, since {record.started}: commands find it")
    with own(config, on_progress=talk) as address:
        shutdown = Shutdown()
        talk(f"Kafka is running at {address}. Commands in this project, such as `retold worker` and `retold server`, find it.")
        if (sentence := access_sentence(config)) is not None:
            talk(sentence)
        talk("Ready. Press Ctrl-C to stop.")
        _stay(config, shutdown)
    raise typer.Exit(shutdown.code)


def _stay(config: Config, shutdown: Shutdown) -> None:
    """Until it is to stop. Raises BrokerUnavailable if the broker ends by itself."""
    while not shutdown.stop.is_set():
        time.sleep(0.2)  # not in a wait for `stop`: a signal that sets it then would wait for its lock for ever
        if state.find(config) is None:
            raise BrokerUnavailable("Kafka has ended, and so does this command. What it confirmed is kept: start it again")
