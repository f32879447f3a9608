"""`retold what-if`: the past with a change, decided again in memory."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from streams.cli.arguments.change_options import InsertOption, RemoveOption, ReplaceOption, change_document
from streams.cli.arguments.options import HistoryOption, Json
from streams.cli.arguments.wrong_usage import wrong_usage
from streams.cli.output.branch_text import change_lines, difference_lines
from streams.cli.output.screen import json_line, say_styled, talk
from streams.cli.process.opened_past import OpenedPast, open_past
from streams.errors import DefinitionError, InvalidEvent
from streams.history.branch.branch import what_if as branch_of
from streams.history.branch.branch_tables import compare_projections, compare_views, refuse_unknown_views
from streams.history.branch.change_document import ChangeDocument, answers_of, change_of
from streams.history.difference.difference_members import difference_members
from streams.history.event_lookup import in_file


def what_if(
    remove: RemoveOption = None,
    insert: InsertOption = None,
    replace: ReplaceOption = None,
    answer: Annotated[
        list[str] | None,
        typer.Option(
            "--answer",
            help='What a gateway would answer: payment.charge={"type": "payment.charged", "data": {…}}.',
            metavar="TYPE=JSON|FILE",
        ),
    ] = None,
    view: Annotated[
        list[str] | None,
        typer.Option("--view", help="Also ask a view, before and after: orders-of/c7.", metavar="PATH"),
    ] = None,
    history: HistoryOption = None,
    as_json: Json = False,
) -> None:
    """Tell what would have happened if an event had never been, or had been another.

    Or if one more had been.

    The events that the change reaches are decided again by their handlers, in memory. Nothing real is touched and nobody is
    called: a request that was answered has its answer again, another one is shown as a call that would be made.

    An event is named by its id or position (user-3:7). The exit code is 0, whatever would be otherwise.

    Example: [bold]retold what-if --remove user-3:7[/]
    """
    document = change_document(remove, insert, replace, answer, view)
    with open_past(history) as opened:
        _tell(opened, document, as_json=as_json)


def _tell(opened: OpenedPast, document: ChangeDocument, *, as_json: bool) -> None:
    with wrong_usage(InvalidEvent, DefinitionError):
        refuse_unknown_views(opened.app, document.views)
        find, past = in_file(opened.past, opened.waiting, opened.app), opened.counted
        change = change_of(opened.app, document, lambda name: find(past, name))
        answers = answers_of(opened.app, document)
    began = time.perf_counter()
    with wrong_usage(InvalidEvent, DefinitionError):
        branch = branch_of(past, opened.handlers, change, answers=answers)
    compare_projections(past, branch, opened.handlers)
    compare_views(past, branch, opened.handlers, document.views)
    found = branch.difference
    took = time.perf_counter() - began
    if as_json:
        for members in difference_members(found):
            json_line(members)
    else:
        say_styled([*change_lines(change, past), *difference_lines(found, took)])
        if found.waiting and not document.answers:
            talk("With --answer, what follows from an answer that is not known is told as well.")

