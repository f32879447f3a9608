"""What several HTTP processes of one server share: what the follower tells, Idempotency-Keys and metrics."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from streams.codec import codec_of
from streams.errors import BrokerError
from streams.receipt import Receipt
from streams.server.http.idempotency import OtherRequest
from streams.server.processes.key_register import KeyRegister
from streams.server.processes.link_messages import OTHER, YOURS, DeliveredEvent
from streams.server.processes.process_link import ProcessLink
from streams.server.processes.reported_state import ReportedState
from streams.server.processes.server_owner import WAITING, ServerOwner
from streams.server.processes.summed_figures import Family, FamilyCollector, counted, families_of, summed
from streams.server.readmodel.follower_report import FollowerReport
from streams.server.readmodel.model import ReadModel
from tests.applications import probe
from tests.support.workers import until

EVENT = DeliveredEvent("probe", "probe.do", "k", "id", 1, 7, 1_000)
NAMES = st.sampled_from(["a", "b"])
REPORTS = st.lists(
    st.builds(
        lambda faults, lags, **others: FollowerReport(faults=faults, lags=lags, **others),
        st.dictionaries(NAMES, NAMES, max_size=2),
        st.lists(st.tuples(st.just("log"), NAMES, st.integers(0, 1), st.integers(0, 9), st.none()), max_size=2),
        waits=st.one_of(st.none(), NAMES), behind=st.one_of(st.none(), NAMES), commit=st.one_of(st.none(), st.floats(0, 4)),
        store_errors=st.integers(0, 1), stuck=st.lists(st.tuples(NAMES, st.integers(0, 1), NAMES), max_size=1),
        rebuilding=st.dictionaries(NAMES, st.integers(0, 99), max_size=1), missing=st.lists(NAMES, max_size=1),
    ), max_size=8,
)  # fmt: skip


class Told:
    """What each who asked for a key was answered, in their order."""

    def __init__(self) -> None:
        self.answers = list[object]()

    def __call__(self, verdict: object) -> None:
        self.answers.append(verdict)


def test_one_process_publishes_and_the_others_hear_of_it() -> None:
    """Who comes with the same request while it is published, or later, is answered with that event; another request is not."""
    keys, told = KeyRegister(), Told()
    for digest in (b"1", b"1", b"2"):
        keys.claim("id", digest, object(), told)
    assert told.answers == [YOURS, OTHER]
    holder, told = object(), Told()
    keys.claim("other", b"1", holder, told)
    keys.claim("other", b"1", object(), told)
    keys.settle("other", object(), EVENT)  # of somebody who does not publish it
    assert told.answers == [YOURS]
    keys.settle("other", holder, EVENT)
    keys.settle("other", holder, None)
    keys.claim("other", b"1", object(), told)
    assert told.answers == [YOURS, EVENT, EVENT]


def test_a_key_whose_event_was_not_delivered_may_be_used_again() -> None:
    """The first who waits publishes then, and all who wait with another request hear that it is taken."""
    keys, told, holder, next_one = KeyRegister(), Told(), object(), object()
    keys.claim("id", b"1", holder, told)
    keys.claim("id", b"1", next_one, told)
    keys.claim("id", b"1", object(), told)
    keys.settle("id", holder, None)
    assert told.answers == [YOURS, YOURS]
    keys.settle("id", next_one, None)
    keys.settle("id", next_one, None)
    assert told.answers == [YOURS] * 3
    keys = KeyRegister()
    keys.claim("id", b"1", holder, told)
    keys.settle("id", holder, None)
    keys.claim("id", b"2", holder, told)
    assert told.answers == [YOURS] * 5


def test_the_key_of_a_process_that_was_killed_stays_that_of_its_request() -> None:
    """Nobody knows whether it was published: the same request may be, under the same id, and no other one."""
    keys, told, killed, other = KeyRegister(), Told(), object(), object()
    keys.claim("id", b"1", killed, told)
    keys.claim("id", b"1", killed, told)
    keys.claim("id", b"1", other, told)
    keys.leave(killed)
    assert told.answers == [YOURS, YOURS]
    keys.leave(other)
    keys.claim("id", b"2", object(), told)
    keys.claim("id", b"1", object(), told)
    assert told.answers == [YOURS, YOURS, OTHER, YOURS]


def test_the_oldest_keys_are_forgotten_but_none_that_is_being_published() -> None:
    """So memory is bounded, and no key is published twice at once."""
    keys, told, holder = KeyRegister(size=3), Told(), object()
    keys.claim("open", b"1", holder, told)
    for number in range(6):
        keys.claim(f"{number}", b"1", holder, told)
        keys.settle(f"{number}", holder, EVENT)
    told = Told()
    keys.claim("open", b"2", holder, told)
    keys.claim("5", b"2", holder, told)
    keys.claim("0", b"2", holder, told)
    assert told.answers == [OTHER, OTHER, YOURS]


def own(requests: int, seconds: float) -> list[Family]:
    registry = CollectorRegistry()
    Counter("asked", "Asked.", ("route",), registry=registry).labels("/").inc(requests)
    Histogram("took", "Took.", registry=registry, buckets=(1, 2)).observe(seconds)
    Gauge("open", "Open.", registry=registry).set(3)
    return families_of(registry)


def lines(families: Sequence[Family]) -> dict[str, float]:
    text = generate_latest(FamilyCollector(families)).decode()
    found = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in found if "_created" not in name}


def test_metrics_of_processes_are_summed_and_those_of_one_that_ended_stay() -> None:
    """Counters, classes of histograms, and gauges of who is there."""
    told = lines(summed([counted(own(5, 0.5)), own(2, 1.5), own(1, 0.5)]))
    assert told == {
        'asked_total{route="/"}': 8, 'took_bucket{le="1.0"}': 2, 'took_bucket{le="2.0"}': 3, 'took_bucket{le="+Inf"}': 3,
        "took_count": 3, "took_sum": 2.5, "open": 6,
    }  # fmt: skip
    assert lines(own(2, 0.5)) == lines(summed([own(2, 0.5)]))


@given(REPORTS)
def test_a_process_that_is_started_later_knows_what_the_others_do(reports: list[FollowerReport]) -> None:
    """Whatever the follower has told before, one report of all of it makes the same read model."""
    app, state = probe.app(), ReportedState()
    heard, late = ReadModel(app, codec_of(app)), ReadModel(app, codec_of(app))
    for report in reports:
        state.take(report)
        heard.take(report)
    late.take(state.whole())
    assert known(late) == known(heard)
    assert state.waits == heard.waits


def known(model: ReadModel) -> dict[str, Any]:
    names = ("waits", "behind", "faults", "stuck", "stopped", "rebuilding", "reshaped", "missing", "held", "lags")
    return {name: getattr(model, name) for name in names} | {"commits": model.commits.totals}


class Heard:
    """Who follows by a link."""

    def __init__(self) -> None:
        self.reports, self.taking = list[FollowerReport](), threading.Event()
        self.taking.set()

    def take(self, report: FollowerReport) -> None:
        self.taking.wait()
        self.reports.append(report)

    def fault(self, what: str, why: str) -> None:
        raise AssertionError(f"{what}: {why}")


class Linked:
    """A process as it is linked, in a thread. `deliver` ends all publishing that waits."""

    def __init__(self, owner: ServerOwner, claimed_in: float = 12.0) -> None:
        self.heard, self.published, self.ended = Heard(), list[str](), list[str]()
        self.link = ProcessLink(owner.new_process().detach(), self.heard, self.ended.append, claimed_in)
        self.stopped, self._waiting = threading.Event(), list[tuple[Receipt, Callable[[], object]]]()
        self.thread = threading.Thread(target=self.link.run, args=(self.stopped,))
        self.thread.start()

    def when_told(self, receipt: Receipt, call: Callable[[], object]) -> None:
        self._waiting.append((receipt, call))

    def deliver(self, error: str | None = None) -> None:
        for receipt, call in self._waiting:
            receipt.partition, receipt.offset, receipt.error = (None, None, error) if error else (1, len(self.published), None)
            call()
        self._waiting = []

    def publish(self, digest: bytes = b"1") -> Receipt:
        def sent() -> Receipt:
            self.published.append("id")
            return Receipt("probe", "probe.do", "k", "id")

        return self.link.first(self, "id", digest, sent)

    def kill(self) -> None:
        self.stopped.set()
        self.thread.join()
        self.link.close()


@pytest.fixture
def owner() -> Iterator[ServerOwner]:
    found = ServerOwner()
    yield found
    found.end()


def test_two_processes_publish_a_key_once(owner: ServerOwner) -> None:
    """The second is answered with the first one's event once Kafka has it; another request is refused."""
    one, two = Linked(owner), Linked(owner)
    with ExitStack() as stack:
        stack.callback(one.kill)
        stack.callback(two.kill)
        one.publish()
        found = list[Receipt]()
        second = threading.Thread(target=lambda: found.append(two.publish()))
        second.start()
        with pytest.raises(OtherRequest):
            two.publish(b"2")
        assert not found
        one.deliver()
        second.join()
        assert (found[0].inbox_offset, one.published, two.published) == ("probe-1@1", ["id"], [])


def test_a_process_that_is_killed_while_it_publishes_holds_up_no_other(owner: ServerOwner) -> None:
    """The same request is published by another one then, under the same id."""
    one, two = Linked(owner), Linked(owner)
    with ExitStack() as stack:
        stack.callback(two.kill)
        one.publish()
        found = list[Receipt]()
        second = threading.Thread(target=lambda: found.append(two.publish()))
        second.start()
        one.kill()
        second.join()
        assert two.published == ["id"]


def test_who_has_waited_too_long_for_a_key_says_so_and_does_not_keep_it(owner: ServerOwner) -> None:
    """The key that it is granted later, when it waits no more, is free for the next."""
    one, two = Linked(owner), Linked(owner, claimed_in=0.2)
    with ExitStack() as stack:
        stack.callback(one.kill)
        stack.callback(two.kill)
        one.publish()
        with pytest.raises(BrokerError, match="another request with this Idempotency-Key"):
            two.publish()
        one.deliver("no such topic")
        one.publish()
        assert one.published == ["id", "id"]


def test_reports_reach_every_process_and_one_that_stood_still_is_told_all_at_once(owner: ServerOwner) -> None:
    """Memory for one that takes nothing is bounded, and what it knows at the end is what the others know."""
    one, two = Linked(owner), Linked(owner)
    with ExitStack() as stack:
        stack.callback(one.kill)
        stack.callback(two.kill)
        until(lambda: len(two.heard.reports) == 1, "it is told nothing at first")
        two.heard.taking.clear()
        count = WAITING * 2
        for number in range(count):
            owner.take(FollowerReport(waits=f"{'x' * 100} {number}", commit=0.1))
        owner.fault("follower", "it is gone")
        two.heard.taking.set()
        for each in (one, two):
            until(lambda each=each: each.heard.reports[-1].behind == "it is gone", "it is not told")  # type: ignore[misc]  # mypy cannot infer a lambda with defaults
        assert len(two.heard.reports) < count
        last = two.heard.reports[-1]
        assert last.waits == f"{'x' * 100} {count - 1}"
        assert last.before is not None
        assert sum(last.before.counts) == count


def test_a_scrape_waits_for_no_process_that_stands_still(owner: ServerOwner) -> None:
    """What it told last is taken, and so is what one told that has ended."""
    one, two, three = Linked(owner), Linked(owner), Linked(owner)
    with ExitStack() as stack:
        stack.callback(one.kill)
        stack.callback(three.kill)
        for number, each in enumerate((one, two, three), 1):
            each.link.own_figures = lambda number=number: own(number, 0.5)  # type: ignore[misc]  # mypy cannot infer a lambda with defaults
        asked, there = 'asked_total{route="/"}', "open"
        assert lines(one.link.all_figures())[asked] == 6
        two.kill()
        until(lambda: lines(one.link.all_figures())[there] == 6, "it counts as there")
        three.heard.taking.clear()
        owner.take(FollowerReport())
        assert (lines(one.link.all_figures())[asked], lines(one.link.all_figures())[there]) == (6, 6)
        three.heard.taking.set()


def test_a_process_ends_with_its_owner(owner: ServerOwner) -> None:
    """It says why; when it was told to stop itself, it says nothing."""
    one, two = Linked(owner), Linked(owner)
    two.kill()
    owner.end()
    one.thread.join()
    assert (one.ended, two.ended) == (["the process that owns this one has ended"], [])
    one.kill()
