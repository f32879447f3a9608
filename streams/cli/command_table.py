"""The commands of `retold`, in the order of the help. The module of a command is imported when that command is asked for.

So one command does not wait for what another imports, and `retold --help` waits for none of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.exceptions import TyperException

from streams.cli.output.help import Command, Group, Summary
from streams.engine.readable import harmless


class TableEntry(NamedTuple):
    """`name` is the command's, and that of its module in `streams.cli.commands` and of the function or group there.

    `summary` is the first paragraph of its help, which is shown where its module is not imported.
    """

    name: str
    panel: str
    summary: str


COMMANDS = (
    TableEntry("new", "Make", "Create a new application that runs and passes its own test."),
    TableEntry("check", "Make", "Check that the application keeps the laws; needs no broker."),
    TableEntry("schemas", "Make", "Generate classes from schema files; release and list schemas."),
    TableEntry("asyncapi", "Make", "Print the events of the application as AsyncAPI 3.0; needs no broker."),
    TableEntry("run", "Run", "Run a broker, a worker for all namespaces and a server on this machine."),
    TableEntry("kafka", "Run", "Run this project's broker alone, until Ctrl-C."),
    TableEntry("worker", "Run", "Handle events from a running broker; checks the laws first."),
    TableEntry("server", "Run", "Serve HTTP: publish events, query rows, projections and views, follow event logs."),
    TableEntry("publish", "Use", "Publish one event, or a file of events."),
    TableEntry("get", "Use", "Query a table: show one row with its version, or all rows; also as they were."),
    TableEntry("tail", "Use", "Follow the event log: show events as they are handled."),
    TableEntry("open", "Use", "Open the console in a browser, and print its address."),
    TableEntry("story", "Ask the past", "Tell what led to an event or a row, and what followed."),
    TableEntry("when", "Ask the past", "Say since when something holds of a row."),
    TableEntry("what-if", "Ask the past", "Tell what would have happened if an event had never been, or had been another."),
    TableEntry("replay", "Ask the past", "Check a change of the code against the recorded past."),
    TableEntry("shrink", "Ask the past", "Find the fewest published events that bring a row to where a condition holds."),
    TableEntry("history", "Ask the past", "Read the recorded past into a file of this machine, and say how far it goes."),
    TableEntry("status", "Operate", "Show lag, owners, states and counters of every namespace, and what is blocked."),
    TableEntry("verify", "Operate", "Verify that logs, tables and inboxes are whole and fit together; changes nothing."),
    TableEntry("bench", "Operate", "Measure how fast a worker handles generated events, and how soon they are visible."),
    TableEntry("timers", "Operate", "List what is scheduled, and when it is due."),
    TableEntry("rebuild", "Operate", "Rebuild rows with new code, beside those that workers keep."),
    TableEntry("rebuild-view", "Operate", "Fold a projection again from all logs, while the server answers."),
    TableEntry("topics", "Operate", "Compare the topics with their expected settings; create missing ones."),
    TableEntry("reset", "Operate", "Delete this project's topics and its state, to begin again."),
    TableEntry("correct", "Operate", "Correct the past: plan, apply, and list corrections."),
    TableEntry("parked", "Operate",
 "List events that are set aside; retry, reject, answer or quarantine them."),
    TableEntry("token", "Operate", "Give tokens for a server's HTTP, each with rights of its own; list and revoke them."),
)


class CommandModules(Mapping[str, Any]):
    """Each command of the table by its name, imported when it is looked up."""

    def __init__(self, table: tuple[TableEntry, ...]) -> None:
        self._names = {entry.name: None for entry in table}

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)
        found = getattr(import_module(f"streams.cli.commands.{name.replace('-', '_')}"), name.replace("-", "_"))
        if not isinstance(found, typer.Typer):
            function, found = found, typer.Typer(add_completion=False)
            found.command(name, cls=Command)(function)
        return typer.main.get_command(found)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class CommandTable(Group):
    """The command `retold` itself."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = CommandModules(COMMANDS)  # type: ignore[assignment]  # no command is added to it

    def invoke(self, ctx: Any) -> Any:
        """A sentence about a wrong argument may quote it, or a file."""
        try:
            return super().invoke(ctx)
        except TyperException as error:
            if isinstance(text := getattr(error, "message", None), str):
                error.message = harmless(text)
            raise

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - Typer gives it
        return list(self.commands)

    def summaries(self, ctx: Any) -> Iterator[Summary]:  # noqa: ARG002 - the table says it
        for name, panel, summary in COMMANDS:
            yield panel, name, summary
