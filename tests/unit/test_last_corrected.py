"""To decide the past again takes long: it is not done where nothing has come but the steps that were all that there was to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from streams.engine.step import CorrectionStep
from streams.history.branch.change import Change
from streams.history.correction import last_corrected
from streams.history.correction.corrected_past import CorrectedPast
from streams.history.correction.fixed_point import reach_fixed_point
from streams.history.correction.last_corrected import LastCorrected
from streams.history.past import ErasedEvent, MemoryPast, Past
from streams.history.stored.stored_past import StoredPast
from tests.support.corrections import BY, Corrected
from tests.support.stored_pasts import stored
from tests.unit.test_corrections import a_live_event, begun, ends_in_flight, holds, roots


@pytest.fixture
def decisions(monkeypatch: pytest.MonkeyPatch) -> list[Past]:
    """The logs that were decided."""
    found = list[Past]()

    def counted(log: Past, *given: Any, **named: Any) -> CorrectedPast:
        found.append(log)
        return CorrectedPast(log, *given, **named)

    monkeypatch.setattr(last_corrected, "CorrectedPast", counted)
    return found


def applied(here: Corrected, between: Callable[[], None] = lambda: None) -> int:
    """How many steps were taken; `between` is done before each round of them is handled."""

    def publish(steps: Sequence[CorrectionStep]) -> None:
        between()
        for step in steps:
            here.there.correct(step)
        here.there.settle()

    return reach_fixed_point(lambda: here.log, here.handlers, here.changes, BY, publish, await_handled=lambda *_: True)


def a_correction_of(kind: str, seed: int) -> tuple[Any, Corrected]:
    chosen, here = begun(kind, seed)
    here.correct(Change(remove=frozenset([roots(here.log)[-1].exact_name])))
    return chosen, here


@pytest.mark.parametrize("kind", ["bank", "shop", "permits"])
def test_what_was_set_whole_is_decided_once(kind: str, decisions: list[Past]) -> None:
    """Also though the log is read anew after each round, and once nothing is in flight."""
    _, here = a_correction_of(kind, 4)
    assert applied(here) > 0
    assert len(decisions) == 1
    assert list(here.corrected().different_rows()) == []


def test_what_comes_beside_the_steps_is_decided(decisions: list[Past]) -> None:
    """It may have moved a row, or have led to something that is otherwise in the corrected past."""
    chosen, here = a_correction_of("bank", 4)
    left = [1]

    def once() -> None:
        if left:
            left.pop()
            a_live_event("bank", chosen, here)
            here.there.settle()

    assert applied(here, once) > 0
    assert len(decisions) > 1
    assert list(here.corrected().different_rows()) == []


def with_steps() -> tuple[Corrected, Past, Past]:
    """The log that a correction was planned on, and the same with its steps."""
    _, here = a_correction_of("bank", 4)
    before = here.log
    here.finish()
    return here, before, here.log


def test_only_the_log_that_was_set_whole_is_settled() -> None:
    """Of another one it is not known, though it may tell the same."""
    here, before, after = with_steps()
    last = LastCorrected(here.handlers, here.changes)
    last.of(before)
    last.settle(after, len(after.steps()))
    assert last.is_settled(after)
    assert not last.is_settled(MemoryPast(after.events()))


def test_a_log_of_which_an_event_was_erased_meanwhile_is_not_settled() -> None:
    """Nothing but the steps has come, and what was there before is not there any more."""
    here, before, after = with_steps()
    gone = next(iter(after.events()))
    rest = MemoryPast([it for it in after.events() if it != gone], {gone.place: ErasedEvent(gone.order.sequence, None, None)})
    last = LastCorrected(here.handlers, here.changes)
    last.of(before)
    last.settle(rest, len(after.steps()))
    assert not last.is_settled(rest)


def test_a_log_in_a_file_that_is_opened_anew_is_decided_once(tmp_path: Path, decisions: list[Past]) -> None:
    """What was decided goes on with the new connection, and tells the same."""
    _, here = a_correction_of("bank", 4)
    with closing(stored(here.there, tmp_path)) as store:
        last = LastCorrected(here.handlers, here.changes)
        first, second = (StoredPast(store._db, here.there.codec) for _ in range(2))
        rows = [it.place for it in last.of(first).different_rows()]
        again = last.of(second)
        assert [it.place for it in again.different_rows()] == rows != []
        assert again.past.origin is second
    assert len(decisions) == 1


def test_without_looking_what_came_beside_the_steps_the_present_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is needed for the property that a correction is at its end when nothing is in flight that would change it."""

    def settle(last: LastCorrected, log: Past, _: int) -> None:
        last.of(log)
        last._settled = True

    monkeypatch.setattr(LastCorrected, "settle", settle)
    monkeypatch.setattr(LastCorrected, "is_settled", lambda last, _: last._settled)
    assert not all(holds(ends_in_flight, kind, seed) for kind in ("bank", "permits", "timed") for seed in range(20))
