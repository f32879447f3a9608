"""Where a plan says something else than what comes, since the code here decides otherwise than the code before.

A plan is told on the past that earlier corrections have made. What these reach is decided there by the code here. In the log with
all corrections together, some of that may be as it was recorded: reached by none of them any more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from streams.history.branch.branch_past import BranchPast
from streams.history.past import Past, cause_of, from_order
from streams.history.recorded_event import HANDLER, STEP, OrderKey, Place, RecordedEvent


class _Otherwise(NamedTuple):
    """The events of a row that only one of two pasts has so; `first` is where they begin to differ.

    `ended` is the event that both have there, if it ended otherwise in one of them.
    """

    first: OrderKey
    ended: RecordedEvent | None
    events: Sequence[RecordedEvent]


def led_elsewhere(log: Past, said: BranchPast, come: BranchPast) -> set[str]:
    """The exact names of events of the log that end otherwise, or lead to something else, in two branches, and by nothing before.

    All before such an event is the same in both, in its row: so one has decided it, and the other has it as it was recorded.
    """
    since = said.reached_since()
    for place, order in come.reached_since().items():
        since[place] = min(order, since.get(place, order))
    found = {place: it for place, order in since.items() if (it := _otherwise(place, order, said, come)) is not None}
    return {it.exact_name for it in _first_of(log, found)}


def _otherwise(place: Place, since: OrderKey, said: Past, come: Past) -> _Otherwise | None:
    """None: both have the same events of a row, in the same order."""
    one, other = (
        [it for it in from_order(past.key_events(place), since) if it.kind != STEP] for past in (said, come)
    )
    same = 0
    while same < min(len(one), len(other)) and _content(one[same]) == _content(other[same]):
        same += 1
    if same == len(one) == len(other):
        return None
    one, other = one[same:], other[same:]
    both = Counter(map(_content, one)) & Counter(map(_content, other))
    there = bool(one and other) and (one[0].order, one[0].value, one[0].event) == (other[0].order, other[0].value, other[0].event)
    first = min(it[0].order for it in (one, other) if it)
    return _Otherwise(first, one[0] if there else None, [*_without(one, both), *_without(other, both)])


def _without(events: Sequence[RecordedEvent], both: Mapping[object, int]) -> Iterator[RecordedEvent]:
    left = Counter(both)
    for it in events:
        if left[_content(it)]:
            left[_content(it)] -= 1
        else:
            yield it


def _content(it: RecordedEvent) -> object:
    """What of an event counts. Versions have other numbers in each branch, and so has a reason that tells of one."""
    return it.reference, it.event.time, it.value, it.accepted, it.by, it.reason if it.by == HANDLER else None


def _first_of(log: Past, found: Mapping[Place, _Otherwise]) -> Iterator[RecordedEvent]:
    """Those of the log that have ended otherwise, or led to what is otherwise, where all before them in their rows is the same."""
    for otherwise in found.values():
        if otherwise.ended is not None:
            yield from (it for it in log.find_all(otherwise.ended.reference) if it.order == otherwise.first)
        for it in otherwise.events:
            cause = cause_of(log, it)
            if cause is not None and cause.kind != STEP and (cause.place not in found or cause.order < found[cause.place].first):
                yield cause
