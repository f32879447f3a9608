"""`retold check`: whether the application keeps the laws."""

from __future__ import annotations

from collections.abc import Iterable

import typer

from streams.checks import cycles, timer_advice
from streams.cli.arguments.options import Json
from streams.cli.commands.application_checks import Finding, has_schemas, of_application, of_schemas
from streams.cli.output.screen import application_beside, json_line, plural, read_or_not, say_lines, talk
from streams.cli.process import exit_codes
from streams.config import load
from streams.errors import StreamsError
from streams.load import application


def check(as_json: Json = False) -> None:
    """Check that the application keeps the laws; needs no broker.

    Each breach is reported with its file and line. Example: [bold]retold check && retold worker[/]
    """
    config = load()
    has_schemas(config)
    found = of_schemas(config)
    try:
        with application_beside():
            app = application(config)
    except StreamsError as error:
        if not found:
            raise
        _report(found, as_json)
        talk(f"Besides, the application does not load: {error}")
        raise typer.Exit(exit_codes.NO) from None
    found += of_application(config, app)
    _report(found, as_json)
    for cycle in cycles(app):
        talk(f"For information, a cycle: {' → '.join([*cycle, cycle[0]])}. Make sure that it ends.")
    for advice in timer_advice(app):
        talk(f"For information: {advice}.")
    if found:
        talk(f"{plural(len(found), 'breach', 'breaches')} of the laws in {app.name}.")
        raise typer.Exit(exit_codes.NO)
    talk(f"{app.name} keeps the laws: {plural(len(app.event_types()), 'event')}, each with its one handler.")


def _report(found: Iterable[Finding], as_json: bool) -> None:
    with read_or_not():
        for breach in found:
            if as_json:
                json_line({"file": breach.file, "line": breach.line, "law": breach.law or None, "message": breach.message})
            else:
                say_lines(str(breach))
