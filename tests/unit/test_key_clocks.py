"""The clock of a key: what becomes of it follows from its publishers' events alone, however they come to be handled (rule 23).

The number of cases is TIMER_CASES (40 unless it is set); 600 take minutes.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from streams.engine import image as engine_image
from streams.engine import overlay
from streams.engine.commands import IMPORTS
from streams.engine.control import OperatorCommand
from streams.engine.envelope import Arrival
from streams.engine.fold import fold
from streams.engine.overlay import Overlay
from streams.engine.pending import FiringLimit
from streams.engine.records import QueuePosition
from streams.engine.timers import Timers
from streams.engine.times import to_micros
from streams.testing import World
from tests.applications import timed
from tests.applications.timed.events import AlarmRing, AlarmTouch
from tests.support.kept import ParkedTopic
from tests.support.partitions import Partitions

CASES = int(os.environ.get("TIMER_CASES", "40"))
FIRST, TODAY = datetime(2011, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
Published = tuple[AlarmTouch, str, datetime]

touches = st.lists(
    st.builds(
        lambda key, number, after, other, at: (AlarmTouch(name=key, number=number, after=after, other=other), at),
        st.sampled_from("kabcdef"), st.integers(0, 9), st.integers(0, 6), st.sampled_from(["", "", "z", "y"]), st.integers(0, 40),
    ),
    max_size=30,
)  # fmt: skip
run = (touches, st.integers(1, 5), st.integers(1, 9), st.integers(0, 10**6))
many = settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck))


def published(raw: Sequence[tuple[AlarmTouch, int]]) -> list[Published]:
    """A late one here and there stays late."""
    return [(data, f"e{number}", FIRST + at * HOUR) for number, (data, at) in enumerate(raw)]


def interleaved(events: Sequence[Published], seed: int) -> Iterator[Published]:
    """In another order, with each key's own order kept."""
    chosen, queues = random.Random(seed), dict[str, list[Published]]()
    for event in events:
        queues.setdefault(event[0].key, []).append(event)
    while queues:
        key = chosen.choice(sorted(queues))
        yield queues[key].pop(0)
        if not queues[key]:
            del queues[key]


def imported(
    events: Sequence[Published], partitions: int = 1, seed: int = 0, most: int = 1, *, trickling: bool = False
) -> Partitions:
    """Years later, with the import's clock; trickling in, the worker is faster than the publisher."""
    there = Partitions(timed.app(), partitions, now=TODAY, seed=seed, most=most)
    there.clock("import", FIRST)
    for event in interleaved(events, seed):
        there.publish(*event)
        if trickling and there.random.random() < 0.5:
            there.settle()
    there.settle()
    there.clock("import", None)
    there.settle()
    return there


def lived(events: Sequence[Published], partitions: int, seed: int, most: int) -> Partitions:
    """Each event at its own time; the clock goes on by half an hour."""
    there, left = Partitions(timed.app(), partitions, now=FIRST, seed=seed, most=most), list(events)
    while there.now < FIRST + 200 * HOUR:
        for event in [it for it in left if it[2] <= there.now]:
            there.publish(*event)
            left.remove(event)
        there.settle()
        there.now += HOUR / 2
    return there


def as_it_happened(events: Sequence[Published], partitions: int, seed: int, most: int) -> Partitions:
    """Sorted by time, and before each due time the import's clock is set, once all is handled."""
    there = Partitions(timed.app(), partitions, now=TODAY, seed=seed, most=most)
    there.clock("import", FIRST)
    for event in events:
        there.settle()
        while (due := there.next_due()) is not None and due < event[2]:
            there.clock("import", due + timedelta(microseconds=1))
            there.settle()
        there.publish(*event)
    there.settle()
    there.clock("import", None)
    there.settle()
    return there


def played(events: Sequence[Published]) -> World:
    world = World(timed.app())
    return world.play((data, time) for data, _, time in events).advance(timedelta(0))


def assert_same(one: Partitions, other: Partitions) -> None:
    """Rows and logs of keys that hear only from publishers and themselves; of the others, what does not depend on the order."""
    assert one.rows("alarm") == other.rows("alarm")
    assert one.by_key("alarm") == other.by_key("alarm")
    assert one.rows("bell") == other.rows("bell")
    first, second = ({key: sorted(map(str, log)) for key, log in it.by_key("bell").items()} for it in (one, other))
    assert first == second


def check_import(raw: Sequence[tuple[AlarmTouch, int]], partitions: int, most: int, seed: int) -> None:
    events = published(raw)
    assert_same(imported(events), imported(events, partitions, seed, most, trickling=True))


def check_live(raw: Sequence[tuple[AlarmTouch, int]], partitions: int, most: int, seed: int) -> None:
    events = sorted(published(raw), key=lambda it: it[2])
    assert_same(imported(events), lived(events, partitions, seed, most))


@many
@given(*run)
def test_an_import_is_the_same_however_it_is_cut(
    raw: Sequence[tuple[AlarmTouch, int]], partitions: int, most: int, seed: int
) -> None:
    """For any number of partitions, size of batches and interleaving with other keys, in bulk or trickling in."""
    check_import(raw, partitions, most, seed)


@many
@given(*run)
def test_an_import_is_what_would_have_happened_live(
    raw: Sequence[tuple[AlarmTouch, int]], partitions: int, most: int, seed: int
) -> None:
    """Each event at its own time, with the clock going from half an hour to the next."""
    check_live(raw, partitions, most, seed)


@settings(many, max_examples=max(1, CASES // 2))
@given(*run)
def test_an_import_as_it_happened_is_what_would_have_happened(
    raw: Sequence[tuple[AlarmTouch, int]], partitions: int, most: int, seed: int
) -> None:
    """With the import's clock from one due time to the next; and a World plays the same."""
    events = sorted(published(raw), key=lambda it: it[2])
    there = as_it_happened(events, partitions, seed, most)
    assert_same(imported(events), there)
    world = played(events)
    assert dict(world.table(timed.alarm).items()) == there.rows("alarm")
    assert dict(world.table(timed.bell).items()) == there.rows("bell")


@settings(many, max_examples=max(1, CASES // 2))
@given(*run)
def test_a_log_with_timers_folds_into_the_live_rows(
    raw: Sequence[tuple[AlarmTouch, int]], partitions: int, most: int, seed: int
) -> None:
    """A fold fires nothing: the log has each timer in its place. And each record of an inbox is accounted for."""
    there = imported(published(raw), partitions, seed, most, trickling=True)
    for (name, partition), live in there.images.items():
        engine = there.engines[name]
        folded = fold(engine, engine.image(partition), there.log_records((name, partition)))
        assert folded.rows == live.rows
        assert (folded.sequence, folded.recorded) == (live.sequence, live.recorded)
        counted = live.counters
        assert counted.accepted + counted.rejected - counted.fired + counted.control == live.inbox_next
        assert counted.fired == sum(it.timer for it in there.logs[name, partition])


def check_parked(numbers: Sequence[int]) -> None:
    """Timers of several keys that raise are parked apart from one another, and from the record that set them off."""
    there = Partitions(timed.app(), 1, now=TODAY)
    engine, image = there.engines["alarm"], there.images["alarm", 0]
    topic = ParkedTopic(engine)
    for number in numbers:
        there.publish(AlarmTouch(name=f"k{number}", number=13, after=1), f"first-{number}", FIRST)
        there.publish(AlarmTouch(name=f"k{number}", number=1), f"second-{number}", FIRST + 2 * HOUR)
    there.publish(AlarmTouch(name="quiet", number=13, after=1), "quiet", FIRST)
    there.publish(AlarmTouch(name="quiet too", number=13, after=1), "quiet-too", FIRST)
    there.settle()
    for _, changes in there.changes:
        topic.write(engine.image(), changes)
    restored = topic.restored()
    assert restored.parked == image.parked
    queues = {key: [str(it.position) for it in queue] for key, queue in restored.parked.items()}
    assert sum(map(len, queues.values())) == 2 * len(numbers) + 2 == len({it for queue in queues.values() for it in queue})


def test_a_timer_that_raises_is_parked_in_a_place_of_its_own() -> None:
    """Or a restart would lose the event that set it off: the parked topic is keyed by places (rule 12)."""
    check_parked(range(5))


def test_the_clock_of_a_parked_key_stands_still_and_a_retry_goes_on_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was parked is handled again with the timers that are due before it, as if nothing had been parked."""
    key = "k"

    def touched(bug: bool) -> Partitions:
        there = Partitions(timed.app(), 1, now=TODAY)
        there.publish(AlarmTouch(name=key, number=2, after=1), "e0", FIRST)
        there.publish(AlarmTouch(name=key, number=99 if bug else 4, after=3), "e1", FIRST + HOUR / 2)
        there.publish(AlarmTouch(name=key, number=5), "e2", FIRST + 5 * HOUR)
        there.settle()
        return there

    there = touched(bug=True)
    image = there.images["alarm", 0]
    assert [str(it.position) for it in image.parked[key]] == ["1", "2"]
    assert len(image.due) == 1, "the timer of a parked key has fired"
    decode = there.codec.decode

    def mended(value: bytes) -> object:
        data = decode(value)
        return AlarmTouch(name=key, number=4, after=3) if isinstance(data, AlarmTouch) and data.number == 99 else data

    monkeypatch.setattr(there.codec, "decode", mended)
    there.say("alarm", OperatorCommand("retry", key, 1, "ada"))
    there.settle()
    assert there.rows("alarm") == touched(bug=False).rows("alarm")
    assert image.parked == {}


def test_a_timer_that_raises_again_stays_first_and_goes_on_once_its_handler_is_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is retried, or rejected, by its place; what is behind it follows."""
    there = Partitions(timed.app(), 1, now=TODAY)
    there.publish(AlarmTouch(name="k", number=13, after=1), "e0", FIRST)
    there.publish(AlarmTouch(name="k", number=5), "e1", FIRST + 2 * HOUR)
    there.settle()
    image = there.images["alarm", 0]
    assert [str(it.position) for it in image.parked["k"]] == ["1-1", "1"]
    there.say("alarm", OperatorCommand("retry", "k", 1, "ada"))
    there.settle()
    assert len(there.by_key("alarm")["k"]) == 1, "a command about another place was obeyed"
    there.say("alarm", OperatorCommand("retry", "k", 1, "ada", timer=1))
    there.settle()
    assert [str(it.position) for it in image.parked["k"]] == ["1-1", "1"]
    there.say("alarm", OperatorCommand("reject", "k", 1, "ada", "a bug", timer=1))
    there.settle()
    assert image.parked == {}
    assert [it.outcome for it in there.logs["alarm", 0]] == ["accepted", "rejected", "accepted"]
    assert [(it.timer, it.by) for it in there.logs["alarm", 0]] == [(False, None), (True, "operator"), (False, None)]


def test_a_timer_without_a_handler_is_parked_with_its_key_until_there_is_one() -> None:
    """As after a rollback: there is no inbox record at which the partition could be blocked, and nothing may be lost."""
    there = Partitions(timed.app(), 1, now=TODAY)
    handlers, image = there.engines["alarm"].handlers.by_event, there.images["alarm", 0]
    gone = handlers.pop(AlarmRing)
    there.publish(AlarmTouch(name="k", number=2, after=1), "e0", FIRST)
    there.publish(AlarmTouch(name="k", number=5), "e1", FIRST + 2 * HOUR)
    there.settle()
    retry = OperatorCommand("retry", "k", 1, "ada", timer=1)
    there.say("alarm", retry)
    there.settle()
    [timer, behind] = image.parked["k"]
    assert (str(timer.position), str(behind.position)) == ("1-1", "1")
    assert timer.header.reason == "alarm.ring has no handler in the application timed"
    handlers[AlarmRing] = gone
    there.say("alarm", retry)
    there.settle()
    assert image.parked == {}
    assert [it.event.id for it in there.logs["alarm", 0] if it.event is not None and not it.timer] == ["e0", "e1"]
    assert [it.timer for it in there.logs["alarm", 0]] == [False, True, False, True, True]


def test_a_timer_that_somebody_published_before_its_time_fires_no_second_time() -> None:
    """Whoever may publish there can write its id, source and body: it was handled, and its timer is settled."""
    there = Partitions(timed.app(), 1, now=TODAY)
    there.clock("import", FIRST)
    there.publish(AlarmTouch(name="k", number=3, after=1), "e0", FIRST)
    while there.step():
        pass
    [timer] = there.images["alarm", 0].due.values()
    there._put(*timer.emitted)
    there.clock("import", None)
    there.settle()
    assert [it.timer for it in there.logs["alarm", 0]] == [False, False]
    assert there.images["alarm", 0].due == {}


def test_a_partition_keeps_the_clocks_of_so_many_imports() -> None:
    """They are written with every transaction: one more is quarantined, and the others go on."""
    there = Partitions(timed.app(), 1, now=TODAY)
    for number in range(IMPORTS + 1):
        there.clock(f"import {number}", FIRST + number * HOUR)
    there.clock("import 0", FIRST + HOUR)
    there.settle()
    image = there.images["alarm", 0]
    assert (len(image.imports), image.quarantined) == (IMPORTS, 1)
    assert image.limit(to_micros(TODAY)).overdue == to_micros(FIRST + HOUR) - 1
    for name in list(image.imports):
        there.clock(name, None)
    there.settle()
    assert image.imports == {}


def test_more_timers_than_a_transaction_takes_fire_in_several() -> None:
    """Before the event that they come before: it waits for the next transaction."""
    there = Partitions(timed.app(), 1, now=TODAY, most=5_000)
    there.clock("import", FIRST)
    for number in range(1_500):
        there.publish(AlarmTouch(name="k", number=0, after=1), f"e{number}", FIRST)
    there.publish(AlarmTouch(name="k", number=0), "last", FIRST + 2 * HOUR)
    there.settle()
    fired = [sum(it.timer for it in changes.log) for place, changes in there.changes if place[0] == "alarm"]
    assert (sum(fired), max(fired)) == (1_500, 1_000)
    assert there.logs["alarm", 0][-1].event is not None
    assert there.logs["alarm", 0][-1].event.id == "last"


def partition_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock of the partition, as Flink's and Kafka Streams' are: an event fires the timers of every key there."""
    before = Timers.before

    def of_all(self: Timers, arrival: Arrival, offset: int | None = None) -> object:
        until = to_micros(arrival.event.time) - 1
        for owner in sorted({timer.owner for timer in self._overlay.image.due.values()} | set(self._overlay.scheduled)):
            self._fire(owner, FiringLimit(until, until), arrival.record[0])
        return before(self, arrival, offset)

    monkeypatch.setattr(Timers, "before", of_all)


def no_clock_of_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall clock fires all that is due where the worker is faster than the publisher."""
    for module in (engine_image, overlay):
        monkeypatch.setattr(module, "limit_of", lambda _, now: FiringLimit(now, now))


def nothing_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall clock alone fires."""
    monkeypatch.setattr(Timers, "before", lambda *_: None)


def one_place_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A parked timer takes the offset of the event that set it off."""
    monkeypatch.setattr(Overlay, "timer_position", lambda _, offset: QueuePosition(offset))


def found_by(check: Callable[..., None]) -> Callable[[], None]:
    searched = settings(
        max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate], derandomize=True,
        database=None,
    )  # fmt: skip
    return searched(given(*run)(check))


@pytest.mark.parametrize(
    ("mutant", "check"),
    [
        (partition_clock, found_by(check_import)),
        (partition_clock, found_by(check_live)),
        (no_clock_of_imports, found_by(check_import)),
        (nothing_in_place, found_by(check_live)),
        (one_place_for_all, lambda: check_parked(range(5))),
    ],
)
def test_other_clocks_are_found_out(
    mutant: Callable[[pytest.MonkeyPatch], None], check: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tests above fail with each of the ways that seem to do."""
    mutant(monkeypatch)
    with pytest.raises((AssertionError, ExceptionGroup)):
        check()
