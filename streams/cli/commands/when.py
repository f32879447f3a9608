"""`retold when`: since when something holds of a row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Annotated, Any

import typer

from streams.cli.arguments.conditions import condition_about
from streams.cli.arguments.lookup import namespace_named
from streams.cli.arguments.options import HistoryOption, Json
from streams.cli.arguments.parsers import whole
from streams.cli.output.row_text import change_text, value_text
from streams.cli.output.screen import json_line, plural, read_or_not, table, talk, time_text
from streams.cli.output.untold_text import show_end, show_gaps, show_untold
from streams.cli.process import exit_codes
from streams.cli.process.opened_past import OpenedPast, open_past
from streams.engine.times import from_micros
from streams.errors import BeforeHistory
from streams.history.difference.row_changes import FieldChange, Missing
from streams.history.recorded_event import Place, RecordedEvent
from streams.history.story.named_event import nothing_happened
from streams.history.story.story_members import change_members
from streams.history.untold_rows import UntoldRows
from streams.history.when.predicate import Predicate
from streams.history.when.when import Turn, Turns, events_before_gone

SHOWN = 50


def when(
    namespace: Annotated[str, typer.Argument(help="Namespace whose rows to look at.", metavar="NAMESPACE")],
    key_or_condition: Annotated[
        str, typer.Argument(help="Key of the row; with --table the condition.", metavar="KEY")
    ],
    condition: Annotated[
        str | None, typer.Argument(help="Such as \"status == 'paid'\".", metavar="CONDITION")
    ] = None,
    all_rows: Annotated[bool, typer.Option("--table", help="Look at all rows: give no KEY.")] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", parser=whole(1), help=f"Show the first N turns; default: {SHOWN}, with --json all.", metavar="N"
        ),
    ] = None,
    history: HistoryOption = None,
    as_json: Json = False,
) -> None:
    """Say since when something holds of a row.

    That is, after which event it began to hold, and each change. A condition names fields of the row:
    [bold]total > 100 and status in ('paid', 'sent')[/]. Times are compared with texts such as '2026-01-31T12:00:00Z'. Where there
    is no row nothing holds, but [bold]row is None[/]. If it never held, the exit code is 1. Of a row that this code cannot tell,
    what it can is told, up to where it ends, and the exit code is 3.

    Example: [bold]retold when order o1 "status == 'paid'"[/]
    """
    if all_rows == (condition is not None):
        raise typer.BadParameter("give NAMESPACE KEY CONDITION, or NAMESPACE CONDITION --table.")
    key = None if all_rows else key_or_condition
    with open_past(history) as opened:
        text = key_or_condition if condition is None else condition
        predicate = condition_about(namespace_named(opened.app, namespace), text)
        with read_or_not():
            code = _told(opened, predicate, namespace, key, limit, as_json=as_json)
    if code != exit_codes.OK:
        raise typer.Exit(code)


def _told(
    opened: OpenedPast, predicate: Predicate, namespace: str, key: str | None, limit: int | None, *, as_json: bool
) -> int:
    """Show the turns of a row, or of all; the exit code."""
    untold = UntoldRows(opened.past, namespace, keys=None if key is None else ())
    turns = Turns(predicate, opened.telling, untold)
    gone: BeforeHistory | None = None
    if key is None:
        found = turns.take(opened.past.namespace_events(namespace))
    else:
        events, gone = _events(opened, (namespace, key))
        found = turns.take(events)
    shown = _as_json(found, limit) if as_json else _as_table(found, predicate, limit or SHOWN, with_key=key is None)
    if key is not None and gone is not None:
        untold.add(key, gone)
    if not as_json:
        _conclude(turns, predicate, ever=shown > 0, all_rows=key is None, is_whole=not untold)
    (show_untold if key is None else show_end)(untold, as_json=as_json)
    show_gaps(turns.gaps, as_json=as_json)
    if untold:
        return exit_codes.CONFIGURATION
    return exit_codes.OK if shown or turns.holding else exit_codes.NO


def _events(opened: OpenedPast, place: Place) -> tuple[Sequence[RecordedEvent], BeforeHistory | None]:
    """Those of one row that are told, and why no more of them are. Raises NoSuchEvent, or BeforeHistory if none is."""
    events, gone = events_before_gone(opened.past, place)
    if events:
        return events, gone
    raise gone or nothing_happened(opened.past, place, opened.waiting.of_key(place, 1))


def _as_json(found: Iterator[Turn], limit: int | None) -> int:
    shown = 0
    for turn in islice(found, limit):
        json_line(_members(turn))
        shown += 1
    return shown


def _members(turn: Turn) -> dict[str, Any]:
    it = turn.event
    return {
        "key": it.key, "holds": turn.holds, "position": it.name, "type": it.event_type, "id": it.event.id, "time": it.event.time,
        "recorded": from_micros(it.order.recorded), "changes": [change_members(each) for each in turn.changes],
    }  # fmt: skip


def _as_table(found: Iterator[Turn], predicate: Predicate, limit: int, *, with_key: bool) -> int:
    rows, more = list[list[str]](), 0
    for turn in found:
        if len(rows) == limit:
            more += 1
            continue
        rows.append(_cells(turn, predicate, with_key=with_key))
    if rows:
        table((*(("key",) if with_key else ()), "", "event", "position", "time", "changed"), rows)
    if more:
        talk(f"{plural(more, 'later change')} left out; --limit shows more.")
    return len(rows)


def _cells(turn: Turn, predicate: Predicate, *, with_key: bool) -> list[str]:
    it = turn.event
    asked = [each for each in turn.changes if each.field.partition(".")[0] in predicate.fields]
    changed = ", ".join(map(_changed, asked)) if turn.after is not None else "the row is deleted"
    key = [it.key] if with_key else []
    return [*key, "since" if turn.holds else "until", it.event_type, it.name, time_text(it.event.time), changed]


def _changed(change: FieldChange) -> str:
    return f"{change.field} {value_text(change.after)}" if isinstance(change.before, Missing) else change_text(change)


def _conclude(turns: Turns, predicate: Predicate, *, ever: bool, all_rows: bool, is_whole: bool) -> None:
    """Of one row that is not told to its end, nothing holds now."""
    events = plural(turns.looked_at, "event")
    if all_rows:
        talk(f"{predicate.text} holds now of {len(turns.holding):,} of {plural(turns.keys, 'key')}; {events} looked at.")
    elif is_whole:
        told = "holds now" if turns.holding else "does not hold now" if ever else "never held"
        talk(f"{predicate.text} {told}; {events} looked at.")
