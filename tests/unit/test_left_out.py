"""A limit on how much history is kept: what is told of the rest is what is told with all of it, or it is refused."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from streams.cli.output.untold_text import show_untold
from streams.engine.times import to_micros
from streams.errors import BeforeHistory, HistoryError, NoSuchEvent
from streams.history.branch.branch import replay
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.code.local_code import LocalCode
from streams.history.cut_past import Cut, CutPast
from streams.history.event_lookup import in_file
from streams.history.history import History
from streams.history.history_contents import HistorySource
from streams.history.past import MemoryPast
from streams.history.past_tables import PastTables
from streams.history.recorded_event import OrderKey, Place
from streams.history.stored.stored_past import StoredPast
from streams.history.stored.stored_waiting import StoredWaiting
from streams.history.story.named_event import event_named, nothing_happened
from streams.history.story.story import Storyteller
from streams.history.story.waiting import NothingWaits
from streams.history.untold_rows import UntoldRows
from streams.server.readmodel.checkpoints import make_checkpoints
from streams.server.readmodel.corrected_folds import CorrectedFolds
from streams.server.readmodel.follower_state import FollowerState
from streams.server.readmodel.left_out import HistoryLimit, leave_out
from streams.server.readmodel.left_out_records import LeftOutRecords
from streams.server.readmodel.log_record import NAMES, LogRecord
from streams.server.readmodel.past_store import PastStore
from streams.server.readmodel.rebuild_requests import RebuildRequests
from streams.server.readmodel.record_insertion import insert_records
from streams.server.readmodel.refolded_projections import RefoldedProjections
from streams.server.readmodel.store import Store, StoreDoubt
from streams.server.readmodel.store_high_water import fill_high_water
from streams.server.readmodel.store_meta import meta_value
from tests.applications import bank
from tests.applications.bank.events import AccountOpen, TransferStart
from tests.support.partitions import Partitions
from tests.support.pasts import KINDS, START, made, past_of
from tests.support.stored_pasts import forget_schemas, stored
from tests.unit.test_checkpoints import CODE, as_bytes, kept, make, rows_of
from tests.unit.test_past_times import a_cut

some = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
few = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
NOW = Cut(None, 2**61)


def drop(there: Partitions, store: Store, before: int, code: str = CODE) -> None:
    """Leave out what was kept until now."""
    rows = store._db, there.app, there.codec, code
    leave_out(store._db, before, lambda: make_checkpoints(*rows, time.monotonic() + 60), time.monotonic() + 60)


@contextmanager
def read_anew(there: Partitions, before: int) -> Iterator[Store]:
    """A file that never had what is too old."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(HistoryLimit, "before", lambda _: before)
        with closing(stored(there, Path(folder))) as store:
            while fill_high_water(store._db, 2**62, 5, 3):
                pass
            yield store


def told(there: Partitions, store: Store, whole: MemoryPast, cut: Cut, code: str = CODE) -> int:
    """How many rows are told as of a cut. Each of them is what it is with all of the past, and none is refused in vain."""
    handlers, rows, count = ApplicationHandlers(there.app, there.codec), rows_of(there, store, cut, code), 0
    sure = rows_of_kept_events(store, whole)
    is_late = cut.as_of is None or cut.as_of >= rows.past.unsure_until
    tables = PastTables(CutPast(whole, cut), handlers)
    with PastStore(there.app, there.codec, rows) as store_of_rows:
        untold = {namespace: store_of_rows.untold(namespace) for namespace in handlers.spaces}
    for namespace in handlers.spaces:
        keys = sorted({it.place[1] for it in whole.events() if it.place[0] == namespace})
        assert [*rows.keys(namespace)] == keys == [*rows.keys(namespace, falling=True)][::-1]
    for namespace, key in sorted({it.place for it in whole.events()}):
        if key in untold[namespace]:
            assert (namespace, key) not in sure
            with pytest.raises(BeforeHistory, match="too old for the setting `history`"):
                rows.entry((namespace, key))
        else:
            with nullcontext() if is_late or (namespace, key) in sure else suppress(BeforeHistory):
                found = as_bytes(there, rows.entry((namespace, key)))
                assert found == as_bytes(there, tables.table(namespace).entry(key))
                count += 1
    return count


def rows_of_kept_events(store: Store, whole: MemoryPast) -> set[Place]:
    """Those whose events, and all that these depend on, are kept: whatever else is not here says nothing of them."""
    sure = sure_events(store, whole)
    return {it.place for it in whole.events()} - {it.place for it in whole.events() if it.order not in sure}


def sure_events(store: Store, whole: MemoryPast) -> set[OrderKey]:
    """Those that are kept, with all that they depend on."""
    kept = {*store._db.execute("select ns, part, seq from record").fetchall()}
    sure: set[OrderKey] = set()
    for it in whole.events():
        before = [each.order for each in whole.key_events(it.place) if each.order < it.order]
        causes = [] if it.cause is None else [each.order for each in whole.find_all(it.cause) if each.order < it.order]
        if it.order[1:4] in kept and sure.issuperset([*before, *causes]):
            sure.add(it.order)
    return sure


@some
@given(st.sampled_from([*KINDS, "clocks"]), st.integers(0, 10**6), st.booleans())
@example("clocks", 35, True)
def test_when_an_event_counts_from_is_known_or_has_bounds(kind: str, seed: int, anew: bool) -> None:
    """Of each event that is kept, and it is known if all that the event depends on is kept, too."""
    chosen, there = of_clocks_that_differ(seed) if kind == "clocks" else made(kind, seed)
    whole = past_of(there)
    for before in (it.order.recorded + chosen.choice([0, 1]) for it in chosen.choices(list(whole.events()), k=3)):
        with read_anew(there, before) if anew else kept(there) as store:
            if not anew:
                make(there, store)
                drop(there, store, before)
            sure = sure_events(store, whole)
            found = store._db.execute("select ns, part, seq, high, coalesce(latest, high) from record").fetchall()
            bounds = {it[:3]: it[3:] for it in found}
            for it in whole.events():
                if (known := bounds.get(it.order[1:4])) is not None:
                    assert known[0] <= (it.high or 0) <= known[1]
                    assert it.order not in sure or known[0] == known[1]


@few
@given(st.sampled_from(KINDS), st.integers(0, 10**6))
def test_a_row_is_told_as_with_all_of_the_past_or_not_at_all(kind: str, seed: int) -> None:
    """Whether a file has never had old events or has left them out; also by other code, as of any time since."""
    chosen, there = made(kind, seed)
    whole = past_of(there)
    events = list(whole.events())
    before = chosen.choice(events).order.recorded
    cuts = [cut for cut in (a_cut(chosen, whole) for _ in range(6)) if (cut.as_of or before) >= before]
    with kept(there) as store:
        make(there, store)
        drop(there, store, before)
        drop(there, store, before)
        assert told(there, store, whole, NOW) == len({it.place for it in events}), "from the rows that are kept"
        make(there, store, "other code")
        for cut in (NOW, *cuts):
            told(there, store, whole, cut, "other code")
        assert not store._db.execute("select 1 from record where recorded < ?1 and high < ?1", (before,)).fetchone()
    with read_anew(there, before) as store:
        make(there, store)
        for cut in (NOW, *cuts):
            told(there, store, whole, cut)


def opened(there: Partitions, state: Path) -> Store:
    """An empty file."""
    store = Store(state, "", there.app, there.codec)
    store.open()
    return store


def of_clocks_that_differ(seed: int) -> tuple[random.Random, Partitions]:
    """Transfers that are late, or from the future, since the clocks of their publishers are ahead."""
    chosen = random.Random(seed)
    there = Partitions(bank.app(), chosen.randint(1, 4), now=START, seed=seed, most=6)
    accounts = [f"a{number}" for number in range(chosen.randint(2, 6))]
    for name in accounts:
        there.publish(AccountOpen(account=name, balance=100), f"open-{name}", there.now)
    for number in range(chosen.randint(1, 40)):
        source, target = chosen.sample([*accounts, "nobody"], 2)
        there.now += timedelta(seconds=10)
        late = timedelta(seconds=chosen.choice([0, 0, 0, 45, 200, -100, -300]))
        data = TransferStart(transfer=f"t{number}", source=source, target=target, amount=chosen.randint(1, 90))
        there.publish(data, f"start-{number}", there.now - late)
        for _ in range(chosen.randint(0, 6)):
            there.step()
    there.settle()
    return chosen, there


@some
@given(st.sampled_from([*KINDS, "clocks"]), st.integers(0, 10**6), st.booleans())
@example("clocks", 12, True)
@example("clocks", 44, True)
@example("clocks", 60, False)
@example("clocks", 92, False)
@example("repeated", 3, True)
def test_an_effect_is_not_told_without_a_cause_that_is_not_kept(kind: str, seed: int, anew: bool) -> None:
    """A high-water time does not know of what is not kept: what may be told too early is refused, and nothing else, at any time."""
    chosen, there = of_clocks_that_differ(seed) if kind == "clocks" else made(kind, seed)
    whole = past_of(there)
    before = chosen.choice(list(whole.events())).order.recorded
    cuts = [a_cut(chosen, whole) for _ in range(12)]
    with read_anew(there, before) if anew else kept(there) as store:
        make(there, store)
        drop(there, store, before)
        for cut in cuts:
            told(there, store, whole, cut)


@few
@given(st.sampled_from([*KINDS, "clocks"]), st.integers(0, 10**6))
@example("clocks", 35)
def test_a_table_has_the_rows_that_are_told_and_why_the_others_are_not(kind: str, seed: int) -> None:
    """From Python too, where a table is folded in one pass: what may have happened by then or not leaves its own row untold."""
    chosen, there = of_clocks_that_differ(seed) if kind == "clocks" else made(kind, seed)
    whole, handlers = past_of(there), ApplicationHandlers(there.app, there.codec)
    with read_anew(there, chosen.choice(list(whole.events())).order.recorded) as store:
        for cut in (a_cut(chosen, whole) for _ in range(6)):
            told = PastTables(CutPast(StoredPast(store._db, there.codec), cut), handlers)
            right = PastTables(CutPast(whole, cut), handlers)
            for namespace in handlers.spaces:
                table, rows = told.table(namespace), right.table(namespace)
                assert table.told == {key: row for key, row in rows.items() if key not in table.untold}
                for key in table.untold:
                    with pytest.raises(BeforeHistory, match="too old for the setting `history`"):
                        table.entry(key)


def test_an_event_from_far_ahead_refuses_no_row_but_those_that_depend_on_it() -> None:
    """What follows from it is kept, however old, so nothing that is left out depends on its time."""
    there, far = Partitions(bank.app(), 2, now=START, seed=1, most=6), START + timedelta(days=4000)
    for name in ("a", "b", "c", "d"):
        there.publish(AccountOpen(account=name, balance=100), f"open-{name}", there.now)
    there.publish(TransferStart(transfer="t", source="a", target="b", amount=9), "ahead", far)
    there.settle()
    there.now += timedelta(days=9)
    for number in range(9):
        data = TransferStart(transfer=f"t{number}", source="c", target="d", amount=1)
        there.publish(data, f"later-{number}", there.now + timedelta(minutes=number))
    there.settle()
    whole, before = past_of(there), to_micros(START + timedelta(days=5))
    with read_anew(there, before) as store:
        make(there, store)
        assert StoredPast(store._db, there.codec).unsure_until == before
        kept = {it for (it,) in store._db.execute("select id from record where recorded < ?", (before,))}
        assert "ahead" in kept
        assert not any(name.startswith("open-") for name in kept)
        cut = Cut(before + 1)
        assert told(there, store, whole, cut) >= 9


def test_a_cause_may_be_another_event_of_its_id_that_is_not_kept() -> None:
    """An id that was given to two keys, of which one event is too old: it may count from later on than the other one."""
    there = Partitions(bank.app(), 4, now=START, seed=1)
    second = next(key for key in "bcdefgh" if there.partition_of(key.encode()) != there.partition_of(b"a"))
    for event_id, later in (("first", 300), ("same", 10)):
        data = TransferStart(transfer="a", source="nobody", target="nobody", amount=1)
        there.publish(data, event_id, START + timedelta(seconds=later))
    there.settle()
    there.now += timedelta(days=1)
    there.publish(AccountOpen(account="new", balance=100), "open", START)
    there.settle()
    data = TransferStart(transfer=second, source="new", target="nobody", amount=1)
    there.publish(data, "same", START + timedelta(seconds=10))
    there.settle()
    whole = past_of(there)
    debit = next(it for it in whole.key_events(("account", "new")) if it.event_type == "account.debit")
    before = to_micros(there.now - timedelta(minutes=1))
    with read_anew(there, before) as store:
        [kept] = [it for it in StoredPast(store._db, there.codec).events() if it.order == debit.order]
        assert (kept.high, kept.latest) == (to_micros(START + timedelta(seconds=10)), before)
        assert debit.high == to_micros(START + timedelta(seconds=300))
        with pytest.raises(BeforeHistory, match="it follows from events that are too old"):
            rows_of(there, store, Cut(to_micros(START + timedelta(seconds=60)))).entry(("account", "new"))


def records_of(store: Store) -> list[LogRecord]:
    return store._db.execute(f"select {', '.join(NAMES)} from record order by recorded, ns, part, seq").fetchall()


@some
@given(st.sampled_from([*KINDS, "clocks"]), st.integers(0, 10**6), st.integers(1, 40), st.booleans())
@example("clocks", 17, 1, False)
def test_nothing_that_is_left_out_depends_on_a_later_time_than_is_noted(
    kind: str, seed: int, most: int, again: bool
) -> None:
    """In whatever order partitions are read, in pieces of any size, and also by a process that goes on."""
    chosen, there = of_clocks_that_differ(seed) if kind == "clocks" else made(kind, seed)
    high = {it.order[1:4]: it.high or 0 for it in past_of(there).events()}
    with kept(there) as full, tempfile.TemporaryDirectory() as folder, closing(opened(there, Path(folder))) as store:
        queues: dict[tuple[str, int], list[LogRecord]] = {}
        for it in records_of(full):
            queues.setdefault(it[1:3], []).append(it)
        before = chosen.choice([*high.values()]) + 1
        left_out = LeftOutRecords(store._db, before)
        while queues:
            at = chosen.choice(sorted(queues))
            piece, queues[at] = queues[at][:most], queues[at][most:]
            if not queues[at]:
                del queues[at]
            insert_records(store._db, left_out.without(piece))
            left_out.write(store._db)
            left_out.written()
            if again and chosen.random() < 0.1:
                before += chosen.randint(0, 10**8)
                left_out = LeftOutRecords(store._db, before)
        there_are = {*store._db.execute("select ns, part, seq from record").fetchall()}
        gone = [at for place, at in high.items() if place not in there_are]
        assert not gone or max(gone) < (meta_value(store._db, "left_out_times") or 0)


def test_a_branch_does_not_tell_what_is_not_kept() -> None:
    """Nor does it as of a time, for which its events have other high-water times."""
    there = made("bank", 7)[1]
    events = list(past_of(there).events())
    with read_anew(there, events[len(events) // 2].order.recorded) as store:
        past, waiting = StoredPast(store._db, there.codec), StoredWaiting(store._db, there.codec)
        handlers = ApplicationHandlers(there.app, there.codec)
        branch = History(past, handlers, HistorySource(in_file(past, waiting, there.app))).what_if(
            insert=[(AccountOpen(account="new", balance=1), START)]
        )
        key = next(it for it in past.erased_keys("account") if past.key_events(("account", it)))
        for history in (branch, branch.as_of(START + timedelta(days=9))):
            assert history.table(there.app.namespace("account"))["new"].balance == 1
            with pytest.raises(BeforeHistory, match="too old for the setting `history`"):
                history.table(there.app.namespace("account"))[key]


@pytest.mark.parametrize("removed_days", [4, 7], ids=["before the limit", "behind it"])
def test_a_branch_does_not_tell_an_effect_too_early_whose_row_is_not_whole(removed_days: int) -> None:
    """A credit counted from a late event on that the branch has not; then it does so from one on that is not kept."""
    there, before = Partitions(bank.app(), 2, now=START, seed=1), to_micros(START + timedelta(days=5))
    there.publish(AccountOpen(account="old", balance=100), "open-old", START + timedelta(days=3))
    there.now += timedelta(days=3)
    there.settle()
    there.now += timedelta(days=5)
    there.publish(AccountOpen(account="a", balance=100), "open-a", START + timedelta(days=1))
    there.settle()
    there.publish(AccountOpen(account="a", balance=100), "again", START + timedelta(days=removed_days))
    there.settle()
    there.publish(TransferStart(transfer="t", source="a", target="old", amount=30), "start", START + timedelta(days=1))
    there.settle()
    with read_anew(there, before) as store:
        past, waiting = StoredPast(store._db, there.codec), StoredWaiting(store._db, there.codec)
        history = History(past, ApplicationHandlers(there.app, there.codec), HistorySource(in_file(past, waiting, there.app)))
        branch = history.what_if(remove=["again"])
        assert branch.as_of(START + timedelta(days=9)).table(bank.transfer)["t"].status == "done"
        with pytest.raises(BeforeHistory, match="it follows from events that are too old"):
            branch.as_of(START + timedelta(days=2)).table(bank.transfer)["t"]


def test_a_branch_as_of_a_time_before_the_limit_tells_what_rests_on_kept_events_alone() -> None:
    """Of accounts that were told of late, a transfer between them is told; what follows from an event that is not kept is not."""
    there, before = Partitions(bank.app(), 2, now=START, seed=1), to_micros(START + timedelta(days=5))
    there.publish(AccountOpen(account="old", balance=100), "open-old", START)
    there.settle()
    there.now += timedelta(days=6)
    for name in ("a", "b"):
        there.publish(AccountOpen(account=name, balance=100), f"open-{name}", START + timedelta(days=1))
    there.settle()
    with read_anew(there, before) as store:
        past, waiting = StoredPast(store._db, there.codec), StoredWaiting(store._db, there.codec)
        history = History(past, ApplicationHandlers(there.app, there.codec), HistorySource(in_file(past, waiting, there.app)))
        transfer = TransferStart(transfer="t", source="a", target="b", amount=30)
        branch = history.what_if(insert=[(transfer, START + timedelta(days=2))])
        then = branch.as_of(START + timedelta(days=3))
        assert {key: then.table(bank.account)[key].balance for key in "ab"} == {"a": 70, "b": 130}
        assert then.table(bank.transfer)["t"].status == "done"
        with pytest.raises(BeforeHistory, match="too old for the setting `history`"):
            then.table(bank.account)["old"]


def test_a_row_that_is_kept_is_told_by_an_application_with_another_schema() -> None:
    """Its schema is in the file. Until it is known, the row is refused, and nothing else stops."""
    there = made("bank", 7)[1]
    whole = past_of(there)
    events = list(whole.events())
    places = {it.place for it in events}
    with kept(there) as store:
        drop(there, store, events[len(events) // 2].order.recorded)
        before = {place: as_bytes(there, rows_of(there, store, NOW).entry(place)) for place in places}
        forget_schemas(there.codec, "_row_decoders")  # as of a process whose rows have another schema by now
        with pytest.raises(HistoryError, match="does not read here"):
            [rows_of(there, store, NOW).entry(place) for place in places]
        drop(there, store, 2**62)
        drop(there, store, 2**62)
        assert before == {place: as_bytes(there, rows_of(there, store, NOW).entry(place)) for place in places}


def test_events_of_a_row_of_which_one_was_erased_do_not_stay_for_ever() -> None:
    """Nothing is told of such a row, so no row of it is waited for; nor does it hold the others up."""
    there = made("bank", 7)[1]
    whole = past_of(there)
    [_, erased, *_] = [it for it in whole.events() if it.place == ("account", "a0")]
    with kept(there) as store:
        writer = store.writer()
        writer.erase_record("account", erased.order.partition, erased.order.sequence, "a0")
        writer.commit()
        drop(there, store, 2**62)
        assert store._db.execute("select count(*) from record").fetchone() == (0,)
        with pytest.raises(BeforeHistory, match="too old"):
            rows_of(there, store, NOW).entry(("account", "a0"))


def test_nothing_is_made_of_a_past_that_is_not_whole() -> None:
    """No replay, and no story of a row; an event that is kept has one, without its row."""
    there = made("bank", 7)[1]
    whole = past_of(there)
    events = list(whole.events())
    before = events[len(events) // 2].order.recorded
    with read_anew(there, before) as store:
        past, handlers = StoredPast(store._db, there.codec), ApplicationHandlers(there.app, there.codec)
        assert past.left_out_until() is not None
        assert len(past) < len(events)
        with pytest.raises(BeforeHistory, match="Set `history` to all"):
            replay(past, LocalCode(handlers), handlers)
        [key, *_] = [it for it in past.erased_keys("account") if past.key_events(("account", it))]
        [*_, last] = past.key_events(("account", key))
        step = Storyteller(past, handlers, NothingWaits()).of_event(last, 9).step
        assert (step.after, "too old" in str(step.unknown)) == (None, True)


def test_it_is_never_said_that_nothing_happened() -> None:
    """Of a row or a position whose events are all too old."""
    there = made("bank", 7)[1]
    place, name = next((it.place, it.name) for it in past_of(there).events())
    with read_anew(there, 2**62) as store:
        past = StoredPast(store._db, there.codec)
        assert len(past) == 0
        gone = nothing_happened(past, place)
        assert isinstance(gone, BeforeHistory)  # exit code 3 and a 410, as for other questions about this row
        assert "any more: its events up to the sequence" in str(gone)
        with pytest.raises(NoSuchEvent, match="'unknown' that is kept here; older ones are left out by the setting `history`"):
            event_named(past, StoredWaiting(store._db, there.codec), there.app, "unknown")
        with pytest.raises(NoSuchEvent, match=f"{name} is not in this file: it is too old"):
            event_named(past, StoredWaiting(store._db, there.codec), there.app, name)


def test_no_other_code_is_advised_for_what_is_too_old(capsys: pytest.CaptureFixture[str]) -> None:
    """It could not tell these rows either: each has its reason, and there is no more to say."""
    there = made("bank", 7)[1]
    with read_anew(there, 2**62) as store:
        show_untold(UntoldRows(StoredPast(store._db, there.codec), "account"), as_json=False)
    said = " ".join(capsys.readouterr().err.split())
    assert "too old for the setting `history`" in said
    assert "rows cannot be told" in said
    assert "--export" not in said


def test_a_projection_is_not_folded_from_a_part_of_the_past() -> None:
    """Neither as of a time, nor again for other code: then all is read from Kafka."""
    there = made("shop", 4)[1]
    events = list(past_of(there).events())
    with read_anew(there, events[len(events) // 2].order.recorded) as store:
        with (
            PastStore(there.app, there.codec, rows_of(there, store, NOW)) as past,
            pytest.raises(BeforeHistory, match="the projection orders_per_day cannot be told"),
        ):
            past.table("orders_per_day")
        writer = store.writer()
        state = FollowerState(lambda _: None)
        corrected = CorrectedFolds(store, writer, state, there.app, there.codec)
        again = RefoldedProjections(store, writer, state, there.codec, corrected)
        requests = RebuildRequests(store.file.parent)
        requests.ask("orders_per_day")
        with pytest.raises(StoreDoubt, match="orders_per_day cannot be folded again from it"):
            again.step()
        assert requests.names() == [], "it is not asked for again and again"


@pytest.mark.parametrize(("history", "anew"), [(86_400.0, False), (3_600.0, False), (172_800.0, True), (None, True)])
def test_a_file_that_left_out_more_is_read_again(tmp_path: Path, history: float | None, anew: bool) -> None:
    """What a wider limit asks for is in Kafka alone."""
    there = made("bank", 7)[1]
    before = Store(tmp_path, "", there.app, there.codec, history=86_400.0)
    before.open()
    writer = before.writer()
    old, new = (round(time.time() - seconds) * 10**6 for seconds in (100_000, 10))
    for sequence, recorded in ((1, old), (2, new)):
        writer.put_records([
            (recorded, "account", 0, sequence, recorded, f"a{sequence}", "account.open", "id", 1, "root", 0, 1, 1, b"", b"")
        ])  # fmt: skip
    writer.commit()
    assert before._db.execute("select key from record").fetchall() == [("a2",)]
    assert before._db.execute("select * from left_out").fetchall() == [("account", "a1", 1)]
    before.completed()
    before.close()
    after = Store(tmp_path, "", there.app, there.codec, history=history)
    after.open()
    assert after.is_complete is not anew
    after.close()
