"""`retold what-if`: the past with a change, decided again in memory."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from streams.cli.arguments.options import HistoryOption, Json
from streams.cli.arguments.wrong_usage import WrongUsage, wrong_usage
from streams.cli.output.branch_text import change_lines, difference_lines
from streams.cli.output.screen import json_line, say_styled, talk
from streams.cli.process.named_files import read_named
from streams.cli.process.opened_past import OpenedPast, open_past
from streams.engine.readable import named
from streams.errors import ConfigError, DefinitionError, InvalidEvent
from streams.history.branch.branch import what_if as branch_of
from streams.history.branch.branch_tables import compare_projections, compare_views, refuse_unknown_views
from streams.history.branch.change_document import LARGEST, ChangeDocument, answers_of, bounded, change_of
from streams.history.difference.difference_members import difference_members
from streams.history.story.named_event import event_named

EXPECTED = {
    "insert": ("--insert", 'an event, such as {"type": "user.signup", "time": "2026-03-01T10:00:00Z", "data": {"user": "u1"}},'),
    "replac": ("--replace", 'an event and its data, such as signup-1={"user": "u1"},'),
    "answer": ("--answer", 'a request\'s type and an answer, such as payment.charge={"type": "payment.charged", "data": {}},'),
}
"""An option, and what it takes, by the first letters of its member in a document."""


def what_if(
    remove: Annotated[
        list[str] | None,
        typer.Option("--remove", help="Take out a published event, and all that it led to.", metavar="EVENT"),
    ] = None,
    insert: Annotated[
        list[str] | None,
        typer.Option(
            "--insert",
            help='Put in an event: {"type": …, "time": …, "data": {…}}, or a file that holds it; optional: id, after.',
            metavar="JSON|FILE",
        ),
    ] = None,
    replace: Annotated[
        list[str] | None,
        typer.Option(
            "--replace", help="Give a published event other data: JSON, or a file.", metavar="EVENT=JSON|FILE"
        ),
    ] = None,
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
    if not (remove or insert or replace):
        raise WrongUsage("nothing is changed: say what, by --remove, --insert or --replace")
    document = _decoded(_document(remove or [], insert or [], replace or [], answer or [], view or []))
    with open_past(history) as opened:
        _tell(opened, document, as_json=as_json)


def _tell(opened: OpenedPast, document: ChangeDocument, *, as_json: bool) -> None:
    with wrong_usage(InvalidEvent, DefinitionError):
        refuse_unknown_views(opened.app, document.views)
        change = change_of(opened.app, document, lambda name: event_named(opened.past, opened.waiting, opened.app, name))
        answers = answers_of(opened.app, document)
    began = time.perf_counter()
    with wrong_usage(InvalidEvent, DefinitionError):
        branch = branch_of(opened.past, opened.handlers, change, answers=answers)
    compare_projections(opened.past, branch, opened.handlers)
    compare_views(opened.past, branch, opened.handlers, document.views)
    found = branch.difference
    took = time.perf_counter() - began
    if as_json:
        for members in difference_members(found):
            json_line(members)
    else:
        say_styled([*change_lines(change, opened.past), *difference_lines(found, took)])
        if found.waiting and not document.answers:
            talk("With --answer, what follows from an answer that is not known is told as well.")


def _document(remove: list[str], insert: list[str], replace: list[str], answer: list[str], view: list[str]) -> dict[str, Any]:
    inserted: list[Any] = []
    for text in insert:
        value = _json("--insert", text)
        inserted += value if isinstance(value, list) else [value]
    return {
        "remove": remove,
        "insert": inserted,
        "replace": dict(_pair("--replace", text) for text in replace),
        "answers": dict(_pair("--answer", text) for text in answer),
        "views": view,
    }


def _decoded(document: dict[str, Any]) -> ChangeDocument:
    """Raises WrongUsage that names the option."""
    try:
        with wrong_usage(InvalidEvent):
            return bounded(msgspec.json.decode(msgspec.json.encode(document), type=ChangeDocument))
    except (msgspec.MsgspecError, RecursionError) as error:
        why, _, path = str(error).partition(" - at `$.")
        option, expected = EXPECTED.get(path[: len("insert")], ("the change", "less"))
        raise WrongUsage(f"{option}: {why}; {expected} was expected") from error


def _pair(option: str, text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise WrongUsage(f"{option} is {named(text)!r}; a name, =, and JSON or a file were expected")
    return name, _json(option, value)


def _json(option: str, text: str) -> Any:
    """What a text that begins with a brace holds, or the file that it names. Raises WrongUsage, or of the file ConfigError."""
    is_json = text.lstrip()[:1] in ("{", "[")
    content = text.encode() if is_json else read_named(Path(text), LARGEST, f" ({option})")
    where, refused = (option, WrongUsage) if is_json else (f"the file {named(text)}", ConfigError)
    if len(content) > LARGEST:
        raise refused(f"{where} holds more than {LARGEST} bytes")
    try:
        return msgspec.json.decode(content)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise refused(f"{where} holds no JSON: {error}") from error
