"""What a log makes of rows, by a plain model that knows handlers alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from streams.engine.identity import answer_id, emitted_id
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.recorded_event import ANSWER, EMITTED, HANDLER, TIMER, OrderKey, Place, RecordedEvent
from streams.outcome import Rejected, Scheduled

Rows = dict[Place, Any]
Said = tuple[bytes, datetime]


def replayed(events: Iterable[RecordedEvent], handlers: ApplicationHandlers, *, whole: bool = False) -> Rows:
    """The oracle: a plain model that is fed a log in its order. Each event must have been said by its cause before it came.

    `whole`: nothing is in flight, so each that was said at once must have come.
    """
    came, due = set[str](), set[str]()
    rows, said, asked, seen = Rows(), defaultdict[str, set[Said]](set), set[str](), set[OrderKey]()
    for it in events:
        assert it.order not in seen
        seen.add(it.order)
        came.add(it.reference)
        if it.kind in (EMITTED, TIMER):
            assert (it.value, it.event.time) in said[it.reference]
        elif it.kind == ANSWER:
            assert it.cause in asked
            assert it.reference == answer_id(it.cause or "")
        if not it.accepted and it.by != HANDLER:
            continue
        space = handlers.spaces[it.namespace]
        handler = space.by_event[type(it.event.data)]
        if handler.function is None:
            asked.add(it.reference)
            continue
        rejected = None
        try:
            outcome = space.decide(handler, rows.get(it.place), it.event)
            row, emit = outcome.row, outcome.emit
            rows[it.place] = None if row is None else handlers.codec.freeze(row)
        except Rejected as no:
            emit, rejected = no.emit, str(no.reason)
        assert it.reason == rejected
        ordinals = Counter[tuple[str, str]]()
        for emission in emit:
            data, at = (emission.data, emission.at) if isinstance(emission, Scheduled) else (emission, it.event.time)
            name = data.event_type, data.key
            if not isinstance(emission, Scheduled):
                due.add(emitted_id(it.reference, *name, ordinals[name]))
            said[emitted_id(it.reference, *name, ordinals[name])].add((handlers.codec.encode(data), at))
            ordinals[name] += 1
    assert not whole or due <= came
    return {place: row for place, row in rows.items() if row is not None}
