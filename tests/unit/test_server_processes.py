"""What several HTTP processes of one server share: what the follower tells, Idempotency-Keys and metrics."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from streams.codec import codec_of
from streams.errors import BrokerError
from streams.receipt import Receipt
from streams.server.http.idempotency import OtherRequest
from streams.server.processes.key_register import KeyRegister
from streams.server.processes.link_messages import OTHER, YOURS, DeliveredEvent, Reported
from streams.server.processes.process_link import LONG, ProcessLink
from streams.server.processes.reported_state import ReportedState
from streams.server.processes.server_owner import WAITING, ServerOwner, _Link
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
        """On a busy machine a test may take longer than an owner without a follower may be silent."""


class Linked:
    """A process as it is linked, in a thread. `deliver` ends all publishing that waits."""

    def __init__(self, owner: ServerOwner, claimed_in: float = 12.0, scraped_in: float = 5.0) -> None:
        self.heard, self.published, self.ended = Heard(), list[str](), list[str]()
        self.link = ProcessLink(owner.new_process().detach(), self.heard, self.ended.append, claimed_in, scraped_in)
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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        self.stopped.set()
        self.link.end()
        self.thread.join()
        self.link.close()


@pytest.fixture
def owner() -> Iterator[ServerOwner]:
    found = ServerOwner()
    yield found
    found.end()


def test_two_processes_publish_a_key_once(owner: ServerOwner) -> None:
    """The second is answered with the first one's event once Kafka has it; another request is refused."""
    with Linked(owner) as one, Linked(owner) as two:
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
    with Linked(owner) as one, Linked(owner, claimed_in=0.2) as two:
        one.publish()
        with pytest.raises(BrokerError, match="another request with this Idempotency-Key"):
            two.publish()
        one.deliver("no such topic")
        one.publish()
        assert one.published == ["id", "id"]


def test_a_process_that_stops_hears_what_became_of_a_key_before_it_ends(owner: ServerOwner) -> None:
    """An open request is answered: each deployment would cut off those with a key otherwise."""
    with Linked(owner) as one, Linked(owner) as two:
        two.stopped.set()
        time.sleep(0.1)  # it has heard that
        assert two.publish().id == "id"
        two.deliver()
        assert one.publish().inbox_offset == "probe-1@1"
        assert two.ended == []


def test_who_waits_for_a_key_hears_at_once_that_its_process_cannot_know(owner: ServerOwner) -> None:
    """So what is left of a server whose owner was killed ends soon; nothing is published that might be a second one."""
    owner._keys.claim("id", b"1", object(), lambda _: None)  # of one that stands still
    one = Linked(owner, claimed_in=600.0, scraped_in=600.0)
    found = list[BaseException]()

    def ask() -> None:
        try:
            one.publish()
        except BrokerError as error:
            found.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(0.1)
    owner.end()
    asking.join(60)
    assert [str(it) for it in found] == [
        "this process ends, and cannot ask who else uses this Idempotency-Key: repeat the request"
    ]
    with pytest.raises(BrokerError, match="this process ends"):
        one.publish()
    with pytest.raises(BrokerError, match="does not answer"):
        one.link.all_figures()
    assert one.published == []
    one.kill()


def test_some_wait_long_for_a_key_and_others_hear_that_at_once(owner: ServerOwner) -> None:
    """Each holds a thread: one process that stands still while it publishes would hold up all that publish with keys."""
    with Linked(owner) as one, Linked(owner, claimed_in=600.0) as two:
        one.publish()
        found = list[Receipt]()
        waiting = [threading.Thread(target=lambda: found.append(two.publish())) for _ in range(LONG)]
        for thread in waiting:
            thread.start()
        until(lambda: two.link._places._value == 0, "they do not wait")
        with pytest.raises(BrokerError, match=f"is being published, and {LONG} requests wait for such already"):
            two.publish()
        one.deliver()
        for thread in waiting:
            thread.join()
        assert {it.inbox_offset for it in found} == {"probe-1@1"}


def test_metrics_of_one_process_are_not_told_for_those_of_all(owner: ServerOwner) -> None:
    """A counter that falls looks as if it had begun anew."""
    one = Linked(owner, scraped_in=0.2)
    with owner._turn, pytest.raises(BrokerError, match="does not answer: ask again"):
        one.link.all_figures()
    assert one.link.all_figures() == []
    one.kill()


def test_reports_reach_every_process_and_one_that_stood_still_is_told_all_at_once(owner: ServerOwner) -> None:
    """Memory for one that takes nothing is bounded, and what it knows at the end is what the others know."""
    with Linked(owner) as one, Linked(owner) as two:
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
        [*_, whole] = (it for it in two.heard.reports if it.before is not None)
        since = two.heard.reports[two.heard.reports.index(whole) + 1 :]
        [*_, last] = (it for it in (whole, *since) if it.waits is not UNSET)
        assert last.waits == f"{'x' * 100} {count - 1}"
        assert sum(whole.before.counts) + sum(it.commit is not None for it in since) == count


def test_a_follower_that_ends_makes_nobody_open_the_file_again(owner: ServerOwner) -> None:
    """Else each process would answer nothing for a moment, and one whose file is gone would end."""
    with Linked(owner) as one:
        owner.take(FollowerReport(file="rows.db", partitions={"probe": 2}, waits=None, behind=None, faults={"broker": "away"}))
        owner.fault("follower", "it is gone")
        until(lambda: [it.behind for it in one.heard.reports[-1:]] == ["it is gone"], "it is not told")
        told = one.heard.reports[-1]
        assert (told.file, told.waits, told.faults) == (UNSET, UNSET, {"broker": "away", "follower": "it is gone"})


def test_who_reads_slowly_never_stops_the_owner(owner: ServerOwner) -> None:
    """What it did not take is forgotten while it takes some of it: one of the two has the last message."""
    ours, theirs = socket.socketpair()
    link = _Link(ours)
    reading = threading.Thread(target=_read_all, args=(theirs,))
    for thread in (reading, writing := threading.Thread(target=link._write, daemon=True)):
        thread.start()

    def forget() -> None:
        for _ in range(20_000):
            link.send(Reported(FollowerReport()))
            link.forget()

    forgetting = threading.Thread(target=forget, daemon=True)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # so that the other thread comes in between at any place
    forgetting.start()
    forgetting.join(60)
    sys.setswitchinterval(interval)
    assert not forgetting.is_alive()
    link.close()
    writing.join()
    reading.join()
    theirs.close()


def _read_all(of: socket.socket) -> None:
    while of.recv(1 << 16):
        pass


def test_a_scrape_waits_for_no_process_that_stands_still(owner: ServerOwner) -> None:
    """What it has counted is taken as it told it last, as of one that has ended; it does not count as a process that answers."""
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
        assert (lines(one.link.all_figures())[asked], lines(one.link.all_figures())[there]) == (6, 3)
        three.heard.taking.set()


def test_a_process_ends_with_its_owner(owner: ServerOwner) -> None:
    """It says why; when it was told to stop itself, it says nothing."""
    one, two = Linked(owner), Linked(owner)
    two.kill()
    owner.end()
    one.thread.join()
    assert (one.ended, two.ended) == (["the process that owns this one has ended"], [])
    one.kill()


def test_a_link_that_is_closed_is_read_to_its_end() -> None:
    """However fast the thread that writes is: a socket that it closes while another one reads ends for nobody."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # so that the thread that writes comes in between at any place
    try:
        for _ in range(500):
            ours, theirs = socket.socketpair()
            link = _Link(ours)
            link.start(lambda link=link: [*link.messages()])  # type: ignore[misc]  # mypy cannot infer a lambda with defaults
            link.send(Reported(FollowerReport()))
            theirs.settimeout(60)
            assert theirs.recv(1 << 16)  # so both threads wait
            link.close()
            assert theirs.recv(1) == b""
            theirs.close()
    finally:
        sys.setswitchinterval(interval)
