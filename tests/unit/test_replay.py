"""A change of the code against the past: faults are found with their handlers, and what changes nothing shows nothing."""

from __future__ import annotations

import io
import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

import msgspec
import pytest

from streams import App, Event, Namespace, Outcome, Rejected
from streams.cli.output.branch_text import decision_texts, difference_lines
from streams.cli.output.replay_text import replay_lines, replay_markdown
from streams.cli.process.code_process import watch
from streams.codec import codec_of
from streams.data import EventData
from streams.engine.identity import short_fingerprints
from streams.engine.times import to_micros
from streams.errors import ConfigError, HistoryError
from streams.history.acceptance_file import encode_accepted
from streams.history.branch.branch import replay, replay_difference, what_if
from streams.history.branch.branch_calls import as_it_answered
from streams.history.branch.branch_projections import ProjectionChanges
from streams.history.branch.branch_unchanged import UnchangedEvents
from streams.history.branch.change import Change as PastChange
from streams.history.code import code_link
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.code.code_link import CodeLink
from streams.history.code.code_messages import Fold, Rows
from streams.history.code.code_server import CodeServer
from streams.history.code.local_code import LocalCode
from streams.history.difference.accepted_origins import AcceptedOrigin, counted, decoded_origins, not_accepted
from streams.history.difference.difference import Difference, Origin
from streams.history.difference.difference_members import difference_members
from streams.history.difference.unhandled_types import UnhandledTypes
from streams.history.past import ErasedEvent, MemoryPast
from streams.history.recorded_event import RecordedEvent
from streams.history.stored.kept_headers import packed
from streams.history.stored.read_ahead import ReadAhead
from streams.history.stored.stored_events import RowReader, StoredRow
from streams.history.stored.stored_past import StoredPast
from streams.outcome import Scheduled
from tests.applications import bank, permits, shop, timed
from tests.applications.bank.events import (
    AccountCredit,
    AccountDebit,
    AccountOpen,
    TransferDone,
    TransferFailed,
    TransferStart,
)
from tests.applications.permits.events import ClerkWork, PermitLapse, PermitReceive, PermitStep
from tests.applications.shop.events import (
    OrderCancel,
    OrderLineReserved,
    OrderPaid,
    OrderPlace,
    PaymentCharged,
    PaymentRefund,
    PaymentRow,
    StockReceive,
    StockReserve,
)
from tests.applications.timed.events import AlarmRing, AlarmRow, AlarmTouch, BellRing
from tests.support import other_code
from tests.support.other_code import REFACTORINGS, Change, emitting, row_with, with_change, without_handler
from tests.support.partitions import Partitions
from tests.support.pasts import START, log_of, made, past_of
from tests.support.stored_pasts import stored

APPS = {"bank": bank.app, "shop": shop.app, "timed": timed.app, "permits": permits.app}
SEEDS = {"bank": 12, "shop": 3, "timed": 5, "permits": 4}
MADE = {kind: made(kind, seed)[1] for kind, seed in SEEDS.items()}


def more(field: str) -> Any:
    """The next higher number in one field of each emission that has it."""

    def changed(it: Any) -> Any:
        data = it.data if isinstance(it, Scheduled) else it
        if field not in data.__struct_fields__:
            return it
        values = {name: getattr(data, name) for name in data.__struct_fields__}
        return type(data)(**values | {field: values[field] + 1})

    return changed


def later(it: Any) -> Any:
    return Scheduled(it.data, it.at + timedelta(minutes=1)) if isinstance(it, Scheduled) else it


FAULTS: list[tuple[str, type[EventData], Change]] = [
    ("bank", AccountOpen, row_with(balance=lambda it: it + 1)),
    ("bank", AccountDebit, row_with(balance=lambda it: it - 1)),
    ("bank", AccountDebit, other_code.silent),
    ("bank", AccountDebit, other_code.lenient),
    ("bank", AccountDebit, other_code.otherwise_said),
    ("bank", AccountCredit, other_code.stays),
    ("bank", AccountCredit, other_code.twice),
    ("bank", TransferStart, emitting(more("amount"))),
    ("bank", TransferDone, row_with(status=lambda it: "finished" if it == "done" else it)),
    ("bank", TransferFailed, other_code.broken),
    ("shop", OrderPlace, emitting(later)),
    ("shop", OrderPlace, row_with(customer=lambda _: "somebody")),
    ("shop", OrderLineReserved, row_with(total=lambda it: it + 1)),
    ("shop", OrderPaid, row_with(receipt=lambda _: "lost")),
    ("shop", OrderCancel, row_with(status=lambda _: "void")),
    ("shop", StockReserve, emitting(more("price"))),
    ("shop", StockReceive, other_code.strict),
    ("shop", PaymentCharged, other_code.silent),
    ("timed", AlarmTouch, row_with(touched=lambda it: it + 1)),
    ("timed", AlarmRing, emitting(more("number"))),
    ("permits", PermitReceive, emitting(later)),
    ("permits", PermitStep, other_code.stays),
    ("permits", PermitLapse, row_with(late=lambda it: not it)),
    ("permits", ClerkWork, row_with(open=lambda it: it + 1)),
]
PLACES: list[tuple[str, type[EventData]]] = [
    ("bank", AccountDebit), ("bank", TransferStart), ("shop", OrderPlace), ("shop", OrderLineReserved), ("timed", AlarmTouch),
    ("permits", PermitStep),
]  # fmt: skip
assert len(FAULTS) == len(PLACES) * len(REFACTORINGS) == 24


@contextmanager
def linked(
    there: Partitions,
    recorded: App,
    now: ApplicationHandlers,
    *,
    server: type[CodeServer] = CodeServer,
    beside: Callable[[CodeServer, IO[bytes]], None] | None = None,
    give_up: Callable[[], None] | None = None,
    rows: Iterator[StoredRow] | None = None,
) -> Iterator[CodeLink]:
    """The code that made a past behind two pipes, as if in a process of its own."""
    pipes = [os.pipe(), os.pipe()]
    with (
        os.fdopen(pipes[0][0], "rb") as requests, os.fdopen(pipes[0][1], "wb") as asking,
        os.fdopen(pipes[1][0], "rb") as answers, os.fdopen(pipes[1][1], "wb") as answering,
    ):  # fmt: skip
        serving = server(recorded)
        schemas = [text for space in recorded.namespaces for text in space.row_type.schemas]

        def serve() -> None:
            with suppress(BrokenPipeError, ValueError), answering:
                serving.serve(requests, answering, schemas)

        thread = threading.Thread(target=serve)
        thread.start()
        if beside is not None:
            threading.Thread(target=beside, args=(serving, answering), daemon=True).start()
        try:
            yield CodeLink(now, rows or logged(there), asking, answers, schemas_of(there), give_up)
        finally:
            asking.close()
            thread.join(30)


def schemas_of(there: Partitions) -> list[str]:
    return [there.codec.schema_text(schema_id) for schema_id in there.codec.schema_ids()]


def logged(there: Partitions) -> Iterator[StoredRow]:
    """The rows that a file would have of these events."""
    headers = {(namespace, part, sequence): found for namespace, part, sequence, _, _, found in log_of(there)}
    for it in past_of(there).events():
        cause = None if it.cause is None else short_fingerprints(it.cause)[0]
        yield (
            *it.order[:4], to_micros(it.event.time), it.event.id, cause, it.kind, it.ordinal, int(it.accepted), it.by, it.reason,
            it.expected, it.high, it.latest, None, it.value, bytes(packed(headers[it.order[1:4]])),
        )  # fmt: skip


def replayed(kind: str, other: App) -> Difference:
    there = MADE[kind]
    handlers = ApplicationHandlers(there.app, there.codec)
    return replay(past_of(there), LocalCode(handlers), ApplicationHandlers(other, there.codec)).difference


@pytest.mark.parametrize(("kind", "event", "fault"), FAULTS, ids=lambda it: getattr(it, "__name__", str(it)))
def test_a_fault_is_reported_with_its_handler(kind: str, event: type[EventData], fault: Change) -> None:
    """All origins are events of that handler, whatever follows from them; and a code in a process of its own shows the same."""
    other = with_change(APPS[kind](), event, fault)
    found = replayed(kind, other)
    assert found.origins
    assert {it.recorded.event_type for it in found.origins} == {event.event_type}
    assert not found.is_empty
    there = MADE[kind]
    now = ApplicationHandlers(other, there.codec)
    with linked(there, there.app, now) as link:
        again = replay(past_of(there), link, now).difference
    assert told(again) == told(found)


def test_a_row_that_the_code_before_leaves_as_it_was_is_compared_too() -> None:
    """It comes over the pipe without its bytes."""
    there = MADE["bank"]
    recorded, now = with_change(bank.app(), AccountDebit, other_code.stays), ApplicationHandlers(bank.app(), there.codec)
    found = replay(past_of(there), LocalCode(ApplicationHandlers(recorded, there.codec)), now).difference
    assert {(it.kind, it.recorded.event_type) for it in found.origins} == {("row", "account.debit")}
    with linked(there, recorded, now) as link:
        assert told(replay(past_of(there), link, now).difference) == told(found)


def for_another(it: Any) -> Any:
    """A timer, for an order that there is not."""
    return Scheduled(type(it.data)(order=f"{it.data.key}-"), it.at) if isinstance(it, Scheduled) else it


OTHERS = [*FAULTS[::4], FAULTS[10], ("shop", OrderPlace, emitting(for_another)), *((kind, None, None) for kind in APPS)]


@pytest.mark.parametrize("who", ["now", "before", "both"])
@pytest.mark.parametrize(("kind", "event", "fault"), OTHERS)
def test_the_quick_way_finds_what_the_careful_one_does(
    kind: str, event: type[EventData] | None, fault: Change | None, who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same difference and the same past of the branch, by code here and over a pipe, and without a past of its own.

    Also if the code before is another one than that which the past was made by.
    """
    there, past = MADE[kind], past_of(MADE[kind])
    other = APPS[kind]() if event is None or fault is None else with_change(APPS[kind](), event, fault)
    before, after = (there.app if who == "now" else other), (there.app if who == "before" else other)
    base, now = ApplicationHandlers(before, there.codec), ApplicationHandlers(after, there.codec)
    quick, alone = replay(past, LocalCode(base), now), replay_difference(past, LocalCode(base), now)
    with linked(there, before, now) as link:
        over = replay_difference(past, link, now)
    taken = []
    monkeypatch.setattr(UnchangedEvents, "take", lambda *given: taken.append(given))
    careful = replay(past, LocalCode(base), now)
    assert taken
    assert quick.difference == alone == over == careful.difference
    assert (quick.rows, list(quick.past.events())) == (careful.rows, list(careful.past.events()))


@pytest.mark.parametrize(("kind", "event", "fault"), FAULTS[1::4])
def test_a_file_that_is_read_ahead_shows_what_a_past_in_memory_does(
    kind: str, event: type[EventData], fault: Change, tmp_path: Path
) -> None:
    """With the rows of that one reading for the other code."""
    there = MADE[kind]
    base, now = (ApplicationHandlers(app, there.codec) for app in (there.app, with_change(APPS[kind](), event, fault)))
    wanted = replay_difference(past_of(there), LocalCode(base), now)
    with closing(stored(there, tmp_path)) as store:
        ahead = ReadAhead(StoredPast(store._db, there.codec))
        with linked(there, there.app, now, rows=ahead.logged()) as link:
            assert told(replay_difference(ahead, link, now)) == told(wanted)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", APPS)
def test_code_is_not_blamed_for_what_an_operator_has_erased(kind: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of which an event is gone are not compared behind it, and named; of others nothing is otherwise. It fails no check."""
    there, chosen = MADE[kind], random.Random(seed)
    events = list(past_of(there).events())
    gone = {it.place: it for it in reversed(chosen.sample(events, 9))}
    erased = {place: ErasedEvent(it.order.sequence, None, None) for place, it in gone.items()}
    past = MemoryPast([it for it in events if it.order not in {each.order for each in gone.values()}], erased)
    handlers = ApplicationHandlers(there.app, there.codec)
    quick, alone = replay(past, LocalCode(handlers), handlers), replay_difference(past, LocalCode(handlers), handlers)
    monkeypatch.setattr(UnchangedEvents, "take", lambda *_: False)
    careful = replay(past, LocalCode(handlers), handlers)
    assert quick.difference == alone == careful.difference
    left = [it for place, each in gone.items() for it in past.key_events(place) if it.order > each.order]
    found = quick.difference
    assert (found.shows_nothing, found.not_compared, sum(it.events for it in found.untold)) == (True, len(left), len(left))
    assert {it.place for it in found.untold} == {it.place for it in left}
    assert all(f"its event with the sequence {gone[it.place].order.sequence} was erased" in it.why for it in found.untold)
    assert counted(found) == not_accepted(found, []) == []
    assert not left or "cannot be told** since an event was erased" in "".join(replay_markdown(found, "base", 1, []))


def told(found: Difference) -> tuple[Any, ...]:
    origins = [(it.kind, it.recorded.reference, it.row_before, it.row_then, it.row_now) for it in found.origins]
    events = [[it.reference for it in events] for events in (found.missing, found.surplus, found.open)]
    return origins, events, found.rows, found.unchanged, sorted(found.in_flight)


@pytest.mark.parametrize("refactoring", REFACTORINGS)
@pytest.mark.parametrize(("kind", "event"), PLACES)
def test_the_same_by_other_means_is_no_difference(kind: str, event: type[EventData], refactoring: Change) -> None:
    """Not an event, a row or a call."""
    found = replayed(kind, with_change(APPS[kind](), event, refactoring))
    assert found.is_empty
    assert found.origins == []
    assert found.unchanged == found.total


def test_what_follows_is_told_apart_from_where_it_begins() -> None:
    """One line in one handler: few origins, and all else follows."""
    found = replayed("bank", with_change(bank.app(), AccountDebit, row_with(balance=lambda it: it - 30)))
    others = {it.recorded.reference for it in found.changed} - {it.recorded.reference for it in found.origins}
    assert others or found.missing or found.surplus


def test_an_origin_in_a_field_that_stayed_does_not_say_that_the_row_stayed() -> None:
    """The row changed then, too, only not in the field that is otherwise."""
    found = replayed("shop", with_change(shop.app(), OrderPlace, row_with(customer=lambda _: "other")))
    origin = found.origins[0]
    before = msgspec.structs.replace(origin.row_then, total=99)
    then, now = decision_texts(msgspec.structs.replace(origin, row_before=before))
    assert then == "accepted, customer as before"
    assert now.startswith("accepted, customer ")
    same = msgspec.structs.replace(origin, row_before=origin.row_then)
    assert decision_texts(same)[0] == "accepted, the row stays as it was"


def test_accepted_origins_are_counted_by_handler_and_kind() -> None:
    """As many as were looked at may differ; one more is told."""
    found = replayed("bank", with_change(bank.app(), AccountDebit, row_with(balance=lambda it: it - 1)))
    accepted = counted(found)
    assert decoded_origins(encode_accepted(accepted), "accepted.json") == accepted
    assert {it.handler for it in accepted} == {"account.debit"}
    assert not_accepted(found, accepted) == []
    fewer = [AcceptedOrigin(it.handler, it.kind, it.count - 1) for it in accepted if it.count > 1]
    assert {it.handler for it in not_accepted(found, fewer)} == {"account.debit"}
    assert decoded_origins(encode_accepted([]), "empty.json") == []


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b'[{"handler": "a.b", "kind": "row"}]', b'[{"handler": "a.b", "kind": "mood", "count": 1}]',
     b'[{"handler": "a.b", "kind": "row", "count": 0}]', b'[{"handler": "a.b", "kind": "row", "count": 1, "x": 1}]'],
)  # fmt: skip
def test_a_file_of_accepted_origins_that_was_edited_wrongly_is_refused(content: bytes) -> None:
    """By a sentence that says how it is written."""
    with pytest.raises(ConfigError, match=r"accepted\.json .*write it again, with --save"):
        decoded_origins(content, "accepted.json")


def refused_by_base(kind: str, base: App, now: App, skip: int = 0) -> Difference:
    """Of the replay, which finds the same over two pipes as in one process."""
    there, past = MADE[kind], past_of(MADE[kind])
    handlers = ApplicationHandlers(now, there.codec)
    found = replay_difference(past, LocalCode(ApplicationHandlers(base, there.codec)), handlers, skip=skip)
    with linked(there, base, handlers) as link:
        again = replay_difference(past, link, handlers, skip=skip)
    assert told(found) == told(again)
    assert [(it.place, it.why, it.events) for it in found.untold] == [(it.place, it.why, it.events) for it in again.untold]
    return found


STRICTER: list[tuple[str, type[EventData], Change]] = [
    ("bank", AccountDebit, other_code.stricter),
    ("bank", AccountOpen, other_code.refusing({"a0"})),
    ("bank", TransferStart, other_code.broken),
    ("shop", OrderLineReserved, other_code.stricter),
    ("shop", StockReserve, other_code.refusing({"x"})),
    ("shop", PaymentCharged, other_code.stricter),
    ("shop", OrderPlace, emitting(lambda it: Scheduled(it, START))),
    ("timed", AlarmTouch, other_code.refusing({"b"})),
    ("timed", AlarmRing, other_code.broken),
    ("permits", PermitStep, other_code.stricter),
]
"""The last of the shop's emits what may not be, for which a worker parks the event."""


@pytest.mark.parametrize(("kind", "event", "change"), STRICTER)
def test_what_the_code_before_refuses_stands_as_it_was_recorded(kind: str, event: type[EventData], change: Change) -> None:
    """After a stricter fix nothing is otherwise, by the same code; the refused event's key is not compared from there on."""
    app = with_change(APPS[kind](), event, change)
    found = refused_by_base(kind, app, app)
    assert found.shows_nothing
    assert not found.is_empty
    refused = {it.place: it.recorded for it in found.untold}
    assert {it.event_type for it in refused.values()} == {event.event_type}
    behind = [it for it in past_of(MADE[kind]).events() if it.place in refused and it.order >= refused[it.place].order]
    assert found.not_compared == sum(it.events for it in found.untold) == len(behind)
    assert found.unchanged == found.decided == found.same == found.total - len(behind)


@pytest.mark.parametrize(("kind", "event", "fault"), FAULTS)
def test_a_fault_is_found_beside_rows_that_cannot_be_told(kind: str, event: type[EventData], fault: Change) -> None:
    """The origins are those that there are of the other keys, and no other event is an origin."""
    keys = {"bank": {"a0"}, "shop": {"x", "o1"}, "timed": {"a"}, "permits": set[str]()}[kind]
    base = APPS[kind]()
    for stricter in (AccountOpen, OrderPlace, StockReceive, AlarmTouch):
        if any(stricter in space.handlers for space in base.namespaces):
            base = with_change(base, stricter, other_code.refusing(keys))
    found = refused_by_base(kind, base, with_change(base, event, fault))
    untold = {it.place for it in found.untold}
    whole = replayed(kind, with_change(APPS[kind](), event, fault))
    firsts = {it.recorded.place: it for it in reversed(whole.origins)}
    assert untold or not keys
    assert {it.recorded.event_type for it in found.origins} <= {event.event_type}
    assert not untold & {it.recorded.place for it in found.origins if it.kind != "events"}
    alone = {place for place, it in firsts.items() if place not in untold}
    assert bool(found.origins) == bool(alone)


def test_rows_that_cannot_be_told_are_shown_counted_and_accepted() -> None:
    """By the file of the stricter fix, too: its handler decides otherwise, and is the code before from then on."""
    stricter = with_change(bank.app(), AccountDebit, other_code.refusing({"a1"}))
    fix, later = replayed("bank", stricter), refused_by_base("bank", stricter, stricter)
    [untold] = later.untold
    assert (untold.place, untold.recorded.event_type) == (("account", "a1"), "account.debit")
    assert counted(later) == [AcceptedOrigin("account.debit", "untold", 1)]
    assert not_accepted(later, []) == counted(later)
    assert not_accepted(later, counted(later)) == []
    assert not_accepted(later, counted(fix)) == []
    assert not_accepted(later, [AcceptedOrigin("account.debit", "row", 9)]) == counted(later)
    one = [AcceptedOrigin("account.debit", "outcome", 1)]
    both = Difference(origins=fix.origins[:1], untold=later.untold)
    assert not_accepted(both, one) == counted(later)  # which is used up
    lines = ["".join(text for text, _ in line) for line in replay_lines(later, "main", 0.1, [])]
    assert lines[2].startswith("untold      the row 'a1' of account cannot be told: account.debit was accepted as account-")
    assert lines[3].endswith(f"so {untold.events} events of 1 row stand as recorded, and are not compared")
    assert lines[4].startswith("same        of all else nothing would be otherwise")
    assert lines[5] == "accepted    the rows that cannot be told, and nothing else is otherwise"
    markdown = "\n".join(replay_markdown(later, "main", 0.1, None))
    assert "**1 row cannot be told** by the code before" in markdown
    [line, *_, summary] = difference_members(later)
    assert (line["difference"], line["key"], line["not_compared"]) == ("untold", "a1", untold.events)
    assert (summary["untold"], summary["not_compared"], summary["equal"]) == (1, untold.events, False)


def test_what_is_not_told_is_named_in_its_own_section() -> None:
    """A projection or a view with its name. Of a row of which no event was left out, there are not "0 events of 1 row"."""
    stricter = with_change(bank.app(), AccountDebit, other_code.refusing({"a1"}))
    [untold] = refused_by_base("bank", stricter, stricter).untold
    untold.events = 0
    found = Difference(
        missing=[untold.recorded],
        untold=[untold],
        untold_views={"loans-of/m7": "why"},
        projections=ProjectionChanges([], {"per_day": "why not"}),
    )
    lines = ["".join(text for text, _ in line) for line in difference_lines(found, 0.1)]
    assert "projections per_day  not told: why not" in lines
    assert "views       loans-of/m7  not told: why" in lines
    assert lines[2].strip() == "so it is not told what would be otherwise in it"
    assert not any("0 events of" in line for line in lines)
    found = Difference(untold_views={"loans-of/m7": "why"}, projections=ProjectionChanges([], {"per_day": "why not"}))
    lines = ["".join(text for text, _ in line) for line in difference_lines(found, 0.1)]
    assert lines[1].startswith("same        of all else nothing would be otherwise")
    assert lines[2:] == ["projections per_day  not told: why not", "views       loans-of/m7  not told: why"]
    assert not found.is_empty


def test_what_was_otherwise_before_a_row_was_lost_is_told() -> None:
    """The origin, and that its timer fires at another time; but not how the row differs in the end."""
    there = Partitions(timed.app(), 1, now=START)
    for number in (1, 2):
        there.publish(AlarmTouch(name="k", number=number, after=5, other=""), f"touch-{number}", there.now)
        there.settle()
        there.now += timedelta(hours=1)
    there.now += timedelta(hours=40)
    there.settle()
    past = past_of(there)

    def refusing_the_second(handler: other_code.Handler) -> other_code.Handler:
        def changed(row: Any, event: Event[Any]) -> Outcome[Any]:
            outcome = handler(row, event)
            if event.data.number == 2:
                raise Rejected("not twice")
            return outcome

        return changed

    base = with_change(timed.app(), AlarmTouch, refusing_the_second)
    now = with_change(with_change(base, AlarmTouch, emitting(later)), AlarmTouch, row_with(touched=lambda it: it + 7))
    found = replay(
        past, LocalCode(ApplicationHandlers(base, there.codec)), ApplicationHandlers(now, there.codec)
    ).difference
    assert [(it.kind, it.recorded.event.id) for it in found.origins] == [("events", "touch-1")]
    assert [(it.place, it.recorded.event.id) for it in found.untold] == [(("alarm", "k"), "touch-2")]
    assert found.rows == []
    changed = [it.now for it in found.changed] + found.surplus
    assert [it.event_type for it in changed] == ["alarm.ring"]


def test_of_the_last_events_only_those_are_counted_that_are_not_compared() -> None:
    """A row that was lost before, and to which nothing has happened since, is none of them."""
    stricter = with_change(bank.app(), AccountDebit, other_code.stricter)
    events = [*past_of(MADE["bank"]).events()]
    whole = refused_by_base("bank", stricter, stricter)
    for skip in (len(events) // 2, len(events) - 1, len(events)):
        found = refused_by_base("bank", stricter, stricter, skip)
        refused = {it.place: it.recorded.order for it in whole.untold}
        left = [it for it in events[skip:] if it.order >= refused.get(it.place, max(it.order for it in events))]
        assert found.shows_nothing
        assert found.not_compared == len([it for it in left if it.place in refused])
        assert {it.place for it in found.untold} == {it.place for it in left if it.place in refused}


def test_another_application_is_refused() -> None:
    """It has another past."""
    there = MADE["bank"]
    now = ApplicationHandlers(there.app, there.codec)
    with (
        pytest.raises(HistoryError, match="application 'shop', and this one is 'bank'"),
        linked(there, shop.app(), now),
    ):
        pass


def test_another_version_of_retold_is_refused() -> None:
    """It would read other rows than it is sent; an earlier one does not say its protocol."""
    message = msgspec.msgpack.encode({"type": "hello", "application": "bank", "schemas": []})
    answers = io.BytesIO(len(message).to_bytes(4, "big") + message)
    handlers = ApplicationHandlers(bank.app(), MADE["bank"].codec)
    with pytest.raises(HistoryError, match="runs with another version of retold"):
        CodeLink(handlers, iter(()), io.BytesIO(), answers)


def test_a_past_without_events_is_the_same() -> None:
    """Nothing was handled, so nothing is otherwise."""
    handlers = ApplicationHandlers(bank.app(), MADE["bank"].codec)
    assert replay(MemoryPast([]), LocalCode(handlers), handlers).difference.is_empty


def waiting() -> tuple[Partitions, MemoryPast]:
    """Touches whose rings have not come yet."""
    there = Partitions(timed.app(), 1, now=START)
    for number in range(3):
        there.publish(AlarmTouch(name=f"k{number}", number=number, after=2, other=""), f"touch-{number}", START)
    there.settle()
    return there, past_of(there)


@pytest.mark.parametrize(
    ("change", "kind"),
    [(other_code.silent, "would not fire"), (emitting(later), "would fire otherwise"), (other_code.twice, "would fire")],
)
def test_a_timer_that_waits_is_compared_too(change: Change, kind: str) -> None:
    """Nothing in the log tells of it yet. The handler that schedules it is the origin, also by the code in another process."""
    there, past = waiting()
    now = ApplicationHandlers(with_change(timed.app(), AlarmTouch, change), there.codec)
    found = replay(past, LocalCode(ApplicationHandlers(there.app, there.codec)), now).difference
    assert [it.kind for it in found.timers] == [kind] * 3
    assert [(it.recorded.event_type, it.kind) for it in found.origins] == [("alarm.touch", "events")] * 3
    assert not found.is_empty
    with linked(there, there.app, now) as link:
        assert replay(past, link, now).difference.timers == found.timers


def test_a_timer_of_an_event_that_had_never_been_would_not_fire() -> None:
    """Also of one that is replaced: it fires otherwise."""
    there, past = waiting()
    handlers = ApplicationHandlers(there.app, there.codec)
    first = next(iter(past.events()))
    gone = what_if(past, handlers, PastChange(remove=frozenset([first.reference]))).difference
    assert [(it.kind, it.data.key) for it in gone.timers] == [("would not fire", first.key)]
    other = AlarmTouch(name=first.key, number=first.event.data.number, after=5, other="")
    moved = what_if(past, handlers, PastChange(replace={first.reference: other})).difference
    assert [(it.kind, it.data.key) for it in moved.timers] == [("would fire otherwise", first.key)]
    assert what_if(past, handlers, everything=True).difference.is_empty


def test_an_id_that_was_handled_several_times_is_replayed() -> None:
    """Each event with its own row and its own emissions, also over pipes: nothing is otherwise, and a fault is its handler's."""
    for seed in range(8):
        there = made("repeated", seed)[1]
        for change in (other_code.as_tuple, row_with(touched=lambda it: it + 1)):
            now = ApplicationHandlers(with_change(timed.app(), AlarmTouch, change), there.codec)
            here = replay(past_of(there), LocalCode(ApplicationHandlers(there.app, there.codec)), now).difference
            assert {it.recorded.event_type for it in here.origins} <= {"alarm.touch"}
            assert here.is_empty == (change is other_code.as_tuple or not here.origins)
            with linked(there, there.app, now) as link:
                assert told(replay(past_of(there), link, now).difference) == told(here)


def as_floats(it: Any) -> Any:
    """What equals a whole number, and is none."""
    values = {name: getattr(it, name) for name in it.__struct_fields__}
    return type(it)(**{name: float(value) if type(value) is int else value for name, value in values.items()})


def ending(handler: other_code.Handler) -> other_code.Handler:
    """As a library may do that takes itself for a command."""

    def changed(row: Any, event: Event[Any]) -> Outcome[Any]:
        handler(row, event)
        raise SystemExit(0)

    return changed


@pytest.mark.parametrize("change", [emitting(as_floats), ending])
def test_what_a_worker_would_park_raises_in_a_replay(change: Change) -> None:
    """Also an emission that is equal to the recorded one, and a handler that would end the command with the exit code 0."""
    there = MADE["bank"]
    other = with_change(bank.app(), TransferStart, change)
    found = replayed("bank", other)
    assert {(it.kind, it.recorded.event_type) for it in found.origins} == {("raises", "transfer.start")}
    assert not found.is_empty
    now = ApplicationHandlers(other, there.codec)
    with linked(there, there.app, now) as link:
        assert told(replay(past_of(there), link, now).difference) == told(found)


def rejecting(handler: other_code.Handler) -> other_code.Handler:
    """Nothing is accepted, and what follows does so all the same."""

    def changed(row: Any, event: Event[Any]) -> Outcome[Any]:
        raise Rejected("not \ud800 now", emit=handler(row, event).emit)

    return changed


def generated(handler: other_code.Handler) -> other_code.Handler:
    """Emissions by a generator, which gives them once."""
    return lambda row, event: Outcome((outcome := handler(row, event)).row, emit=(it for it in outcome.emit))  # type: ignore[arg-type] # a worker takes it


@pytest.mark.parametrize("change", [rejecting, generated])
@pytest.mark.parametrize("hours", [0, 9])
def test_the_same_code_is_the_same_however_it_emits(change: Change, hours: int) -> None:
    """Timers of a rejection, a reason with half a surrogate pair, and emissions from a generator; waiting or fired."""
    there = Partitions(with_change(timed.app(), AlarmTouch, change), 1, now=START)
    for number in range(3):
        there.publish(AlarmTouch(name="k", number=number, after=2, other="z"), f"touch-{number}", START)
    there.settle()
    there.now += timedelta(hours=hours)
    there.settle()
    past, now = past_of(there), ApplicationHandlers(there.app, there.codec)
    with linked(there, there.app, now) as link:
        for found in (
            what_if(past, now, everything=True).difference,
            replay(past, LocalCode(ApplicationHandlers(there.app, there.codec)), now).difference,
            replay(past, link, now).difference,
        ):
            assert found.is_empty
            assert found.unchanged == found.total == len(past) > 0


def touching(*emit: EventData) -> App:
    """Alarms alone, without the bells that they ring: those are of another application. The alarm `k` emits these events."""
    alarm: Namespace[AlarmRow] = Namespace("alarm", row=AlarmRow)

    @alarm.handles(AlarmTouch, emits=[AlarmTouch, AlarmRing, BellRing])
    def touch(row: AlarmRow | None, event: Event[AlarmTouch]) -> Outcome[AlarmRow]:
        return Outcome(row or AlarmRow(), emit=emit if event.key == "k" else ())

    @alarm.handles(AlarmRing)
    def ring(row: AlarmRow | None, event: Event[AlarmRing]) -> Outcome[AlarmRow]:
        return Outcome(row or AlarmRow())

    return App(name="timed", namespaces=[alarm])


BELLS = [BellRing(name="z", number=number) for number in (1, 2)]
IN_ORDER = (AlarmTouch(name="q", number=1, after=0, other=""), AlarmRing(name="q", number=1, again=0))


@pytest.mark.parametrize(
    ("then", "instead"),
    [
        (IN_ORDER, IN_ORDER[::-1]), (BELLS[:1], ()), (BELLS[:1], BELLS[1:]), ((), BELLS[:1]), (BELLS, BELLS[:1]), ((), ()),
        (BELLS, BELLS), (IN_ORDER, IN_ORDER),
    ],
    ids=["order", "gone", "other", "new", "less", "nothing", "bells", "same"],
)  # fmt: skip
def test_what_is_emitted_otherwise_is_an_origin_though_no_row_tells(
    then: tuple[EventData, ...], instead: tuple[EventData, ...]
) -> None:
    """To one row in another order, or to another application, of which the past has no records."""
    there = Partitions(touching(*then), 1, now=START)
    there.publish(AlarmTouch(name="k", number=1, after=0, other=""), "touch", START)
    there.settle()
    past, now = past_of(there), ApplicationHandlers(touching(*instead), there.codec)
    found = replay(past, LocalCode(ApplicationHandlers(there.app, there.codec)), now).difference
    assert [(it.kind, it.recorded.event.id) for it in found.origins] == ([] if [*then] == [*instead] else [("events", "touch")])
    assert found.is_empty == ([*then] == [*instead])
    assert found.unchanged == found.total == len(past)
    with linked(there, there.app, now) as link:
        assert told(replay(past, link, now).difference) == told(found)
    assert "emits otherwise" in str(difference_lines(found, 0.1)) or found.is_empty


@pytest.mark.parametrize("fires", [True, False], ids=["fired", "waits"])
def test_a_timer_that_is_otherwise_in_its_time_alone_shows_both_times(fires: bool) -> None:
    """What a handler emitted then and what it emits now would read alike."""

    def later(handler: Callable[..., Outcome[Any]]) -> Callable[..., Outcome[Any]]:
        def changed(row: Any, event: Event[Any]) -> Outcome[Any]:
            found = handler(row, event)
            return Outcome(found.row, emit=[Scheduled(it.data, at=it.at + timedelta(minutes=30)) for it in found.emit])

        return changed

    there = Partitions(timed.app(), 1, now=START)
    there.publish(AlarmTouch(name="a", number=0, after=2, other=""), "touch", START)
    there.settle()
    if fires:
        there.now += timedelta(hours=9)
        there.settle()
    base = ApplicationHandlers(there.app, there.codec)
    now = ApplicationHandlers(with_change(timed.app(), AlarmTouch, later), there.codec)
    [origin] = replay(past_of(there), LocalCode(base), now).difference.origins
    then, instead = decision_texts(origin)
    assert then.endswith("emits alarm.ring a (at 2026-01-01 02:00:00Z)")
    assert instead.endswith("emits alarm.ring a (at 2026-01-01 02:30:00Z)")
    [told_then], [told_now] = (next(difference_members(found_of(origin)))[name] for name in ("emitted_then", "emitted_now"))
    assert told_now["time"] - told_then["time"] == timedelta(minutes=30)


def found_of(origin: Origin) -> Difference:
    """With this origin alone."""
    return Difference(origins=[origin])


def read_by(there: Partitions, app: App) -> tuple[MemoryPast, ApplicationHandlers]:
    """A past as an application reads it that has not all of the handlers that made it."""
    codec = codec_of(app)
    for text in schemas_of(there):
        codec.add_schema(text)
    reading = UnhandledTypes(app, codec)
    reader = RowReader(reading)
    return MemoryPast(map(reader.event, logged(there))), ApplicationHandlers(app, reading)


@pytest.mark.parametrize(
    ("kind", "gone"),
    [
        ("bank", (TransferFailed,)), ("bank", (AccountOpen, AccountDebit, AccountCredit)), ("timed", (BellRing,)),
        ("timed", (AlarmRing,)),
    ],
)  # fmt: skip
def test_a_handler_less_is_a_difference(kind: str, gone: tuple[type[EventData], ...]) -> None:
    """It is told of each of its events, also if its namespace is gone with it. What it had led to is missing."""
    there = MADE[kind]
    past, now = read_by(there, without_handler(APPS[kind](), *gone))
    with linked(there, there.app, now) as link:
        found = replay(past, link, now).difference
    names = {it.event_type for it in gone}
    unhandled = [it for it in found.origins if it.kind == "unhandled"]
    assert len(unhandled) + len([it for it in found.missing if it.event_type in names]) <= sum(
        it.event_type in names for it in past.events()
    )
    assert {it.recorded.event_type for it in found.origins if it.kind == "unhandled"} <= names
    assert unhandled
    assert all(it.what[0] == "unhandled" for it in found.changed if it.recorded.event_type in names)
    assert "has no handler" in str(difference_lines(found, 0.1))


def test_a_handler_more_is_a_difference() -> None:
    """What it was handled as by nobody is decided now: its rows are others. To the code before, nothing has happened."""
    there = MADE["bank"]
    now = ApplicationHandlers(there.app, there.codec)
    with linked(there, without_handler(bank.app(), TransferFailed), now) as link:
        found = replay(past_of(there), link, now).difference
    assert {(it.kind, it.recorded.event_type) for it in found.origins} == {("row", "transfer.failed")}


def test_an_answer_may_be_assumed_although_the_request_is_otherwise() -> None:
    """One changed amount is one call otherwise, and not all that depends on its answer. Without a recorded answer none is known."""
    there = MADE["shop"]
    past, base = past_of(there), LocalCode(ApplicationHandlers(there.app, there.codec))
    now = ApplicationHandlers(with_change(shop.app(), OrderLineReserved, emitting(more("amount"))), there.codec)
    found = replay(past, base, now).difference
    assert found.waiting
    assert found.open
    assumed = replay(past, base, now, answers=as_it_answered).difference
    assert not assumed.waiting
    assert not assumed.open
    assert {it.kind for it in assumed.calls} == {"would call otherwise"}
    assert {it.recorded.event_type for it in assumed.changed} == {"payment.charge"}
    assert assumed.rows == []
    assert {it.recorded.event_type for it in assumed.origins} == {"order.line_reserved"}


def hanging(released: threading.Event) -> Change:
    """A handler that does not return."""

    def change(handler: other_code.Handler) -> other_code.Handler:
        def changed(row: Any, event: Event[Any]) -> Outcome[Any]:
            released.wait(60)
            return handler(row, event)

        return changed

    return change


def test_other_code_whose_handler_hangs_names_the_event() -> None:
    """From a thread of its own: the process with it ends."""
    there, released = MADE["bank"], threading.Event()
    now = ApplicationHandlers(there.app, there.codec)
    first = next(it for it in past_of(there).events() if it.event_type == "account.debit")

    def watched(server: CodeServer, answers: IO[bytes]) -> None:
        watch(server, answers, 0.3, lambda _: released.set())  # longer than other processes keep one waiting

    with (
        linked(there, with_change(bank.app(), AccountDebit, hanging(released)), now, beside=watched) as link,
        pytest.raises(HistoryError, match=rf"its handler has not returned for 0 s, for the event {first.name}$"),
    ):
        replay(past_of(there), link, now)


def test_other_code_whose_handler_hangs_when_it_is_asked_again_names_the_event() -> None:
    """What an event had emitted is asked of its handler once more, which may hang then, too."""
    there, released, seen = MADE["bank"], threading.Event(), set[str]()

    def hanging_again(handler: other_code.Handler) -> other_code.Handler:
        def changed(row: Any, event: Event[Any]) -> Outcome[Any]:
            if event.reference in seen:
                released.wait(60)
            seen.add(event.reference)
            return handler(row, event)

        return changed

    def watched(server: CodeServer, answers: IO[bytes]) -> None:
        watch(server, answers, 0.3, lambda _: released.set())  # longer than other processes keep one waiting

    now = ApplicationHandlers(with_change(bank.app(), AccountCredit, other_code.twice), there.codec)
    with (
        linked(there, with_change(bank.app(), AccountCredit, hanging_again), now, beside=watched) as link,
        pytest.raises(HistoryError, match=r"its handler has not returned for 0 s, for the event account-\d:\d+$"),
    ):
        replay(past_of(there), link, now)


class SilentServer(CodeServer):
    """It begins, and then no thread of it runs any more."""

    released = threading.Event()

    def _fold(self, _: Fold) -> Rows:
        self.released.wait(60)
        raise BrokenPipeError


def test_other_code_that_says_nothing_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence has the events that it was sent."""
    monkeypatch.setattr(code_link, "PATIENCE", 0.2)
    there = MADE["bank"]
    now = ApplicationHandlers(there.app, there.codec)
    with (
        linked(there, there.app, now, server=SilentServer, give_up=SilentServer.released.set) as link,
        pytest.raises(HistoryError, match=r"has said nothing for 0 s: it was handling account-\d:1, or one of the 154 events from"),
    ):
        replay(past_of(there), link, now)


def test_a_row_that_was_another_for_a_while_is_a_difference() -> None:
    """Although the next event of its key makes it what it was: the origins are told, and not that all is the same."""
    other = with_change(bank.app(), TransferStart, row_with(status=lambda _: "stranded"))
    for event in (TransferDone, TransferFailed):
        other = with_change(other, event, taking_stranded_for_debiting)
    found = replayed("bank", other)
    assert {(it.kind, it.recorded.event_type) for it in found.origins} == {("row", "transfer.start")}
    assert [*found.rows, *found.changed, *found.missing, *found.surplus] == []
    assert not found.is_empty
    text = "\n".join("".join(text for text, _ in line) for line in difference_lines(found, 0.1))
    assert "transfer.start leaves another row" in text
    assert "nothing would be otherwise" not in text


def taking_stranded_for_debiting(handler: other_code.Handler) -> other_code.Handler:
    def changed(row: Any, event: Event[Any]) -> Outcome[Any]:
        is_stranded = row is not None and row.status == "stranded"
        return handler(msgspec.structs.replace(row, status="debiting") if is_stranded else row, event)

    return changed


def test_a_row_that_cannot_be_written_is_a_handler_that_raises() -> None:
    """Such as one with an unknown symbol, each time: a worker would park the event."""
    found = replayed("bank", with_change(bank.app(), TransferStart, row_with(status=lambda _: "starting")))
    assert {(it.kind, it.recorded.event_type) for it in found.origins} == {("raises", "transfer.start")}


@pytest.mark.parametrize("kind", APPS)
def test_only_the_last_events_are_decided(kind: str) -> None:
    """On the rows that the code before had made, also over pipes: all others are as they were."""
    there = MADE[kind]
    past, now = past_of(there), ApplicationHandlers(there.app, there.codec)
    total = len(past)
    for skip in (0, 1, total // 2, total - 1, total):
        found = replay_difference(past, LocalCode(now), now, skip=skip)
        assert (found.is_empty, found.decided, found.total, found.skipped) == (True, total - skip, total - skip, skip)
        assert found.keys == len({it.place for it in list(past.events())[skip:]})
        with linked(there, there.app, now) as link:
            assert told(replay_difference(past, link, now, skip=skip)) == told(found)


def test_a_request_leaves_the_version_of_its_row() -> None:
    """So an event that expected that version is accepted behind it, also if only the last events are decided, and over pipes."""
    there = Partitions(shop.app(), 1, now=START)
    there.publish(PaymentCharged(order="o1", receipt="r"), "paid", START)
    there.publish(PaymentRefund(order="o1", receipt="r"), "asked", START)
    there.publish(PaymentCharged(order="o1", receipt="s"), "again", START, expected=1)
    there.settle()
    past, now = past_of(there), ApplicationHandlers(there.app, there.codec)
    [conditional] = [it for it in past.events() if it.event.id == "again"]
    assert (conditional.accepted, conditional.expected) == (True, 1)
    for skip in (0, list(past.events()).index(conditional)):
        assert replay_difference(past, LocalCode(now), now, skip=skip).is_empty
        with linked(there, there.app, now) as link:
            assert replay_difference(past, link, now, skip=skip).is_empty


def test_a_request_of_now_that_had_a_handler_is_told() -> None:
    """It had removed its row, and the gateway that answers it now leaves the row."""
    there = Partitions(shop.app(), 1, now=START)
    there.publish(PaymentCharged(order="o1", receipt="r"), "paid", START)
    there.publish(PaymentRefund(order="o1", receipt="r"), "asked", START)
    there.settle()
    payment = Namespace("payment", row=PaymentRow)
    for event, handler in shop.payment.handlers.items():
        payment.handles(event, emits=list(shop.payment.emits[event]))(handler)
    payment.handles(PaymentRefund)(lambda _row, _event: Outcome(None))
    before = App(name="shop", namespaces=[shop.order, shop.stock, payment])
    past, now = past_of(there), ApplicationHandlers(there.app, there.codec)
    with linked(there, before, now) as link:
        for base in (link, LocalCode(ApplicationHandlers(before, there.codec))):
            found = replay_difference(past, base, now)
            assert [(it.kind, it.recorded.event_type, it.row_then) for it in found.origins][:1] == [("row", "payment.refund", None)]


def test_what_emits_one_type_for_a_key_twice_alone_goes_the_careful_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not what follows from it, nor the other events of its row; nor requests, their answers, and timers that have fired."""
    there, careful, take = MADE["shop"], list[RecordedEvent](), UnchangedEvents.take
    now = ApplicationHandlers(there.app, there.codec)

    def noted(self: UnchangedEvents, it: RecordedEvent) -> bool:
        if not take(self, it):
            careful.append(it)
        return not careful or careful[-1] is not it

    monkeypatch.setattr(UnchangedEvents, "take", noted)
    events = list(past_of(there).events())
    placed = [it for it in events if it.event_type == "order.place"]
    twice = [it.name for it in placed if len({line.sku for line in it.event.data.lines}) < len(it.event.data.lines)]
    assert twice
    assert {"payment.charge", "payment.charged", "order.expire"} <= {it.event_type for it in events}
    for base in (None, LocalCode(now)):
        careful.clear()
        with linked(there, there.app, now) as link:
            assert replay_difference(past_of(there), base or link, now).is_empty
        assert [it.name for it in careful] == twice


def test_a_replay_of_the_last_events_says_so() -> None:
    """On a terminal and in Markdown: that nothing is otherwise holds of those events alone."""
    past, base = past_of(MADE["bank"]), ApplicationHandlers(bank.app(), MADE["bank"].codec)
    found = replay_difference(past, LocalCode(base), base, skip=len(past) - 5)
    shown = "\n".join("".join(text for text, _ in line) for line in replay_lines(found, "main", 0.1, None))
    assert "of the last 5 events nothing would be otherwise" in shown
    assert f"not decided {len(past) - 5} earlier events: a fault in those is not seen" in shown
    assert f"**{len(past) - 5} earlier events not decided**" in "\n".join(replay_markdown(found, "main", 0.1, None))
    found = replay_difference(past, LocalCode(base), base, skip=len(past))
    assert "no event was decided, so nothing can be otherwise" in str(replay_lines(found, "main", 0.1, None))


def test_a_timer_from_before_the_last_events_fires_before_a_new_one() -> None:
    """As in a replay of all: it waits behind the events that are not decided."""
    there = Partitions(timed.app(), 1, now=START)
    there.publish(AlarmTouch(name="z", number=1, after=2, other=""), "first", START)
    there.publish(AlarmTouch(name="a", number=2, after=0, other=""), "last", START + timedelta(hours=3))
    there.settle()
    past, base = past_of(there), LocalCode(ApplicationHandlers(there.app, there.codec))
    now = ApplicationHandlers(with_change(timed.app(), AlarmTouch, ringing_another), there.codec)
    of_all, of_last = (replay_difference(past, base, now, skip=skip) for skip in (0, 1))
    assert of_last.surplus == of_all.surplus
    assert [(it.event_type, it.key, it.event.data.number) for it in of_last.surplus[:2]] == [
        ("alarm.ring", "z", 1), ("alarm.ring", "z", 7),
    ]  # fmt: skip
    assert of_last.rows == of_all.rows


def test_a_timer_that_is_new_fires_before_the_next_event_of_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the row is as it was until then."""
    there = Partitions(timed.app(), 1, now=START)
    for number in (1, 2):
        there.publish(AlarmTouch(name="z", number=number, after=0, other=""), str(number), START + timedelta(hours=number))
    there.settle()
    past, base = past_of(there), LocalCode(ApplicationHandlers(there.app, there.codec))
    now = ApplicationHandlers(with_change(timed.app(), AlarmTouch, ringing_soon), there.codec)
    found = replay_difference(past, base, now)
    monkeypatch.setattr(UnchangedEvents, "take", lambda *_: False)
    assert found == replay_difference(past, base, now)
    [ring, *_] = [it for it in found.surplus if it.event_type == "alarm.ring"]
    assert ring.order.sequence == 2


def ringing_soon(handler: other_code.Handler) -> other_code.Handler:
    def changed(row: Any, event: Event[Any]) -> Outcome[Any]:
        outcome = handler(row, event)
        ring = Scheduled(AlarmRing(name=event.key, number=7, again=0), event.time + timedelta(minutes=1))
        return Outcome(outcome.row, emit=[*outcome.emit, ring] if event.data.number == 1 else outcome.emit)

    return changed


def ringing_another(handler: other_code.Handler) -> other_code.Handler:
    def changed(row: Any, event: Event[Any]) -> Outcome[Any]:
        outcome = handler(row, event)
        ring = AlarmRing(name="z", number=7, again=0)
        return Outcome(outcome.row, emit=[*outcome.emit, ring]) if event.key == "a" else outcome

    return changed


def test_a_fault_in_the_last_events_alone_is_told() -> None:
    """Not what it does to older ones, nor what would follow from that."""
    there = MADE["bank"]
    past, base = past_of(there), LocalCode(ApplicationHandlers(there.app, there.codec))
    opened = max(number for number, it in enumerate(past.events()) if it.event_type == "account.open")
    open_more = with_change(bank.app(), AccountOpen, row_with(balance=lambda it: it + 1))
    now = ApplicationHandlers(open_more, there.codec)
    assert not replay_difference(past, base, now, skip=opened).is_empty
    assert replay_difference(past, base, now, skip=opened + 1).is_empty
    less = ApplicationHandlers(with_change(bank.app(), AccountDebit, row_with(balance=lambda it: it - 1)), there.codec)
    last = [it.reference for it in past.events()][-40:]
    found = replay_difference(past, base, less, skip=len(past) - 40)
    assert found.origins
    assert {it.recorded.reference for it in found.origins} <= set(last)
