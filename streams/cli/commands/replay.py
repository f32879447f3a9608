"""`retold replay`: a change of the code, checked against the recorded past."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Literal

import typer

from streams.cli.arguments.options import HistoryOption, Json
from streams.cli.arguments.parsers import time_with_zone, whole
from streams.cli.output.branch_text import DOES
from streams.cli.output.progress import bar
from streams.cli.output.replay_text import replay_lines, replay_markdown
from streams.cli.output.screen import json_line, plural, read_or_not, say, say_styled, talk
from streams.cli.process.accepted_file import read_accepted
from streams.cli.process.base_code import CodeProcess, base_folder
from streams.cli.process.exit_codes import NO, code_of
from streams.cli.process.named_files import write_named
from streams.cli.process.opened_past import OpenedPast, open_past
from streams.config import load
from streams.engine.readable import named
from streams.engine.records import PARKED
from streams.engine.times import to_micros
from streams.errors import ConfigError, StreamsError
from streams.history.acceptance_file import encode_accepted
from streams.history.branch.branch import replay_difference
from streams.history.branch.branch_calls import as_it_answered
from streams.history.code.code_link import CodeLink
from streams.history.difference.accepted_origins import AcceptedOrigin, counted, not_accepted
from streams.history.difference.difference import UNTOLD, Difference
from streams.history.difference.difference_members import difference_members
from streams.history.stored.read_ahead import ReadAhead
from streams.history.watched_past import WatchedPast

Format = Literal["text", "json", "markdown"]


def replay(  # noqa: PLR0913 - one parameter an option
    base: Annotated[
        str | None,
        typer.Option(
            "--base",
            help="Compare with this revision of git, or the project in this folder; default: where this branch left the main one.",
            metavar="REV|FOLDER",
        ),
    ] = None,
    shape: Annotated[
        Format | None, typer.Option("--format", help="How the result is written; default: as text.")
    ] = None,
    accept: Annotated[
        Path | None,
        typer.Option("--accept", help="Differences that are accepted, as --save wrote them.", metavar="FILE"),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option("--save", help="Write the differences that there are, to be accepted.", metavar="FILE"),
    ] = None,
    assume_answers: Annotated[
        bool,
        typer.Option("--assume-answers", help="Gateways answer as they did, also to a request with other data."),
    ] = False,
    last: Annotated[
        int | None,
        typer.Option("--last", parser=whole(1), help="Decide the last N events only, on the rows before them.", metavar="N"),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            "--since", parser=time_with_zone, help="Decide what was recorded at this time or later.", metavar="TIME"
        ),
    ] = None,
    history: HistoryOption = None,
    python: Annotated[
        str | None, typer.Option("--python", help="Run the other code with this Python.", metavar="FILE")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a change of the code against the recorded past.

    All that was handled is decided again by the handlers as they are in this folder, and compared with what was recorded and
    with the rows that the code before made. Where a handler decides otherwise, its events are shown as origins; what follows
    from them is counted. Nothing real is touched. If the code before refuses an event that had been accepted, its row is not
    compared from there on, nor is one of which an event was erased.

    The exit code is 0 if nothing is otherwise, or all of it is accepted or saved to be, and 1 if something is. Any other code: it
    could not be compared.

    Example: [bold]retold replay --base origin/main --format markdown[/]
    """
    if last is not None and since is not None:
        raise typer.BadParameter("give --last or --since, not both.")
    if as_json and shape not in (None, "json"):
        raise typer.BadParameter(f"--json is the same as --format json: leave out --json or --format {shape}.")
    accepted = [] if accept is None else read_accepted(accept)
    with _compared(), base_folder(load().project, base) as (folder, name), open_past(history) as opened:
        began = time.perf_counter()
        skip = _skipped(opened, last, since)
        found = _replayed(opened, folder, python, skip, assume_answers=assume_answers)
        took = time.perf_counter() - began
        found.parked = opened.waiting.count(PARKED)
    if found.waiting and not assume_answers:
        talk("With --assume-answers, what follows from a request with other data is told as well.")
    refused = not_accepted(found, accepted)
    with read_or_not():
        _tell("json" if as_json else shape or "text", found, name, took, None if accept is None else refused)
    if save is not None:
        write_named(save, encode_accepted(counted(found)))
        refused = []  # all that may be accepted is, by this file
        talk(f"The differences were written to {named(str(save))}; with --accept they are exit code 0.")
    elif accept is None and any(it.recorded is not None for it in found.untold):
        talk("Rows that cannot be told are exit code 1 until they are accepted: --save FILE, and from then on --accept FILE.")
    if refused or (not found.shows_nothing and not found.origins):
        raise typer.Exit(NO)


@contextmanager
def _compared() -> Iterator[None]:
    """What hinders a comparison is no negative result, such as code that cannot be loaded. Raises ConfigError in its place."""
    try:
        yield
    except StreamsError as error:
        if code_of(error) != NO:
            raise
        raise ConfigError(str(error)) from error


def _skipped(opened: OpenedPast, last: int | None, since: datetime | None) -> int:
    """How many events are not decided."""
    if last is not None:
        return max(0, len(opened.past) - last)
    if since is None:
        return 0
    first = to_micros(since)
    return sum(1 for _ in takewhile(lambda row: row[0] < first, opened.past.logged()))


def _replayed(
    opened: OpenedPast, folder: Path, python: str | None, skip: int, *, assume_answers: bool
) -> Difference:
    total = len(opened.past)
    with CodeProcess(folder, python) as other, bar("replaying", total) as advance:
        schemas = [opened.codec.schema_text(each) for each in opened.codec.schema_ids()]
        ahead = ReadAhead(opened.past)
        link = CodeLink(opened.handlers, ahead.logged(), other.requests, other.answers, schemas, other.kill)
        for text in link.schemas:
            opened.codec.add_schema(text)
        past, answers = WatchedPast(ahead, advance), as_it_answered if assume_answers else None
        return replay_difference(past, link, opened.handlers, answers=answers, skip=skip)


def _tell(shape: Format, found: Difference, base: str, took: float, refused: list[AcceptedOrigin] | None) -> None:
    """`refused` are origins that are not accepted; None: nobody has accepted any."""
    if shape == "json":
        for members in difference_members(found):
            json_line(members)
    elif shape == "markdown":
        for line in replay_markdown(found, base, took, refused):
            say(line)
    else:
        say_styled(replay_lines(found, base, took, refused))
    for it in refused or ():
        of = plural(it.count, "row" if it.kind == UNTOLD else "event")
        talk(f"{it.handler} {DOES[it.kind]} for {of}, which is not accepted.")
