"""The laws of handling, for any sequence of records: duplicates, garbage, wrong keys, and handlers in every mood."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise, product
from typing import Any, Final

from hypothesis import given as for_any
from hypothesis import settings
from hypothesis import strategies as st

from streams.codec import codec_of
from streams.data import EventData
from streams.engine.changes import Changes
from streams.engine.engine import Engine
from streams.engine.fold import fold
from streams.engine.image import Image
from streams.engine.records import ACCEPTED, InboxRecord
from streams.engine.stored import log_record
from streams.engine.times import to_micros
from streams.testing import START, World
from streams.testing.purity_run import trace
from tests.applications import bank, moody
from tests.applications.bank.events import AccountClose, AccountCredit, AccountDebit, AccountOpen, TransferStart
from tests.support.cases import cases

NOW = to_micros(START)
CODEC = codec_of(moody.app())
few = settings(max_examples=cases(50), deadline=None)  # each example is a whole inbox; seconds are what unit tests may take

KEYS: Final = "abc"
AMOUNTS: Final = [*range(12)] * 3 + [moody.UNLUCKY]
IDS: Final = [*[None] * 8, *"12345678"]
OPENED = [AccountOpen(account=key, balance=amount) for key, amount in product(KEYS, AMOUNTS)]
CREDITED, DEBITED = (
    [event(account=key, transfer=other, amount=amount) for key, other, amount in product(KEYS, KEYS, AMOUNTS)]
    for event in (AccountCredit, AccountDebit)
)
CLOSED = [AccountClose(account=key) for key in KEYS]
EVENTS: Final[list[EventData]] = [*OPENED * 3, *CREDITED, *DEBITED, *CLOSED * 111]
"""Of each type as many. All is drawn from lists: Hypothesis takes as long for each part that it draws as an engine for an event."""
WHOLE = CODEC.encode(AccountOpen(account="a", balance=1))
GARBAGE = [b"", b"\0", b"\xff\xff", WHOLE[:5], WHOLE[:-1], WHOLE + b"\0", None]
HEADERS = [
    [
        *([("ce_id", event_id.encode())] if event_id else []),
        *([("ce_expectedversion", version)] if version else []),
        *([("ce_hops", hops)] if hops else []),
        ("ce_sequence", b"forged"),
    ]
    for event_id, version, hops in product(
        IDS, [*[None] * 20, b"0", b"1", b"2", b"x"], [*[None] * 40, b"100", b"101"]
    )
]  # fmt: skip
headers = st.sampled_from(HEADERS)
lengths, any_eighth = st.integers(0, 40), st.integers(0, 7)
contents = st.sampled_from([*EVENTS, *GARBAGE * (len(EVENTS) // 8 // len(GARBAGE))])
any_key = st.sampled_from([*["right"] * 20, "other", "none"])


@st.composite
def inboxes(draw: st.DrawFn) -> list[InboxRecord]:
    """Records in the order of their offsets: some again, some garbage, some with another's key, some with none."""
    records: list[InboxRecord] = []
    for offset in range(draw(lengths)):
        if records and draw(any_eighth) == 0:
            records.append((offset, *draw(st.sampled_from(records))[1:]))
            continue
        data = draw(contents)
        value = CODEC.encode(data) if isinstance(data, EventData) else data
        right = data.key.encode() if isinstance(data, EventData) else b"a"
        key = {"right": right, "other": b"other", "none": None}[draw(any_key)]
        records.append((offset, key, value, draw(headers), NOW // 1000))
    return records


def engine() -> Engine:
    return Engine(moody.app(), "account", CODEC)


def handle(records: list[InboxRecord], cuts: list[int]) -> tuple[Image, list[Changes]]:
    """In batches, cut where `cuts` says; all at one time."""
    made = engine()
    image, done = made.image(), []
    for start, end in pairwise([0, *sorted(cut for cut in cuts if cut < len(records)), len(records)]):
        changes = made.handle(image, records[start:end], NOW)
        image.apply(changes)
        done.append(changes)
    return image, done


def one_by_one(records: list[InboxRecord]) -> tuple[Image, list[Changes]]:
    return handle(records, list(range(len(records))))


def state(image: Image) -> dict[str, tuple[bytes, int]]:
    """Rows in canonical bytes, with their versions; deleted ones too."""
    return {key: (b"" if row is None else CODEC.encode_row(row), version) for key, (row, version) in image.rows.items()}


def joined(done: list[Changes]) -> dict[str, list[Any]]:
    """What several batches gave, as one."""
    whole: dict[str, list[Any]] = {}
    for changes in done:
        for name, part in trace(changes).items():
            whole.setdefault(name, []).extend(part)
    whole["rows"] = []  # a batch writes a row once, however often it changed: the images are compared instead
    return whole


@few
@for_any(inboxes())
def test_every_record_goes_to_one_place(records: list[InboxRecord]) -> None:
    """Log, parked, quarantined, counted duplicate or moved: none is lost and none is in two (laws 2 and 3)."""
    image, done = one_by_one(records)
    places: Counter[int] = Counter()
    for changes in done:
        places.update(record.offset for record in changes.log)
        places.update(aside.header.offset for aside in changes.set_aside)
        places.update(duplicate.offset for duplicate in changes.duplicates)
    counters = image.counters
    assert set(places.values()) <= {1}
    assert len(places) + counters.moved == len(records) == image.inbox_next
    kinds = (counters.accepted, counters.rejected, counters.parked, counters.quarantined, counters.duplicates)
    assert sum(kinds) == len(places)


@few
@for_any(inboxes())
def test_sequences_are_dense_and_times_go_forward(records: list[InboxRecord]) -> None:
    """The log counts from one without a gap, and each record is later than the one before (rules 16 and 18)."""
    image, done = one_by_one(records)
    logged = [record for changes in done for record in changes.log]
    assert [header.sequence for header in logged] == list(range(1, len(logged) + 1))
    assert image.sequence == len(logged)
    assert all(before.recorded < after.recorded for before, after in pairwise(logged))


@few
@for_any(inboxes())
def test_a_fold_of_the_log_is_the_live_table(records: list[InboxRecord]) -> None:
    """The same rows, byte for byte, the same versions, the same position (law 4)."""
    live, done = one_by_one(records)
    made = engine()
    folded = fold(made, made.image(), (log_record(one)[1:] for changes in done for one in changes.log))
    assert state(folded) == state(live)
    assert (folded.sequence, folded.recorded) == (live.sequence, live.recorded)


@few
@for_any(inboxes())
def test_the_same_records_give_the_same_ids(records: list[InboxRecord]) -> None:
    """Ids and all else are derived from what comes in: another engine gives the same bytes (law 5)."""
    first, second = one_by_one(records), one_by_one(records)
    assert joined(first[1]) == joined(second[1])
    ids = [dict(emitted.headers).get("ce_id") for changes in first[1] for emitted in changes.emitted]
    derived = [value for value in ids if value and len(value) == 36]
    assert len(derived) == len(set(derived))


@few
@for_any(inboxes(), st.lists(st.integers(0, 40), max_size=6))
def test_batches_make_no_difference(records: list[InboxRecord], cuts: list[int]) -> None:
    """However the same records are cut into batches: the same log, rows, emissions and positions."""
    image, done = handle(records, cuts)
    expected_image, expected = one_by_one(records)
    assert joined(done) == joined(expected)
    assert state(image) == state(expected_image)
    assert (image.inbox_next, image.counters) == (expected_image.inbox_next, expected_image.counters)


@few
@for_any(inboxes(), st.integers(0, 40))
def test_a_batch_that_is_dropped_leaves_no_trace(records: list[InboxRecord], cut: int) -> None:
    """Handled and not applied, as after an abort, then handled again: as if once (rule 9)."""
    made = engine()
    image = made.image()
    image.apply(made.handle(image, records[:cut], NOW))
    before = state(image)
    first = trace(made.handle(image, records[cut:], NOW))
    assert state(image) == before
    assert trace(made.handle(image, records[cut:], NOW)) == first


@few
@for_any(inboxes())
def test_every_row_carries_its_position(records: list[InboxRecord]) -> None:
    """A row's version is the sequence of the last event of its key that was accepted (law 6)."""
    image, done = one_by_one(records)
    last: dict[str, int] = {}
    for changes in done:
        for record in changes.log:
            if record.outcome == ACCEPTED:
                last[record.key.decode()] = record.sequence
    assert {key: version for key, (_, version) in image.rows.items()} == last


@few
@for_any(inboxes())
def test_a_parked_key_waits_in_order_and_others_go_on(records: list[InboxRecord]) -> None:
    """Once a key is parked, all that comes for it queues behind, in the order of the inbox (rule 12)."""
    image, done = one_by_one(records)
    first_parked: dict[str, int] = {}
    for changes in done:
        for aside in changes.set_aside:
            if aside.entity is not None:
                first_parked.setdefault(aside.entity, aside.offset)
        for record in changes.log:
            assert record.offset < first_parked.get(record.key.decode(), len(records))
    for queue in image.parked.values():
        offsets = [aside.offset for aside in queue]
        assert offsets == sorted(offsets)


transfers = st.builds(
    TransferStart,
    transfer=st.sampled_from("uvwxyz"),
    source=st.sampled_from("abcd"),
    target=st.sampled_from("abcd"),
    amount=st.integers(-1, 30),
)
openings = st.builds(AccountOpen, account=st.sampled_from("abc"), balance=st.integers(-1, 20))
closings = st.builds(AccountClose, account=st.sampled_from("abc"))


@few
@for_any(st.lists(st.tuples(st.one_of(transfers, openings, closings), st.booleans()), max_size=20))
def test_no_transfer_makes_or_loses_money(asked: list[tuple[EventData, bool]]) -> None:
    """However sign-ups, closings and transfers interleave: accounts, with what is stranded, hold what was put in."""
    world = World(bank.app())
    put_in = 0
    for data, then_settle in asked:
        accepted = world.when(data).accepted
        put_in += data.balance if accepted and isinstance(data, AccountOpen) else 0
        if then_settle:
            world.settle()
    world.settle()
    accounts, processes = world.table(bank.account), world.table(bank.transfer)
    held = sum(row.balance for row in accounts.where().values())
    stranded = sum(row.amount for row in processes.where(status="stranded").values())
    assert held + stranded == put_in
    statuses = {row.status for row in processes.where().values()}
    assert statuses <= {"done", "failed", "returned", "stranded"}
    assert world.parked == world.quarantined == []
