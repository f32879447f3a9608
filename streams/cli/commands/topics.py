"""`retold topics`: the topics beside what they should be."""

from __future__ import annotations

from typing import Annotated

import typer

from streams.cli.arguments.options import Json
from streams.cli.output.screen import json_line, plural, read_or_not, table, talk
from streams.cli.process import exit_codes
from streams.cli.process.session import connect
from streams.kafka.topics import TopicReport, ensure


def topics(
    create: Annotated[bool, typer.Option("--create", help="Create missing topics.")] = False,
    as_json: Json = False,
) -> None:
    """Compare the topics with their expected settings; create missing ones.

    Exit code 1 if a topic is missing or differs. Example: [bold]retold topics --create[/]
    """
    session = connect()
    reports = ensure(session.clients.admin(), session.config, session.namespaces, create=create)
    with read_or_not():
        if as_json:
            for report in reports:
                json_line(report._asdict())
        else:
            rows = [(report.name, report.kind, report.partitions or None, _state(report)) for report in reports]
            table(("topic", "kind", "partitions", "state"), rows, right=["partitions"])
    problems = [problem for report in reports for problem in report.problems]
    for problem in problems:
        talk(f"{problem}.")
    if problems:
        raise typer.Exit(exit_codes.NO)
    if not as_json:
        talk(f"{plural(len(reports), 'topic')}, all as expected.")


def _state(report: TopicReport) -> str:
    if report.created:
        return "created"
    if report.partitions == 0:
        return "missing"
    return "differs" if report.problems else "as expected"
