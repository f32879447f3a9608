"""A story as lines for a person: a tree of what led to what, with the rows' changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from streams.cli.output.row_text import change_text, value_text
from streams.cli.output.screen import EMPTY_KEY, StyledLine, plural, second_text
from streams.data import Record
from streams.engine.readable import one_line, shortened
from streams.engine.records import BY_OPERATOR
from streams.engine.times import from_micros, to_micros
from streams.history.difference.row_changes import FieldChange
from streams.history.recorded_event import ANSWER, HANDLER, ROOT, STEP, TIMER, VERSION, RecordedEvent
from streams.history.story.story import CREATED, DELETED, UNKNOWN, KeyStory, Story, StoryStep
from streams.history.story.waiting import WaitingEvent

REASON = 300
"""Characters of a reason that are shown."""
SHORT = 8
"""Characters of a correction's id, which other commands take, too."""
LEFT = 56
"""The most characters of the column of events that positions are lined up behind."""
AGES = ((1_000_000, 1_000, "ms"), (120_000_000, 1_000_000, "s"), (7_200_000_000, 60_000_000, "min"))
DAYS, HOURS = (86_400_000_000, "d"), (3_600_000_000, "h")
FAR = 60_000_000
"""µs between an event's own time and when it was recorded from which on both are told."""
BETWEEN = " · "
NOWHERE = "in no log"
"""In place of a position."""
REJECTED_BY = {
    VERSION: "since its row was at another version", HANDLER: "by its handler", BY_OPERATOR: "by an operator",
}  # fmt: skip
BOLD, DIM, BAD, WAITS = "bold", "dim", "red", "yellow"


class TreeLine(NamedTuple):
    """An event's first line has a `position` and a time (`when`); other lines have only a text."""

    indent: str
    text: str
    style: str
    position: str = ""
    when: str = ""


def story_lines(story: Story, now: datetime, width: int | None) -> list[StyledLine]:
    """From the root down. `width` in characters; None: lines are as long as they are."""
    lines: list[TreeLine] = []
    if story.lost is not None:
        lines.append(TreeLine("", "its cause is not in this past: it was erased, is too old to be kept, or is not read yet", DIM))
    indent, before = "", None
    for step in story.causes:
        lines += _head(indent, step, before)
        lines += _body(f"{_under(indent)}│  ", step, first=before is None)
        if step.left_out:
            lines.append(TreeLine(f"{_under(indent)}├─ ", plural(step.left_out, "other effect"), DIM))
        indent, before = f"{_under(indent)}└─ ", step.event
    lines += _tree(indent, story.step, before, now, marked=bool(story.causes))
    return _aligned(lines, width)


def key_story_lines(story: KeyStory, now: datetime, width: int | None) -> list[StyledLine]:
    """Its events, oldest first, then the row as it is."""
    lines: list[TreeLine] = []
    if story.earlier:
        lines.append(TreeLine("", f"{plural(story.earlier, 'earlier event')} left out; --last shows more", DIM))
    for step in story.steps:
        lines += [*_tree("", step, None, now), TreeLine("", "", "")]
    if story.unknown is not None:
        lines.append(TreeLine("", _untold("the row", story.unknown), BAD))
    elif not story.steps:
        lines.append(TreeLine("", "nothing has been handled yet: there is no row", BOLD))
    elif story.row is None:
        lines.append(TreeLine("", "there is no row now", BOLD))
    else:
        lines.append(TreeLine("", f"now, at version {story.version}", BOLD))
        lines.append(TreeLine("   ", _fields(story.row), ""))
    lines += [line for it in story.waits for line in _waiting("   ", it, now)]
    return _aligned(lines, width)


def _tree(
    indent: str, step: StoryStep, before: RecordedEvent | None, now: datetime, *, marked: bool = False
) -> Iterator[TreeLine]:
    yield from _head(indent, step, before, marked=marked)
    under = _under(indent)
    yield from _body(f"{under}│  " if _goes_on(step) else f"{under}   ", step, first=before is None, whole=marked)
    last = len(step.effects) - 1 if not step.left_out and not step.waits else -1
    for number, effect in enumerate(step.effects):
        yield from _tree(f"{under}└─ " if number == last else f"{under}├─ ", effect, step.event, now)
    for number, it in enumerate(step.waits, 1):
        ends = number == len(step.waits) and not step.left_out
        yield from _waiting(f"{under}└─ " if ends else f"{under}├─ ", it, now)
    if step.left_out:
        yield TreeLine(f"{under}└─ ", f"{plural(step.left_out, 'effect')} left out; --depth shows more", DIM)


def _goes_on(step: StoryStep) -> bool:
    return bool(step.effects or step.waits or step.left_out)


def _under(indent: str) -> str:
    """The indent of what is below a line: a branch that has ended is not drawn on."""
    return indent.replace("├─ ", "│  ").replace("└─ ", "   ")


def _head(indent: str, step: StoryStep, before: RecordedEvent | None, *, marked: bool = False) -> Iterator[TreeLine]:
    it = step.event
    kind = {TIMER: " (timer)", ANSWER: " (answer)"}.get(it.kind, "")
    mark = "▶ " if marked else ""
    style = BAD if not it.accepted else BOLD
    where = it.name if it.has_position else NOWHERE
    yield TreeLine(indent, f"{mark}{it.event_type} {it.key or EMPTY_KEY}{kind}", style, where, _when(it, before))


def _when(it: RecordedEvent, before: RecordedEvent | None) -> str:
    """When it was recorded, or how long after what led to it; of what a correction has put in, when it happened."""
    if not it.has_position:
        return second_text(it.event.time)
    if before is None or not before.has_position:
        return _second(it.order.recorded)
    return f"+{_span(it.order.recorded - before.order.recorded)}"


def _body(indent: str, step: StoryStep, *, first: bool, whole: bool = False) -> Iterator[TreeLine]:
    it = step.event
    if not it.accepted:
        who = REJECTED_BY.get(it.by or "", f"by {it.by}")
        yield TreeLine(indent, f"REJECTED {who}: {shortened(it.reason or '', REASON)}", BAD)
    if first and (origin := _origin(it)):
        yield TreeLine(indent, origin, DIM)
    if step.cause is not None:
        why = "scheduled by" if it.kind == TIMER else "because of"
        yield TreeLine(indent, f"{why} {step.cause.event_type} {step.cause.key}, {step.cause.name}", DIM)
    yield from _corrected(indent, step)
    changes = [change for change in step.changes if step.row_is != CREATED or change.after is not None]
    said = it.kind != STEP and (not changes or whole or (it.kind == ROOT and step.row_is != CREATED))
    if said and (data := _fields(it.event.data, leave_out=type(it.event.data).key_field)):
        yield TreeLine(indent, data, DIM)
    if changes:
        begin = "new row: " if step.row_is == CREATED else ""
        yield TreeLine(indent, begin + BETWEEN.join(_changed(change, step.row_is) for change in changes), "")
    elif step.row_is == DELETED:
        yield TreeLine(indent, "the row is deleted", "")
    elif step.row_is == UNKNOWN:
        yield TreeLine(indent, shortened(_untold("its row", step.unknown or ""), REASON), BAD)


def _corrected(indent: str, step: StoryStep) -> Iterator[TreeLine]:
    """By whom and why."""
    if step.event.kind == STEP:
        by = step.event.event.data
        yield TreeLine(indent, f"corrected by {shortened(by.who, REASON)}: {shortened(by.why, REASON)}", BOLD)
    for it in step.corrections:
        when = f"{it.what} {second_text(it.at)} by {shortened(it.by, REASON)}"
        yield TreeLine(indent, f"{when}: {shortened(it.why, REASON)} (correction {it.correction[:SHORT]})", BOLD)
        if it.data is not None:
            yield TreeLine(indent, f"instead: {_fields(it.data, leave_out=type(it.data).key_field)}", "")


def _untold(row: str, why: str) -> str:
    """Some of the sentences name the row themselves."""
    return why if why.startswith("the row ") else f"{row} cannot be told: {why}"


def _origin(it: RecordedEvent) -> str:
    """Who published it, and when it happened, where that is another time than when it was recorded."""
    time = to_micros(it.event.time)
    published = [f"published by {it.event.source}"] if it.event.source and it.cause is None else []
    return ", ".join([*published, *([f"happened {_second(time)}"] if abs(it.order.recorded - time) >= FAR else [])])


def _changed(change: FieldChange, row_is: str) -> str:
    if row_is == CREATED:
        return f"{change.field} {value_text(change.after)}"
    return change_text(change)


def _fields(record: Record, leave_out: str = "") -> str:
    names = [name for name in record.__struct_fields__ if name != leave_out and getattr(record, name) is not None]
    return BETWEEN.join(f"{name} {value_text(getattr(record, name))}" for name in names)


def _waiting(indent: str, it: WaitingEvent, now: datetime) -> Iterator[TreeLine]:
    name = f"{it.event_type} {it.key or EMPTY_KEY}"
    if it.kind == "timer":
        ahead = it.at - to_micros(now)
        when = f"due {_second(it.at)}, " + (f"in {_span(ahead)}" if ahead > 0 else f"since {_span(-ahead)}")
        yield TreeLine(indent, f"{name} waits: a timer, {when}", WAITS)
    elif it.kind == "call":
        yield TreeLine(indent, f"{name} waits: its gateway has not answered for {_span(to_micros(now) - it.at)}", WAITS)
    else:
        yield TreeLine(indent, f"{name} is {it.kind} since {_second(it.at)}: {shortened(it.reason or '', REASON)}", BAD)
        if it.where:
            yield TreeLine(_under(indent), f"see retold parked show {it.where}", DIM)


def _second(micros: int) -> str:
    return second_text(from_micros(micros))


def _span(micros: int) -> str:
    """`12 ms`, `3.1 s`, `15 min`, `26 h`, `30 d`."""
    for below, unit, name in AGES:
        if micros < below:
            return f"{micros / unit:.1f} s" if name == "s" and micros < 10_000_000 else f"{micros // unit} {name}"
    unit, name = HOURS if micros < 2 * DAYS[0] else DAYS
    return f"{micros // unit} {name}"


def _aligned(lines: Sequence[TreeLine], width: int | None) -> list[StyledLine]:
    """Positions and times in columns of their own, and long texts folded under their beginning."""
    heads = [len(line.indent) + len(one_line(line.text)) for line in lines if line.position]
    left = min(LEFT, max(heads, default=0))
    positions = max((len(line.position) for line in lines), default=0)
    found: list[StyledLine] = []
    for line in lines:
        text = one_line(line.text)
        if line.position:
            pad = " " * max(0, left - len(line.indent) - len(text))
            found.append([(line.indent, DIM), (text, line.style), (f"{pad}  {line.position:<{positions}}  {line.when}", DIM)])
            continue
        room = None if width is None else max(20, width - len(line.indent))
        for number, part in enumerate(_folded(text, room)):
            found.append([(line.indent if number == 0 else _under(line.indent), DIM), (part, line.style)])
    return found


def _folded(text: str, room: int | None) -> Iterable[str]:
    """Between two fields, or else at a blank, where there are some."""
    if room is None or len(text) <= room:
        return [text]
    parts: list[str] = []
    while len(text) > room:
        between, blank = text.rfind(BETWEEN, 1, room + 1), text.rfind(" ", room // 2, room + 1)
        at = between if between > 0 else blank if blank > 0 else room
        parts.append(text[:at].rstrip())
        text = text[at:].removeprefix(BETWEEN).lstrip()
    return [*parts, text] if text else parts
