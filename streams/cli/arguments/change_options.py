"""The options that name a change of the past, and the document that they are put together to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from streams.cli.arguments.wrong_usage import WrongUsage, wrong_usage
from streams.cli.process.named_files import read_named
from streams.engine.readable import named
from streams.errors import UNREADABLE_JSON, ConfigError, InvalidEvent
from streams.history.branch.change_document import LARGEST, ChangeDocument, bounded

RemoveOption = Annotated[
    list[str] | None,
    typer.Option("--remove", help="Take out a published event, and all that it led to.", metavar="EVENT"),
]
InsertOption = Annotated[
    list[str] | None,
    typer.Option(
        "--insert",
        help='Put in an event: {"type": …, "time": …, "data": {…}}, or a file that holds it; optional: id, after.',
        metavar="JSON|FILE",
    ),
]
ReplaceOption = Annotated[
    list[str] | None,
    typer.Option("--replace", help="Give a published event other data: JSON, or a file.", metavar="EVENT=JSON|FILE"),
]
EXPECTED = {
    "insert": ("--insert", 'an event, such as {"type": "user.signup", "time": "2026-03-01T10:00:00Z", "data": {"user": "u1"}},'),
    "replac": ("--replace", 'an event and its data, such as signup-1={"user": "u1"},'),
    "answer": ("--answer", 'a request\'s type and an answer, such as payment.charge={"type": "payment.charged", "data": {}},'),
}
"""An option, and what it takes, by the first letters of its member in a document."""


def change_document(
    remove: list[str] | None,
    insert: list[str] | None,
    replace: list[str] | None,
    answer: list[str] | None = None,
    view: list[str] | None = None,
) -> ChangeDocument:
    """Raises WrongUsage that names the option, also if nothing is changed; ConfigError for a file that cannot be read."""
    if not (remove or insert or replace):
        raise WrongUsage("nothing is changed: say what, by --remove, --insert or --replace")
    inserted: list[Any] = []
    for text in insert or []:
        value = _json("--insert", text)
        inserted += value if isinstance(value, list) else [value]
    return _decoded(
        {
            "remove": remove or [],
            "insert": inserted,
            "replace": dict(_pair("--replace", text) for text in replace or []),
            "answers": dict(_pair("--answer", text) for text in answer or []),
            "views": view or [],
        }
    )


def _decoded(document: dict[str, Any]) -> ChangeDocument:
    try:
        with wrong_usage(InvalidEvent):
            return bounded(msgspec.json.decode(msgspec.json.encode(document), type=ChangeDocument))
    except UNREADABLE_JSON as error:
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
    except UNREADABLE_JSON as error:
        raise refused(f"{where} holds no JSON: {error}") from error
