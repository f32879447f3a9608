"""The real worker's cycles and restores on a Kafka in memory: two workers, one thread, no time that passes by itself."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.errors import NamespaceStopped
from streams.kafka.producer import YOUNG
from streams.worker.polled_batch import PolledBatch
from streams.worker.task import RestoredCalls
from tests.applications import probe, shop, timed
from tests.applications.probe.events import EchoHear, ProbeDo
from tests.applications.shop.events import Line, OrderPaid, OrderPlace
from tests.applications.timed.events import AlarmTouch
from tests.simulator.broker import Metadata, Transaction
from tests.simulator.memory_producer import MemoryProducer
from tests.simulator.workers import ENOUGH, PARTITIONS, MemorySite, Worker, go_on

KEYS = [f"k{number}" for number in range(12)]


def site(state: Path) -> MemorySite:
    return MemorySite(probe.app(), "echo", state)


def publish(there: MemorySite, numbers: range) -> None:
    for number in numbers:
        there.publish(EchoHear(name=KEYS[number % len(KEYS)]))


def test_two_workers_share_a_namespace_through_a_rebalance(tmp_path: Path) -> None:
    """What one had is restored by the other from the log; nothing is handled twice, and no thread is begun."""
    there, threads = site(tmp_path), threading.active_count()
    publish(there, range(60))
    first = Worker(there, 0)
    go_on(there, first)
    second = Worker(there, 1)
    publish(there, range(60, 120))
    go_on(there, first, second)
    assert (len(first.partitions()), len(second.partitions())) == (2, 2)
    assert first.partitions() | second.partitions() == set(range(PARTITIONS))
    first.stop()
    publish(there, range(120, 180))
    go_on(there, second)
    assert second.partitions() == set(range(PARTITIONS))
    assert there.logged() == dict.fromkeys(KEYS, 15)
    rows = {key: row for image in second.cycle.tasks.images().values() for key, (row, _) in image.rows.items()}
    assert {key: row.heard for key, row in rows.items() if row is not None} == dict.fromkeys(KEYS, 15)
    assert threading.active_count() == threads


def test_a_worker_that_was_taken_for_dead_commits_nothing(tmp_path: Path) -> None:
    """It has records in hand, which the other has handled meanwhile (rule 4)."""
    there = site(tmp_path)
    publish(there, range(12))
    first, second = Worker(there, 0), Worker(there, 1)
    go_on(there, first, second)
    publish(there, range(12, 24))
    while not first.has_records():
        first.step()
    there.expire(0)
    go_on(there, second)
    first.step()
    assert first.cycle.aborted == 1
    go_on(there, first, second)
    assert there.logged() == dict.fromkeys(KEYS, 2)


def test_a_worker_ends_what_the_process_before_left_in_its_own_inbox(tmp_path: Path) -> None:
    """As what it moves to the partition of its key (rule 14): a record behind the end of its transaction hides all that follow."""
    there = site(tmp_path)
    before = Worker(there, 0)
    publish(there, range(12))
    go_on(there, before)
    [name] = there.broker.producers
    before.stop()
    lost = MemoryProducer(there.broker, {"transactional.id": name})
    for partition in there.markers():
        there.broker.append(("echo", partition), b"moved", b"?", None, Transaction(lost, there.broker.clock.monotonic()))
    publish(there, range(12, 24))
    worker = Worker(there, 0)
    for _ in range(ENOUGH):
        worker.step()
    assert there.logged() == dict.fromkeys(KEYS, 2)


def test_a_worker_that_is_fenced_in_its_first_seconds_goes_on(tmp_path: Path) -> None:
    """By what the process before it had asked; later it is another worker of its name, and it stops."""
    there = site(tmp_path)
    worker = Worker(there, 0)
    publish(there, range(12))
    go_on(there, worker)
    [name] = there.broker.producers

    def fence() -> None:
        there.broker.producers[name] = MemoryProducer(there.broker, {"transactional.id": name})
        publish(there, range(12, 24))
        go_on(there, worker)

    fence()
    assert there.logged() == dict.fromkeys(KEYS, 2)
    there.broker.clock.sleep(YOUNG)
    with pytest.raises(NamespaceStopped, match="RETOLD_INSTANCE"):
        fence()


ACTIONS = st.lists(st.sampled_from(["publish", "first", "second", "join", "leave", "expire"]), min_size=5, max_size=60)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(actions=ACTIONS)
def test_each_event_is_handled_once_whoever_acts_when(tmp_path: Path, actions: list[str]) -> None:
    """A worker joins, leaves, polls and handles in any order; what a rebalance overtook is done again, by whoever has it."""
    there, published = site(tmp_path), 12
    first, second = Worker(there, 0), None
    publish(there, range(published))
    go_on(there, first)
    for action in actions:
        match action:
            case "publish":
                publish(there, range(published, published + 12))
                published += 12
            case "expire":
                there.expire(0)
            case "first":
                first.step()
            case "second" if second is not None:
                second.step()
            case "join" if second is None:
                second = Worker(there, 1)
            case "leave" if second is not None:
                second.stop()
                second = None
    go_on(there, *[first] if second is None else [first, second])
    assert sum(there.logged().values()) == published
    first.stop()
    if second is not None:
        second.stop()


def test_the_end_of_a_partition_is_known_though_its_transaction_is_refused(tmp_path: Path) -> None:
    """It is reported once, and restored calls wait for it: they would wait for the partition's next event."""
    there = site(tmp_path)
    publish(there, range(12))
    worker = Worker(there, 0)
    go_on(there, worker)
    ended, busy = worker.cycle.tasks.running()[:2]
    ended._restored_calls = RestoredCalls([], end=50)  # as after a restore; Kafka's own records lie before offset 50
    record = (busy.image.inbox_next, b"k", b"", None, 0)
    stale = Metadata("retold.echo", worker, -1)
    worker.cycle.handle(PolledBatch(stale, {busy: [record]}, {ended.partition: 50}))
    assert worker.cycle.aborted == 1
    assert not ended.hold_back([]), "its restored calls still wait for the end"


def test_a_worker_whose_end_goes_wrong_leaves_its_group_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its partitions are nobody else's for as long as its process lives."""
    there = site(tmp_path)
    publish(there, range(12))
    first, second = Worker(there, 0), Worker(there, 1)
    go_on(there, first, second)

    def fail(*_: object) -> None:
        raise RuntimeError("what is told of a closed task fails")

    monkeypatch.setattr(first.cycle.tasks, "_on_closed", fail)
    with pytest.raises(RuntimeError, match="closed task"):
        first.stop()
    publish(there, range(12, 24))
    go_on(there, second)
    assert second.partitions() == set(range(PARTITIONS))


def test_an_event_that_no_transaction_can_hold_is_quarantined_by_reference(tmp_path: Path) -> None:
    """It is found by halving, only for its size; its neighbours are handled, and the inbox still has it (rule 8)."""
    there = MemorySite(probe.app(), "probe", tmp_path)
    worker, small = Worker(there, 0), [f"{letter}{number}" for letter in "ab" for number in range(5)]
    there.broker.largest["echo"] = 500  # as of another application, whose settings are not known here
    for name in (*small[:5], "large" * 100, *small[5:]):
        there.publish(ProbeDo(name=name, how="echo"))
    go_on(there, worker)
    for _ in range(ENOUGH):
        worker.step()
    assert there.logged() == dict.fromkeys(small, 1)
    assert sum(image.quarantined for image in worker.cycle.tasks.images().values()) == 1


def test_a_timer_that_no_transaction_can_hold_holds_up_no_other(tmp_path: Path) -> None:
    """The limit of the log was lowered after it was scheduled: the others fire, and it is kept (rule 8)."""
    there = MemorySite(shop.app(), "order", tmp_path)
    worker = Worker(there, 0)
    orders = [f"o{number}" for number in range(8)] + ["large" * 100]
    for order in orders:
        there.publish(OrderPlace(order=order, customer="c", lines=(Line(sku="s", quantity=1),)))
    go_on(there, worker)
    there.broker.largest["order-log"] = 400
    there.broker.clock.sleep(2 * shop.PAY_WITHIN.total_seconds())
    go_on(there, worker)
    for _ in range(ENOUGH):
        worker.step()
    aborted = worker.cycle.aborted
    for _ in range(ENOUGH):
        worker.step()
    assert worker.cycle.aborted == aborted
    assert there.logged() == {order: 1 if len(order) > 400 else 2 for order in orders}
    assert [timer.emitted.key for image in worker.cycle.tasks.images().values() for timer in image.due.values()] == [b"large" * 100]
    worker.stop()
    there.broker.largest.clear()
    after = Worker(there, 1)
    for _ in range(ENOUGH):
        after.step()
    assert there.logged() == dict.fromkeys(orders, 2)


def test_a_timer_that_no_transaction_can_hold_does_not_take_along_the_event_behind_it(tmp_path: Path) -> None:
    """It would fire before that event, in the same transaction: it stays pending, and the event is handled."""
    there = MemorySite(timed.app(), "alarm", tmp_path)
    worker = Worker(there, 0)
    there.publish(AlarmTouch(name="k", other="large" * 100, after=1))
    go_on(there, worker)
    there.broker.largest["bell"] = 400
    there.broker.clock.sleep(2 * 3600)
    there.publish(AlarmTouch(name="k", number=1))
    there.publish(AlarmTouch(name="other", number=1))
    go_on(there, worker)
    assert there.logged() == {"k": 3, "other": 1}, "the key's other timer has not fired"
    assert sum(len(image.due) for image in worker.cycle.tasks.images().values()) == 1
    assert all(image.quarantined == 0 for image in worker.cycle.tasks.images().values())


def test_the_clock_fires_nothing_before_what_lies_in_the_inbox(tmp_path: Path) -> None:
    """An event that came while a timer came due, and was not polled yet, is handled first: the order was paid in time."""
    there = MemorySite(shop.app(), "order", tmp_path)
    worker = Worker(there, 0)
    there.publish(OrderPlace(order="o1", customer="c", lines=(Line(sku="s", quantity=1),)))
    go_on(there, worker)
    while worker.has_records():
        worker.step()
    there.publish(OrderPaid(order="o1", receipt="r"))
    there.broker.clock.sleep(2 * shop.PAY_WITHIN.total_seconds())
    go_on(there, worker)
    for _ in range(ENOUGH):
        worker.step()
    rows = {key: row for image in worker.cycle.tasks.images().values() for key, (row, _) in image.rows.items()}
    assert rows["o1"].status == "paid"  # type: ignore[union-attr]  # a row of this application
