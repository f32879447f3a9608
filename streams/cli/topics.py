"""`retold topics`: the topics as they are beside what they should be."""

from __future__ import annotations

from streams.cli import exits
from streams.cli.connect import connect
from streams.cli.screen import json_line, plural, table, talk
from streams.kafka.topics import TopicReport, ensure


def topics(create: bool, as_json: bool) -> int:
    """Gives the exit code: 1 if one is missing or set otherwise."""
    session = connect()
    reports = ensure(session.clients.admin(), session.config, session.namespaces, create=create)
    if as_json:
        for report in reports:
            json_line(report._asdict())
    else:
        rows = [(report.name, report.kind, report.partitions or None, _state(report)) for report in reports]
        table(("topic", "kind", "partitions", "state"), rows, right=["partitions"])
    problems = [problem for report in reports for problem in report.problems]
    for problem in problems:
        talk(f"{problem}.")
    if not as_json and not problems:
        talk(f"{plural(len(reports), 'topic')}, all as they should be.")
    return exits.NO if problems else exits.OK


def _state(report: TopicReport) -> str:
    if report.created:
        return "made"
    if report.partitions == 0:
        return "missing"
    return "set otherwise" if report.problems else "as it should be"
