"""`retold rebuild-view`: folds a projection again while the server answers."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from streams.app import App
from streams.cli.arguments.lookup import projection_named
from streams.cli.arguments.wrong_usage import WrongUsage
from streams.cli.output.progress import bar
from streams.cli.output.screen import plural, talk
from streams.cli.process import exit_codes, logging_setup
from streams.codec import codec_of
from streams.config import Config, load
from streams.errors import ConfigError, did_you_mean, unwritable_state
from streams.history.branch.folded_otherwise import NOTHING_OTHERWISE
from streams.load import application
from streams.server.readmodel.rebuild_requests import RebuildRequests
from streams.server.readmodel.store import Store
from streams.server.readmodel.store_file import files_in_use

LOOK_EVERY = 0.1
Tell = Callable[[int], None]
"""Is given how many percent are done."""


def rebuild_view(
    name: Annotated[str, typer.Argument(help="Name of a projection.", metavar="PROJECTION")],
) -> None:
    """Fold a projection again from all logs, while the server answers.

    The rows that are there are answered until the new ones take their place. A server does this by itself when the projection's
    code changes. Without a server on this machine, its file is brought up to date.

    Example: [bold]retold rebuild-view orders_per_day[/]
    """
    config = load()
    logging_setup.set_up(config)
    app = application(config)
    if projection_named(app, name) is None:
        known = [it.name for it in app.projections]
        raise WrongUsage(
            f"{app.name} has no projection {name!r}{did_you_mean(name, known)}; it has {', '.join(known) or 'none'}. The tables of "
            "namespaces are not folded by a server"
        )
    began = time.monotonic()
    try:
        with ExitStack() as stack:
            advance = stack.enter_context(bar(f"folding {name}", 100, "%"))
            files = [*files_in_use(config.state, config.prefix)]
            for file in files:
                _by_server(config, file, name, advance)
            if not files:
                _here(app, config, name, advance)
    except sqlite3.Error as error:
        raise ConfigError(f"the server's file in {config.state} cannot be read or written: {error}") from error
    whose = plural(len(files), "server") if files else "no server runs here: in the file of the next one"
    talk(f"{name} is folded again, after {time.monotonic() - began:.1f} s ({whose}).")


def _by_server(config: Config, file: Path, name: str, advance: Tell) -> None:
    """Let a running server do it, and wait until it has."""
    requests = RebuildRequests(file.parent)
    try:
        requests.ask(name)
    except OSError as error:
        raise unwritable_state(config.state, error) from error
    while (percent := requests.percent(name)) is not None:
        advance(percent)
        if file not in files_in_use(config.state, config.prefix):
            talk(f"The server ended before it was done. {name} is folded again by the next one that starts here.")
            raise typer.Exit(exit_codes.NO)
        time.sleep(LOOK_EVERY)


def _here(app: App, config: Config, name: str, advance: Tell) -> None:
    """In the file that the next server goes on with."""
    codec = codec_of(app)
    store = Store(config.state, config.prefix, app, codec)
    try:
        store.open()
        if not store.is_complete:
            talk("No server runs here, and there is no file of one: one that starts reads and folds everything.")
            raise typer.Exit(exit_codes.NO)
        rebuild, writer = store.begin_rebuild([name], codec, NOTHING_OTHERWISE), store.writer()
        ends = {(namespace, part): it.sequence for (kind, namespace, part), it in writer.positions.items() if kind == "log"}
        while rebuild.step():
            advance(rebuild.percent(ends))
        store.finish_rebuild(rebuild, writer)
        RebuildRequests(store.file.parent).done([name])
    finally:
        store.close()
