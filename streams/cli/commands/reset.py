"""`retold reset`: this project's topics, groups and state are deleted, so that it begins again."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from typing import Annotated

import typer

from streams.app import App
from streams.cli.output.screen import say, talk
from streams.cli.process import logging_setup
from streams.config import Config, load
from streams.engine.readable import shortened
from streams.errors import ConfigError, NamespaceTaken, unwritable_state
from streams.load import application
from streams.localbroker import docker, embedded, state
from streams.localbroker.choose import own

OWN = ("notes", "faust")
"""What retold keeps in the state folder beside the broker's data, and may be deleted while a process starts."""


def reset(
    broker: Annotated[
        str | None, typer.Option("--broker", help="A broker that retold did not start.", metavar="HOST:PORT")
    ] = None,
    yes: Annotated[str | None, typer.Option("--yes", help="The application's name, with --broker.", metavar="NAME")] = None,
) -> None:
    """Delete this project's topics and its state, to begin again.

    It deletes at once, without a question: events, rows and logs are lost. Only on a broker that [bold]retold run[/] or
    [bold]retold kafka[/] started, unless one is named with --broker and the application with --yes. No worker may run.

    Example: [bold]retold reset[/]
    """
    config = load()
    logging_setup.set_up(config)
    app = application(config)
    if broker is not None or yes is not None:
        _check_named(app, broker, yes)
        assert broker is not None
        config = replace(config, broker=broker)
        _delete_topics(app, config, broker)
    elif config.broker is not None:
        raise ConfigError(
            f"RETOLD_BROKER is {config.broker!r}, a broker that retold did not start, and perhaps others use it. If this project's "
            f"topics there shall be deleted: `retold reset --broker {config.broker} --yes {app.name}`"
        )
    elif (running := state.find(config)) is not None:
        _delete_topics(app, config, running)
    elif embedded.holds_data(config.state):
        _delete_data(config)
    elif docker.holds_data(config.state):
        with own(config, on_progress=talk) as address:
            _delete_topics(app, config, address)
    else:
        talk(f"{app.name} has no data on this machine.")
    for name in OWN:
        with contextlib.suppress(OSError):
            state.delete(config.state, name)
    from streams.server.readmodel.store_file import delete_unused  # late: it takes a while to import

    with contextlib.suppress(OSError):
        delete_unused(config.state)
    talk("The next `retold run` begins with empty topics.")


def _check_named(app: App, broker: str | None, yes: str | None) -> None:
    if broker is None or yes is None:
        raise ConfigError("--broker and --yes belong together: `retold reset --broker HOST:PORT --yes NAME`")
    if yes != app.name:
        raise ConfigError(f"--yes is {yes!r}, and this application's name is {app.name!r}: nothing was deleted")


def _delete_topics(app: App, config: Config, address: str) -> None:
    """Raises ConfigError while a worker runs, and NamespaceTaken for topics that another application has written."""
    from streams.codec import codec_of  # late: Kafka's clients are not needed to delete a folder
    from streams.kafka.clients import Clients
    from streams.kafka.deletion import delete_all, forget_corrections
    from streams.kafka.status import status

    clients = Clients.of(config, address)
    clients.check_broker()
    found = status(clients, config.prefix, [space.name for space in app.namespaces], codec_of(app))
    for space in found.namespaces:
        if space.application not in (None, app.name):
            raise NamespaceTaken(f"the topics of {space.name} were written by {space.application!r}; nothing was deleted")
    names, others = delete_all(clients.admin(), config.prefix, [space.name for space in app.namespaces])
    for name in names:
        say(f"deleted {name}")
    if not names:
        talk(f"No topic of {app.name} is there.")
    if others:
        forget_corrections(clients, config.prefix, app.name)
        who = shortened(", ".join(others), 200)
        talk(
            f"The topics that all applications share are kept, since others use them (namespaces: {who}). The corrections of "
            f"{app.name} are taken out."
        )


def _delete_data(config: Config) -> None:
    """Of an embedded broker of this project, which does not run. Raises ConfigError if they cannot be deleted."""
    lock = state.take(config.state)
    try:
        state.delete(config.state, "kafka")
    except OSError as error:
        raise unwritable_state(config.state, error) from error
    finally:
        os.close(lock)
    say(f"deleted {config.state / 'kafka'}")
