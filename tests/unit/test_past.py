"""The recorded past, read from logs."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.recorded_event import ANSWER, EMITTED, TIMER
from tests.support.pasts import KINDS, live_rows, made, past_of

some = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


@some
@given(st.sampled_from(KINDS), st.integers(0, 10**6))
def test_a_past_folds_into_the_rows_that_there_are(kind: str, seed: int) -> None:
    """Row by row, from each key's own records."""
    _, there = made(kind, seed)
    past, handlers = past_of(there), ApplicationHandlers(there.app, there.codec)
    rows = {place: handlers.fold_all(past.key_events(place))[0] for place in {it.place for it in past.events()}}
    assert {place: row for place, row in rows.items() if row is not None} == live_rows(there)


@some
@given(st.sampled_from(KINDS), st.integers(0, 10**6))
def test_an_effect_stands_behind_its_cause(kind: str, seed: int) -> None:
    """In the total order, and the past finds one from the other."""
    past = past_of(made(kind, seed)[1])
    assert len(past) == len(list(past.events())) > 0
    for it in past.events():
        assert (it.kind in (EMITTED, TIMER, ANSWER)) == (it.cause is not None)
        if it.cause is not None:
            cause = past.find(it.cause)
            assert cause is not None
            assert cause.order < it.order
            assert it in past.effects(it.cause)
