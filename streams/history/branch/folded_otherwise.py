"""The accepted events that only one of two pasts has: what a projection folds otherwise in a branch."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple

from streams.data import namespace_of
from streams.history.past import Past
from streams.history.recorded_event import STEP, OrderKey, Place, RecordedEvent


class FoldedOtherwise(NamedTuple):
    """Those that only the past has, by their places in the order, and those that only the branch has, in order."""

    gone: Mapping[OrderKey, RecordedEvent]
    come: Sequence[RecordedEvent]

    def of(self, types: Collection[str]) -> FoldedOtherwise:
        """The part of it that is of these types of events."""
        gone = {order: it for order, it in self.gone.items() if it.event_type in types}
        return FoldedOtherwise(gone, [it for it in self.come if it.event_type in types])

    @property
    def digest(self) -> str:
        """Of all of it; empty if there is none. Turns count from elsewhere once the past has grown, so their order alone counts."""
        if not (self.gone or self.come):
            return ""
        found = blake2b(repr(sorted(self.gone)).encode(), digest_size=16)
        for it in self.come:
            found.update(repr((it.order[:5], it.reference, it.event.time, it.value)).encode())
        return found.hexdigest()


NOTHING_OTHERWISE = FoldedOtherwise({}, ())


def folded_otherwise(
    past: Past, branch: Past, reached: Collection[Place], types: Collection[str] | None = None
) -> FoldedOtherwise:
    """`reached` are the rows that the branch has reached; `types` the names of events that are folded, None: all are."""
    namespaces = None if types is None else {namespace_of(name) for name in types}
    gone, come = dict[OrderKey, RecordedEvent](), list[RecordedEvent]()
    for place in reached:
        if namespaces is None or place[0] in namespaces:
            was, now = _folded(past, place, types), _folded(branch, place, types)
            gone |= {order: it for order, it in was.items() if not _same(it, now.get(order))}
            come += (it for order, it in now.items() if not _same(it, was.get(order)))
    return FoldedOtherwise(gone, sorted(come, key=lambda it: it.order))


def _folded(past: Past, place: Place, types: Collection[str] | None) -> Mapping[OrderKey, RecordedEvent]:
    """A step of a correction is no event, and folded by nothing."""
    return {
        it.order: it
        for it in past.key_events(place)
        if it.accepted and it.kind != STEP and (types is None or it.event_type in types)
    }


def _same(it: RecordedEvent, other: RecordedEvent | None) -> bool:
    return other is not None and it.event == other.event
