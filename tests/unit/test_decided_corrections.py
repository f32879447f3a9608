"""What corrections make of a past is decided once for all who ask, and never told of another past."""

from __future__ import annotations

import gc
import tempfile
import weakref
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from streams import Event, Outcome
from streams.errors import HistoryError, UnsupportedSchema
from streams.history.branch.branch_past import BranchPast
from streams.history.branch.change import Change
from streams.history.correction.decided_corrections import DecidedCorrections, DecidedPast
from streams.history.cut_past import Cut
from streams.history.past import Past
from streams.history.stored.past_file import connected
from streams.history.stored.stored_corrections import counted, counted_at
from streams.history.stored.stored_past import StoredPast
from streams.server.correction_attempt import CorrectionAttempts
from streams.server.readmodel.store import Store
from tests.applications import bank, shop
from tests.applications.bank.events import AccountOpen
from tests.applications.shop.events import Line, OrderPlace, StockReceive
from tests.support.corrections import Corrected
from tests.support.memory_server import MemoryServer
from tests.support.other_code import Handler, with_change
from tests.support.partitions import Partitions
from tests.support.pasts import START
from tests.support.stored_pasts import END, put_high_water, stored
from tests.unit.test_corrected_times import corrected_and_gone_on, kept
from tests.unit.test_corrections import cases, many


@many
@given(*cases)
def test_what_was_decided_before_is_what_is_decided_now(kind: str, seed: int) -> None:
    """As of any time, as any was known, asked in any order through connections of their own, with room for little."""
    chosen, here, known_from = corrected_and_gone_on(kind, seed)
    decided = DecidedCorrections(chosen.choice([1, 100, 10_000]))
    moments = [it.order.recorded for it in here.log.events()]
    with tempfile.TemporaryDirectory() as folder, closing(stored(here.there, Path(folder))) as store:
        store.write(lambda db: put_high_water(db, END))
        for _ in range(8):
            corrections = kept(here, known_from)[: chosen.choice([1, 2, 2])]
            cut = Cut(chosen.choice(moments), chosen.choice([*known_from, chosen.choice(moments), END]))
            with closing(connected(store.file)) as db:
                past, plain = StoredPast(db, here.there.codec), StoredPast(store._db, here.there.codec)
                assert asked_now(past, here, corrections, decided) == asked_now(plain, here, corrections, None)
                assert asked_at(past, cut, here, corrections, decided) == asked_at(plain, cut, here, corrections, None)


def asked_now(past: StoredPast, here: Corrected, corrections: Any, decided: DecidedCorrections | None) -> Any:
    try:
        return told(counted(past, here.handlers, corrections, here.there.codec, decided))
    except HistoryError as error:  # of a correction that is not known yet
        return str(error)


def asked_at(past: StoredPast, cut: Cut, here: Corrected, corrections: Any, decided: DecidedCorrections | None) -> Any:
    try:
        found = counted_at(past, cut, here.handlers, corrections, here.there.codec, decided)
    except HistoryError as error:
        return str(error)
    return None if found is None else (told(found), found.places)


def told(past: Past) -> list[Any]:
    """Its events; what else it has of each is told by these."""
    return [(it.order, it.reference, it.value, it.outcome, it.high, it.latest) for it in past.events()]


def test_a_server_decides_once_for_all_questions(tmp_path: Path) -> None:
    """Until there is another event, or another correction; then it decides anew."""
    calls = tmp_path / "calls"

    def counting(handler: Handler) -> Handler:
        def place(row: Any, event: Event[Any]) -> Outcome[Any]:
            with calls.open("ab") as file:  # questions are answered in another process
                file.write(b".")
            return handler(row, event)

        return place

    app = with_change(shop.app(), OrderPlace, counting)
    with MemoryServer(app, tmp_path / "server", answering=True) as server:
        kafka = server.kafka
        kafka.publish(StockReceive(sku="A1", quantity=50, price=300), id="receive")
        for name in ("o1", "o2", "o3"):
            kafka.publish(OrderPlace(order=name, customer="c", lines=(Line(sku="A1", quantity=1),)), id=f"place-{name}")
            kafka.world.settle()
        kafka.show()
        kafka.correct(kafka.world.history().correct(remove=["place-o1"], by="ann", why="a test order"))
        kafka.store.completed()

        def asked() -> int:
            """How often the handler is called for a question."""
            calls.write_bytes(b"")
            found = server.http.post("/what-if", json={"remove": ["place-o3"]})
            assert found.status_code == 200, found.text
            return calls.stat().st_size

        first, second = asked(), asked()
        assert second == asked() < first
        kafka.publish(StockReceive(sku="A1", quantity=1, price=300), id="again")
        assert (asked(), asked()) == (first, second)
        kafka.correct(kafka.world.history().correct(remove=["place-o2"], by="ann", why="a test order"))
        assert asked() > second
        assert asked() == second


class Sized(DecidedPast):
    """Of so many events."""

    def __init__(self, events: int) -> None:
        self._events = events

    @property
    def size(self) -> int:
        return self._events


def test_the_oldest_goes_where_there_is_room_for_no_more() -> None:
    """And the last one stays, however large; what is asked for again is young again."""
    decided, made = DecidedCorrections(10), list[str]()

    def ask(name: str, events: int) -> None:
        decided.of(name, lambda: (made.append(name), Sized(events))[1])

    decided.begin(b"these")
    for name in ("a", "b", "a", "c", "a"):
        ask(name, 5)
    assert made == ["a", "b", "c"]
    ask("b", 5)
    assert made == ["a", "b", "c", "b"]
    ask("large", 99)
    ask("large", 99)
    assert made[4:] == ["large"]
    ask("a", 5)
    assert made[5:] == ["a"]
    decided.begin(b"these")
    ask("a", 5)
    decided.begin(b"others")
    ask("a", 5)
    assert made[6:] == ["a"]


def test_why_nothing_can_be_told_is_kept_but_for_a_schema_that_may_become_known() -> None:
    """Each asker gets the error."""
    decided, made = DecidedCorrections(), list[str]()

    def fail(cause: Exception | None) -> DecidedPast:
        made.append("once")
        raise HistoryError("it cannot be told") from cause

    for _ in range(3):
        with pytest.raises(HistoryError, match="it cannot be told"):
            decided.of("a", lambda: fail(None))
    assert len(made) == 1
    for _ in range(2):
        with pytest.raises(HistoryError, match="it cannot be told"):
            decided.of("b", lambda: fail(UnsupportedSchema(7, "no schema 7")))
    assert len(made) == 3


def test_decisions_of_no_event_are_not_kept_for_ever() -> None:
    """As where a row's only event is taken out: each further event in the log has another one, and none is asked for again."""
    there = Partitions(bank.app(), 1, now=START, seed=1)
    there.publish(AccountOpen(account="a", balance=100), "open-a", there.now)
    there.settle()
    here = Corrected(there)
    [only] = here.log.events()
    here.correct(Change(remove=frozenset([only.exact_name])))
    made, corrected, decided = list[int](), here.corrected(), DecidedCorrections()
    assert corrected.past.decided == []

    def ask(number: int) -> None:
        decided.of(number, lambda: (made.append(number), DecidedPast(corrected))[1])

    decided.begin(b"these")
    for number in range(1_000):
        ask(number)
    ask(999)
    assert len(made) == 1_000
    ask(0)
    assert made[1_000:] == [0]


class Large:
    """What a frame has in memory."""


def test_an_error_that_is_kept_holds_nothing_of_who_decided_and_of_who_asked() -> None:
    """It is kept until the corrections are others, and one that was raised would hold all of that as long."""
    decided, there = DecidedCorrections(), list[weakref.ref[Large]]()

    def decide() -> DecidedPast:
        large = Large()
        there.append(weakref.ref(large))
        raise HistoryError("it cannot be told")

    def ask() -> None:
        large = Large()
        there.append(weakref.ref(large))
        with suppress(HistoryError):
            decided.of("a", decide)

    ask()
    ask()
    gc.collect()
    assert [it() for it in there] == [None] * 3


def test_why_a_correction_was_not_applied_holds_nothing_of_its_coordinator() -> None:
    """A server keeps it until it applies another one."""
    attempts, there = CorrectionAttempts(lambda: None), list[weakref.ref[Large]]()

    def apply(begun: object) -> None:
        large = Large()
        there.append(weakref.ref(large))
        raise HistoryError("it stands still")

    attempt = attempts.begin("c1", None, apply)
    attempts.end()
    gc.collect()
    assert (str(attempt.error), attempt.over, there[0]()) == ("it stands still", True, None)


def test_an_event_that_is_erased_is_told_no_more(tmp_path: Path) -> None:
    """What was decided with it is not kept for those who ask later."""
    _, here, known_from = corrected_and_gone_on("bank", 7)
    corrections, decided = kept(here, known_from), DecidedCorrections()
    with closing(stored(here.there, tmp_path)) as store:
        store.write(lambda db: put_high_water(db, END))
        first = counted(StoredPast(store._db, here.there.codec), here.handlers, corrections, here.there.codec, decided)
        assert isinstance(first, BranchPast)
        gone = next(it for it in first.decided if it.has_position)
        erase(store, gone.order[1:4], gone.key)
        again = counted(StoredPast(store._db, here.there.codec), here.handlers, corrections, here.there.codec, decided)
        assert gone.order not in {it.order for it in again.events()}


def erase(store: Store, at: tuple[Any, ...], key: str) -> None:
    writer = store.writer()
    writer.erase_record(*at, key)
    writer.commit()
