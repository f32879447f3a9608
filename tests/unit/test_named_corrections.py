"""What a correction names, as the command line does: events by id and position, in the history that counts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import msgspec
import pytest

from streams.errors import InvalidChange, InvalidEvent, NoSuchEvent
from streams.event import reference_of
from streams.history.branch.change import Change, InsertedEvent
from streams.history.branch.change_document import ChangeDocument, change_of
from streams.history.correction.corrected_log import CorrectedLog
from streams.history.correction.correction_plan import CorrectionPlan
from streams.history.correction.planning import plan_correction
from streams.history.event_lookup import in_file
from streams.history.recorded_event import ROOT
from streams.history.stored.stored_past import StoredPast
from streams.history.stored.stored_waiting import StoredWaiting
from tests.applications import bank
from tests.applications.bank.events import AccountOpen, TransferStart
from tests.support.corrections import Corrected
from tests.support.partitions import Partitions
from tests.support.pasts import live_rows
from tests.support.stored_pasts import stored

NOW = datetime(2026, 1, 1, tzinfo=UTC)
START = {"transfer": "t0", "source": "a", "target": "b", "amount": 30}
AGAIN = {"type": "transfer.start", "id": "start-0", "time": "2026-01-01T00:00:00Z", "data": START}


@contextmanager
def looked_up(here: Corrected, folder: Path) -> Iterator[tuple[CorrectedLog, Any]]:
    """The log in a file, and how its events are named."""
    store = stored(here.there, Path(mkdtemp(dir=folder)))
    try:
        past = StoredPast(store._db, here.there.codec)
        find = in_file(past, StoredWaiting(store._db, here.there.codec), here.there.app)
        yield CorrectedLog(past, here.changes), find
    finally:
        store.close()


def a_plan(here: Corrected, folder: Path, **document: Any) -> CorrectionPlan:
    with looked_up(here, folder) as (log, find):
        past = log.past(here.handlers)
        change = change_of(here.there.app, msgspec.convert(document, ChangeDocument), lambda name: find(past, name))
        return plan_correction(log, here.handlers, change, "ann", "a test")


def corrected(here: Corrected, folder: Path, **document: Any) -> CorrectionPlan:
    """A plan that is applied."""
    plan = a_plan(here, folder, **document)
    here.changes.append(plan.change.read(here.handlers.codec))
    here.finish()
    return plan


@pytest.fixture
def here() -> Corrected:
    """Two accounts and a transfer; whoever has published them has a source, as every publisher does."""
    there = Partitions(bank.app(), 1, now=NOW)
    for name in ("a", "b"):
        there.publish(AccountOpen(account=name, balance=100), f"open-{name}", NOW - timedelta(hours=1))
    there.publish(TransferStart(**START), "start-0", NOW)  # type: ignore[arg-type]
    there.settle()
    return Corrected(there)


def test_what_was_put_in_again_by_its_id_is_the_event_that_it_was(here: Corrected, tmp_path: Path) -> None:
    """Nothing is left of either correction, and it is taken out or replaced by its id once more."""
    rows, history = live_rows(here.there), [(it.exact_name, it.value) for it in here.past.events()]
    corrected(here, tmp_path, remove=["start-0"])
    assert live_rows(here.there) != rows
    corrected(here, tmp_path, insert=[AGAIN])
    assert live_rows(here.there) == rows
    assert [(it.exact_name, it.value) for it in here.past.events()] == history
    assert a_plan(here, tmp_path, replace={"start-0": {**START, "amount": 10}}).changed
    corrected(here, tmp_path, remove=["start-0"])
    assert not [it for it in here.past.events() if it.event_type == "transfer.start"]


@pytest.mark.parametrize("source", ["other", ""])
def test_an_id_names_the_event_that_counts(here: Corrected, tmp_path: Path, source: str) -> None:
    """And not the one of this id that was taken out: one was put in as another publisher's, or as nobody's."""
    corrected(here, tmp_path, remove=["start-0"])
    end = here.log.end()
    assert end is not None
    put_in = InsertedEvent(TransferStart(**START), NOW, "start-0", None, source)  # type: ignore[arg-type]
    place = end._replace(depth=1, turn=1)
    here.changes.append(Change([put_in], places={reference_of(source, "start-0"): place}, end=end))
    here.finish()
    corrected(here, tmp_path, remove=["start-0"])
    assert not [it for it in here.past.events() if it.event_type == "transfer.start"]


def test_a_step_is_named_by_its_position_as_what_it_is(here: Corrected, tmp_path: Path) -> None:
    """With what to do; what was taken out is said to be."""
    corrected(here, tmp_path, remove=["start-0"])
    step = here.log.steps()[-1]
    for change in ({"remove": [step.name]}, {"replace": {step.name: START}}):
        with pytest.raises(InvalidChange, match=f"{step.name} cannot be changed: it is a step of the correction c1"):
            a_plan(here, tmp_path, **change)
    with pytest.raises(NoSuchEvent, match="a change has taken it out"):
        a_plan(here, tmp_path, remove=["start-0"])


@pytest.mark.parametrize("data", [START, {**START, "amount": 1}])
def test_what_is_put_in_has_the_id_of_no_event_that_counts(here: Corrected, tmp_path: Path, data: Any) -> None:
    """Whoever has published that; a source that is given makes it another event."""
    again = {**AGAIN, "time": "2026-01-01T01:00:00Z", "data": data}
    with pytest.raises(InvalidEvent, match=r"id start-0, which transfer.start t0 transfer-0:1 .* has already"):
        a_plan(here, tmp_path, insert=[again])
    assert a_plan(here, tmp_path, insert=[{**again, "source": "ann"}]).change.insert[0].source == "ann"
    assert [it.kind for it in here.past.events() if it.event.id == "start-0"] == [ROOT]
