"""A plan of a correction as lines for a person."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from streams.cli.output.branch_text import fields_text
from streams.cli.output.correction_text import first_of, places_of
from streams.cli.output.row_text import change_text
from streams.cli.output.screen import EMPTY_KEY, StyledLine, plural, second_text
from streams.engine.readable import one_line, shortened
from streams.history.correction.call_advice import call_advice
from streams.history.correction.correction_plan import CorrectionPlan, PlannedCall, PlannedEvent, PlannedRow
from streams.history.difference.difference import DATA
from streams.history.difference.row_changes import row_changes

LABEL = 12
MOST = 10
"""Of one kind that are shown; the plan's file has all."""
LONGEST, FIELDS = 120, 6
OPEN = "more, for want of answers that nobody has given: what the answers had made of rows and projections is taken back"


def plan_lines(plan: CorrectionPlan) -> Iterator[StyledLine]:
    """Everything before anything happens."""
    yield _line("correction", f"{plan.correction}  by {plan.by}: {plan.why}", "bold")
    if plan.is_empty:
        yield _line("same", "nothing would be otherwise", "green")
        return
    counts = f"{len(plan.missing)} taken out   {len(plan.surplus)} put in   {len(plan.changed)} otherwise"
    yield _line("events", counts)
    yield from _listed("taken out", [_event(it) for it in plan.missing])
    yield from _listed("put in", [_event(it) for it in plan.surplus])
    yield from _listed("otherwise", [f"{_event(it)}: {_otherwise(it)}" for it in plan.changed])
    yield from _listed("rows", [_row(it) for it in plan.rows])
    told = {it.id: it for it in (*plan.surplus, *plan.changed)}
    yield from _listed("calls", [_call(it, told.get(it.id)) for it in plan.calls])
    if plan.change.again:
        yield _line("again", f"decided again as the code here decides: {first_of(places_of(plan.change.again))}")
    if plan.change.assumed:
        kept, count = len(plan.change.assumed), plural(len(plan.change.assumed), "request")
        yield _line("answers", f"{count} with other data {'keeps its answer' if kept == 1 else 'keep their answers'}")
    if plan.projections:
        yield _line("projections", f"{', '.join(plan.projections)}: each server folds them again")
    if plan.open:
        yield _line("open", f"{plural(plan.open, 'event')} {OPEN}")


def _line(label: str, text: str, style: str = "") -> StyledLine:
    return [(f"{label:<{LABEL}}", "dim"), (one_line(text), style)]


def _listed(label: str, texts: Sequence[str]) -> Iterable[StyledLine]:
    for number, text in enumerate(texts[:MOST]):
        yield _line(label if number == 0 else "", text)
    if len(texts) > MOST:
        yield _line("", f"… and {len(texts) - MOST:,} more", "dim")


def _event(it: PlannedEvent) -> str:
    """By its position; what is put in has none, and is named by its id, or by what it follows from."""
    name = it.name
    if not name:
        name = f"because of {it.because}" if it.because else f"id {it.id}"
        name += "" if it.time is None else f"  {second_text(it.time)}"
    return f"{it.type} {it.key or EMPTY_KEY}  {name}  {it.outcome}"


def _otherwise(it: PlannedEvent) -> str:
    """What of it is otherwise, with its data before and after."""
    if it.before is None:
        return ", ".join(it.what)
    return " · ".join([*(what for what in it.what if what != DATA), *map(change_text, row_changes(it.before, it.data)[:FIELDS])])


def _row(it: PlannedRow) -> str:
    timers = f"  timers +{it.timers_added} -{it.timers_dropped}" if it.timers_added or it.timers_dropped else ""
    return f"{it.namespace} {it.key}  version {it.version}: {_changes(it.before, it.after)}{timers}"


def _changes(before: Any, after: Any) -> str:
    if not isinstance(before, dict) or not isinstance(after, dict):
        return f"{_short(before)} → {_short(after)}"
    return fields_text(before, after) or "the row stays"


def _short(value: Any) -> str:
    return "(none)" if value is None else shortened(msgspec.json.encode(value).decode(), LONGEST)


def _call(it: PlannedCall, request: PlannedEvent | None) -> str:
    """With what is to be done about it; `request` is the event as it would be, if it would be."""
    text = f"{it.kind}  {it.type} {it.key} ({it.id})"
    asked, right = (None, None) if request is None else (request.before, request.data)
    if advice := call_advice(it.kind, it.type, it.undo, asked, right):
        return f"{text}  {advice}"
    return f"{text}  undo: {it.undo}" if it.undo else text
