"""A branch's difference as lines for a person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from datetime import datetime
from itertools import groupby
from typing import Any

from streams.cli.output.row_text import apart, change_text, value_text
from streams.cli.output.screen import EMPTY_KEY, StyledLine, plural, second_text, time_text
from streams.data import EventData, Record
from streams.engine.readable import one_line, shortened
from streams.history.branch.branch_change import events_in_change
from streams.history.branch.branch_projections import ProjectionChange
from streams.history.branch.change import Change
from streams.history.difference.difference import (
    EVENTS,
    OUTCOME,
    PARKED,
    RAISES,
    REASON,
    ROW,
    UNHANDLED,
    UNTOLD,
    CallChange,
    ChangedEvent,
    Difference,
    Origin,
    RowChange,
    TimerChange,
    UntoldRow,
    ViewChange,
)
from streams.history.difference.difference_members import view_changes
from streams.history.difference.row_changes import FieldChange, Missing, row_changes
from streams.history.past import Past
from streams.history.recorded_event import RecordedEvent

LABEL = 12
"""Characters of the column of what a line is about."""
LONGEST, FIELDS = 200, 6
MOST = 10
"""Of one kind that are shown; `--json` has all."""
DOES = {
    UNHANDLED: "has no handler",
    PARKED: "raises no more",
    RAISES: "raises",
    OUTCOME: "decides otherwise",
    REASON: "gives another reason",
    EVENTS: "emits otherwise",
    ROW: "leaves another row",
    UNTOLD: "refused what was accepted",
}
"""What a handler does, by the kind of an origin; UNTOLD: what it did in the code before."""
BOLD, DIM, BAD, GOOD = "bold", "dim", "red", "green"

Fields = Record | Mapping[str, Any]
"""Of a row, or of one as a file has it."""


def change_lines(change: Change, past: Past) -> Iterator[StyledLine]:
    """What the branch has otherwise from the beginning."""
    for reference in sorted(change.remove):
        yield _line("taken out", _named(next(iter(events_in_change(past, reference)), None)), BOLD)
    for reference in change.replace:
        yield _line("replaced", _named(next(iter(events_in_change(past, reference)), None)), BOLD)
    for it in change.insert:
        yield _line("put in", f"{it.data.event_type} {it.data.key or EMPTY_KEY}  {second_text(it.time)}", BOLD)


def difference_lines(found: Difference, took: float) -> list[StyledLine]:
    """`took` in s."""
    lines = [_line("past", _counted(found, took), DIM), *untold_lines(found.untold)]
    if found.shows_nothing:
        return [
            *lines,
            _line("same", same_text(found), GOOD if found.decided or not found.skipped else BOLD),
            *_skipped(found),
            *_untold_beside(found.projections.untold, "projections"),
            *_untold_beside(found.untold_views, "views"),
        ]
    lines += origin_lines(found.origins)
    lines += [*_section("events", [_events_counted(found)]), *_skipped(found)]
    lines += _listed("missing", [_named(it) for it in found.missing])
    lines += _listed("surplus", [_decided(it) for it in found.surplus])
    lines += _listed("changed", [_changed(it) for it in found.changed])
    lines += _listed("raised", [f"{_named(it.event)}: {_short(it.error)}" for it in found.raised if not it.behind], BAD)
    if behind := sum(it.behind for it in found.raised):
        lines += _section("", [f"and {plural(behind, 'event')} behind them, of the same keys"])
    lines += _listed("rows", [_row(it) for it in found.rows])
    lines += _listed("projections", [_projected(it) for it in found.projections.changes])
    lines += _untold_beside(found.projections.untold, "projections" if not found.projections.changes else "")
    lines += _listed("views", [_view(it) for it in found.views])
    lines += _untold_beside(found.untold_views, "views" if not found.views else "")
    lines += _calls(found.calls)
    lines += _listed("waits for", [f"{_described(it)}: its answer is not known" for it in found.waiting])
    lines += _listed("open", [f"{_described(it)}: it depends on such an answer" for it in found.open])
    lines += _listed("timers", [_timer(it) for it in found.timers])
    return lines


def untold_lines(untold: Sequence[UntoldRow]) -> Iterator[StyledLine]:
    """The rows that the code which made the past cannot tell, and how much is not compared therefore."""
    if not untold:
        return
    yield from _listed("untold", [_short(it.why) for it in untold], BAD)
    for it in untold:
        if it.is_told:
            row = "there is no row" if it.after is None else fields_text(None, it.after)
            yield _line("", f"without it, {it.place[0]} {it.place[1] or EMPTY_KEY}: {row}", BOLD)
    left = [it for it in untold if not it.is_told]
    events, rows = sum(it.events for it in left), plural(len(left), "row")
    if not events:
        which = "it" if len(left) == 1 else f"these {rows}"
        yield from [_line("", f"so it is not told what would be otherwise in {which}", DIM)] if left else []
        return
    stand = "stands as recorded, and is" if events == 1 else "stand as recorded, and are"
    yield _line("", f"so {plural(events, 'event')} of {rows} {stand} not compared", DIM)


def origin_lines(origins: Sequence[Origin]) -> Iterator[StyledLine]:
    """Where code decides otherwise, by handler: the first one of each is shown."""
    counts = Counter(it.recorded.event_type for it in origins)
    for number, (event_type, count) in enumerate(counts.most_common()):
        first = next(it for it in origins if it.recorded.event_type == event_type)
        was = first.recorded
        text = (
            f"{event_type} {DOES[first.kind]}: {plural(count, 'event')}, the first {was.key or EMPTY_KEY}  {was.name}"
        )
        yield _line("" if number else "origins", text, BOLD)
        then, now = decision_texts(first)
        yield _line("", f"then {then}", DIM)
        yield _line("", f"now  {now}", "")


def decision_texts(it: Origin) -> tuple[str, str]:
    """What became of an event, its row and what followed, then and now. What both have alike is left out."""
    others = {change.field for change in row_changes(it.row_then, it.row_now)} or None
    then, now = _decision(it.recorded, it.row_before, it.row_then, others), _decision(it.now, it.row_before, it.row_now, others)
    if it.kind == UNHANDLED:
        now = "nobody handles it: the row stays, and nothing follows"
    if it.kind == RAISES:
        now = f"raises {_short(it.now.reason or '')}"
    if it.kind == EVENTS:
        then, now = (f"{text}; {emits}" for text, emits in zip((then, now), _emissions(it), strict=True))
    return then, now


def _emissions(it: Origin) -> tuple[str, str]:
    """What an event emits, then and now, where that is otherwise: of an event of both, only the fields, and the time."""
    then, now = [*zip(it.emitted_then, it.times_then, strict=True)], [*zip(it.emitted_now, it.times_now, strict=True)]
    return _emitted(then, now), _emitted(now, then)


def _emitted(events: Sequence[tuple[EventData, datetime]], others: Sequence[tuple[EventData, datetime]]) -> str:
    counterparts = {(data.event_type, data.key): (data, time) for data, time in others}
    texts = []
    for data, time in events[:FIELDS]:
        other, its_time = counterparts.get((data.event_type, data.key), (data, time))
        fields = [f"{each.field} {apart(each.before, each.after)[0]}" for each in row_changes(data, other)[:FIELDS]]
        if its_time != time:
            fields.append(f"at {_apart(time, its_time)}")
        shown = f" ({', '.join(fields)})" if fields else ""
        texts.append(f"{data.event_type} {one_line(data.key)}{shown}")
    more = [f"and {len(events) - FIELDS} more"] if len(events) > FIELDS else []
    return f"emits {', '.join([*texts, *more])}" if events else "emits nothing else"


def _apart(time: datetime, other: datetime) -> str:
    """By the second, unless only a part of one tells it from the other."""
    return second_text(time) if second_text(time) != second_text(other) else time_text(time)


def _decision(it: RecordedEvent, before: Record | None, after: Record | None, fields: Set[str] | None) -> str:
    if it.is_parked:
        return f"parked: {_short(it.reason or '')}"
    if not it.accepted:
        return f"rejected: {_short(it.reason or '')}"
    if not (changed := fields_text(before, after, fields)) and fields and before != after:
        changed = f"{', '.join(sorted(fields)[:FIELDS])} as before"  # it changed others, which both have alike
    return f"accepted, {changed or 'the row stays as it was'}"


def _counted(found: Difference, took: float) -> str:
    time = f"{took * 1000:.0f} ms" if took < 1 else f"{took:.1f} s"
    return f"{plural(found.total, 'event')} · {found.decided:,} decided again, of {plural(found.keys, 'key')} · {time}"


def same_text(found: Difference) -> str:
    """Of a difference that shows nothing: said of the last events alone, if only these were decided."""
    if found.skipped and not found.total:
        return "no event was decided, so nothing can be otherwise"
    last = "" if not found.skipped else "of the last event " if found.total == 1 else f"of the last {plural(found.total, 'event')} "
    all_else = ("and of all else " if last else "of all else ") if found.leaves_something_untold else ""
    return f"{last}{all_else}nothing would be otherwise: the same events, the same rows, the same calls"


def _skipped(found: Difference) -> Iterator[StyledLine]:
    earlier = f"{plural(found.skipped, 'earlier event')}: a fault in those is not seen"
    return _section("not decided", [earlier] if found.skipped else [], DIM)


def _events_counted(found: Difference) -> str:
    parts = [f"{len(found.missing):,} missing", f"{len(found.surplus):,} surplus", f"{len(found.changed):,} changed"]
    if found.open:
        parts.append(f"{len(found.open):,} open")
    return " · ".join([*parts, f"{found.same:,} the same"])


def _calls(calls: Sequence[CallChange]) -> Iterator[StyledLine]:
    ordered = sorted(calls, key=lambda it: it.kind)
    for number, (kind, group) in enumerate(groupby(ordered, key=lambda it: it.kind)):
        texts = [f"{kind}  {it.request.data.event_type} {it.request.key or EMPTY_KEY}" for it in group]
        yield from _listed("calls" if number == 0 else "", texts)


def _timer(it: TimerChange) -> str:
    times = " → ".join(f"{second_text(time)}" for time in (it.before, it.after) if time is not None)
    return f"{it.kind}  {it.data.event_type} {it.data.key or EMPTY_KEY}  {times}"


def _row(it: RowChange) -> str:
    namespace, key = it.place
    name = f"{namespace} {key or EMPTY_KEY}"
    waits = "  (waits for an answer)" if it.open else ""
    if it.after is None:
        return f"{name}  the row is gone{waits}"
    return f"{name}  {'new row: ' if it.before is None else ''}{fields_text(it.before, it.after)}{waits}"


def _projected(it: ProjectionChange) -> str:
    name, waits = f"{it.projection} {it.key or EMPTY_KEY}", "  (waits for an answer)" if it.open else ""
    if it.after is None:
        return f"{name}  the row is gone{waits}"
    return f"{name}  {'new row: ' if it.before is None else ''}{fields_text(it.before, it.after)}{waits}"


def _view(it: ViewChange) -> str:
    """Members of an answer that are new or gone are named; of the others, what is otherwise."""
    changes = view_changes(it)
    texts = []
    for each in changes[:FIELDS]:
        name = each.field.removeprefix("answer").lstrip(".")
        if isinstance(each.before, Missing) or isinstance(each.after, Missing):
            texts.append(f"{name} is {'new' if isinstance(each.before, Missing) else 'gone'}")
        else:
            texts.append(change_text(FieldChange(name, each.before, each.after)).lstrip())
    more = [f"and {len(changes) - FIELDS} more"] if len(changes) > FIELDS else []
    return f"{it.path}  {' · '.join([*texts, *more])}"


def fields_text(before: Fields | None, after: Fields | None, fields: Set[str] | None = None) -> str:
    """What changes in a row, in short; `fields` are those that are told, None: all. Empty if nothing does."""
    if after is None:
        return "" if before is None else "the row is deleted"
    changes = [it for it in row_changes(before, after) if fields is None or it.field in fields]
    texts = [
        f"{it.field} {value_text(it.after)}" if before is None else change_text(it)
        for it in changes[:FIELDS]
    ]
    return " · ".join([*texts, *([f"and {len(changes) - FIELDS} more"] if len(changes) > FIELDS else [])])


def _changed(it: ChangedEvent) -> str:
    was, now = it.recorded, it.now
    if UNHANDLED in it.what:
        return f"{_named(was)}: it has no handler"
    if PARKED in it.what:
        return f"{_named(was)}: {'it would be parked' if now.is_parked else 'it would not be parked'}"
    if OUTCOME in it.what:
        outcome = "accepted" if now.accepted else f"rejected: {_short(now.reason or '')}"
        then = "accepted" if was.accepted else f"rejected: {_short(was.reason or '')}"
        return f"{_named(was)}: {then} → {outcome}"
    if REASON in it.what:
        return f"{_named(was)}: rejected for another reason: {_short(now.reason or '')}"
    return f"{_named(was)}: {fields_text(was.event.data, now.event.data) or 'its time'}"


def _named(it: RecordedEvent | None) -> str:
    if it is None:
        return "an event"
    return f"{_described(it)}  {it.name}" if it.has_position else _described(it)


def _described(it: RecordedEvent) -> str:
    """An event of the branch, which has no position."""
    return f"{it.event_type} {it.key or EMPTY_KEY}"


def _decided(it: RecordedEvent) -> str:
    if it.by == UNHANDLED:
        return f"{_described(it)}: it has no handler"
    return _described(it) if it.accepted else f"{_described(it)}: rejected: {_short(it.reason or '')}"


def _untold_beside(untold: Mapping[str, str], label: str) -> Iterator[StyledLine]:
    """Projections or views, by their names, with the reason of each."""
    return _section(label, [f"{one_line(name)}  not told: {one_line(why)}" for name, why in untold.items()], DIM)


def _short(text: str) -> str:
    return shortened(one_line(text), LONGEST)


def _listed(label: str, texts: Sequence[str], style: str = "") -> Iterator[StyledLine]:
    shown = list(texts[:MOST])
    if len(texts) > MOST:
        shown.append(f"and {len(texts) - MOST:,} more; --json has all")
    yield from _section(label, shown, style)


def _section(label: str, texts: Iterable[str], style: str = "") -> Iterator[StyledLine]:
    for number, text in enumerate(texts):
        yield _line(label if number == 0 else "", text, style)


def _line(label: str, text: str, style: str) -> StyledLine:
    return [(f"{label:<{LABEL}}", DIM), (text, style)]
