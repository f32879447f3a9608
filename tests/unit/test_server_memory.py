"""What the server keeps in memory, and in which order it reads the past."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from streams.codec import AvroCodec
from streams.engine.marker import Marker
from streams.engine.records import Counters, DuplicateRecord
from streams.event import Event
from streams.kafka.messages import LogEvent
from streams.server.http.snapshot import TableSnapshot
from streams.server.readmodel.merge import LogMerger
from streams.server.readmodel.model import ReadModel
from streams.server.readmodel.recent import KnownOutcome, RecentEvents, RecentOutcomes
from tests.applications import bank
from tests.applications.bank.events import AccountOpen, AccountRow

START = datetime(2026, 1, 1, tzinfo=UTC)
A, B = ("account", 0), ("account", 1)


def logged(partition: tuple[str, int], sequence: int, second: int) -> tuple[LogEvent, int]:
    data = AccountOpen(account="a", balance=1)
    event = Event(data, f"{partition}{sequence}", START)
    recorded = START + timedelta(seconds=second)
    return LogEvent(*partition, 2 * sequence, sequence, recorded, "accepted", None, event), sequence - 1


def test_the_past_is_read_in_the_order_of_its_time() -> None:
    """An event waits until every other partition has shown a later one or its end."""
    merge = LogMerger([A, B])
    for sequence, second in ((1, 1), (2, 5)):
        merge.add(A, logged(A, sequence, second))
    assert list(merge.ready()) == []
    merge.add(B, logged(B, 1, 3))
    assert [event.recorded.second for event, _ in merge.ready()] == [1, 3]
    merge.ended(B)
    assert [event.recorded.second for event, _ in merge.ready()] == [5]


def test_no_partition_runs_far_ahead() -> None:
    """Memory is bounded: a partition that is full waits for the others, and goes on when they have caught up."""
    merge = LogMerger([A, B], in_memory=200)
    for n in range(100):
        merge.add(A, logged(A, n + 1, n))
    assert (merge.full(A), merge.full(B), merge.low(A)) == (True, False, False)
    merge.ended(B)
    assert len(list(merge.ready())) == 100
    assert (merge.full(A), merge.low(A)) == (False, True)


def test_the_end_of_a_log_is_kept_and_no_more() -> None:
    """What follows a sequence, and None once that is not kept; then an offset at or before it."""
    recent = RecentEvents(size=100)
    for n in range(2_500):
        recent.add(logged(A, n + 1, 0)[0])
    after = recent.after(2_490, 3)
    assert after is not None
    assert [event.sequence for event in after] == [2_491, 2_492, 2_493]
    assert (recent.after(2_399, 1), recent.after(2_500, 1), recent.last) == (None, [], 2_500)
    assert [recent.offset_before(at) for at in (0, 999, 1_000, 2_499)] == [2, 2, 2_002, 4_002]


def test_an_outcome_that_came_later_counts() -> None:
    """Parked and then handled is handled, also if the parked topic is read last; the oldest are forgotten."""
    outcomes = RecentOutcomes(size=2)
    for became in (KnownOutcome(outcome="accepted", sequence=7), KnownOutcome(outcome="parked")):
        outcomes.add(("account", 0, 1), became)
    assert outcomes.get(("account", 0, 1)) == KnownOutcome(outcome="accepted", sequence=7)
    for offset in (2, 3):
        outcomes.add(("account", 0, offset), KnownOutcome(outcome="accepted", sequence=offset))
    assert outcomes.get(("account", 0, 1)) is None


def marker(last: int, inbox_next: int) -> Marker:
    return Marker(
        first=1, last=last, inbox_next=inbox_next, recorded=0, application="bank", topic_ids={}, partitions=1,
        transactional_id="t", counters=Counters(), duplicates=[DuplicateRecord(4, 2, "accepted")],
    )  # fmt: skip


def test_an_outcome_is_reported_once_its_row_is_there() -> None:
    """The log may be read before the table: who waited would read an old row."""
    app = bank.app()
    model = ReadModel(app, AvroCodec(app.event_types().values(), [AccountRow]))
    model.begin({"account": 1, "transfer": 1})
    model.logged(*logged(A, 1, 0))
    assert model.became(A, 0) is None
    model.committed(A, marker(1, 5), {"a": (AccountRow(balance=1), 1)})
    became, again = model.became(A, 0), model.became(A, 4)
    assert became is not None
    assert (became.outcome, became.key, became.sequence) == ("accepted", "a", 1)
    assert again is not None
    assert (again.duplicate, again.sequence) == (True, 2)


def test_a_copy_of_a_table_stays_as_it_was() -> None:
    """Whoever pages through it is not disturbed; without a change it is the same copy."""
    app = bank.app()
    model = ReadModel(app, AvroCodec(app.event_types().values(), [AccountRow]))
    model.begin({"account": 1, "transfer": 1})
    model.committed(A, None, {"a": (AccountRow(balance=1), 1)})
    first, same = TableSnapshot(model)["account"], TableSnapshot(model)["account"]
    model.committed(A, None, {"a": (None, 2), "b": (AccountRow(balance=2), 3)})
    assert (first is same, list(first), list(TableSnapshot(model)["account"])) == (True, ["a"], ["b"])
