"""Calling gateways: bounded, in order for a key, patient with one that fails, and ended without cutting one off."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar, copy_context
from datetime import UTC, datetime
from typing import Any

import pytest

from streams import Event, Gateway
from streams.codec import codec_of
from streams.data import EventData
from streams.engine.changes import PendingCall
from streams.engine.engine import Engine
from streams.worker.call_queues import Assignment
from streams.worker.caller import Caller, CallResult, RetryPolicy
from tests.applications import shop
from tests.applications.shop.events import PaymentCharge, PaymentCharged, PaymentRefund

ENGINE = Engine(shop.app(), "payment", codec_of(shop.app()))
OURS = Assignment(0, 0)
THEN = datetime(2026, 1, 1, tzinfo=UTC)
Act = Callable[[Event[PaymentCharge]], Awaitable[EventData]]
Test = Callable[[Caller, list[CallResult]], Awaitable[None]]


def call(key: str, number: int = 0) -> PendingCall:
    event: Event[Any] = Event(PaymentCharge(order=key, amount=number), f"{key}-{number}", THEN, None, "c")
    return PendingCall(event, 1, number, b"", [], 0)


def calling(act: Act, test: Test, **policy: Any) -> list[CallResult]:
    """Run `test` beside a caller whose gateway does `act`; gives the results that it reported."""
    results: list[CallResult] = []

    async def both() -> None:
        gateways = {PaymentCharge: Gateway(PaymentCharge, act, answers=[PaymentCharged])}
        given = RetryPolicy(**{"first_wait": 0.001, "timeout": 1.0} | policy)
        loop, ended = asyncio.get_running_loop(), threading.Event()
        await test(Caller(gateways, ENGINE.answer_value, given, loop, results.append, ended), results)

    asyncio.run(asyncio.wait_for(both(), 90))
    return results


async def charged(event: Event[PaymentCharge]) -> EventData:
    return PaymentCharged(order=event.key, receipt=event.id)


async def told(results: list[CallResult], count: int) -> None:
    while len(results) < count:
        await asyncio.sleep(0.001)


def came_of(act: Act, *, times: int) -> CallResult:
    """What one call comes to."""

    async def test(caller: Caller, results: list[CallResult]) -> None:
        caller.submit(OURS, [call("a")])
        await told(results, 1)

    [result] = calling(act, test, tries=times)
    return result


def test_one_key_after_the_other_and_keys_at_the_same_time() -> None:
    """No more tries than the policy says, and all that it allows."""
    now, most, order = 0, 0, list[str]()

    async def counts(event: Event[PaymentCharge]) -> EventData:
        nonlocal now, most
        now, most = now + 1, max(most, now + 1)
        order.append(event.id)
        await asyncio.sleep(0.005)
        now -= 1
        return await charged(event)

    async def test(caller: Caller, results: list[CallResult]) -> None:
        caller.submit(OURS, [call(key, number) for number in range(3) for key in "abcdef"])
        await told(results, 18)

    calling(counts, test, concurrency=4)
    assert most == 4
    assert [it for it in order if it.startswith("a")] == ["a-0", "a-1", "a-2"]


def test_a_key_that_waits_for_a_retry_leaves_its_slot_to_others() -> None:
    """Else one dead address would hold up everybody."""
    gone = asyncio.Event()

    async def fails_for_a(event: Event[PaymentCharge]) -> EventData:
        if event.key == "a" and not gone.is_set():
            raise ConnectionError("nobody there")
        gone.set()
        return await charged(event)

    async def test(caller: Caller, results: list[CallResult]) -> None:
        caller.submit(OURS, [call("a"), call("b")])
        await told(results, 2)

    results = calling(fails_for_a, test, concurrency=1, tries=1_000, first_wait=0.05)
    assert [result.call.event.key for result in results] == ["b", "a"]


def test_a_gateway_that_fails_as_often_as_it_may_is_given_up() -> None:
    """With how often, and the last reason and traceback."""
    tries = 0

    async def fails(event: Event[PaymentCharge]) -> EventData:
        nonlocal tries
        tries += 1
        raise ConnectionError(f"no {tries}")

    result = came_of(fails, times=3)
    assert (tries, result.answer) == (3, None)
    assert result.reason == "the gateway failed 3 times, at last: ConnectionError: no 3"
    assert "in fails" in result.detail


def test_an_end_waits_for_what_is_in_flight_and_begins_no_more() -> None:
    """What was asked is heard; what was not is the next owner's."""
    begun = list[str]()
    go_on = asyncio.Event()

    async def slow(event: Event[PaymentCharge]) -> EventData:
        begun.append(event.id)
        await go_on.wait()
        return await charged(event)

    async def test(caller: Caller, results: list[CallResult]) -> None:
        caller.submit(OURS, [call("a"), call("a", 1), call("b")])
        while not begun:
            await asyncio.sleep(0.001)
        ending = asyncio.create_task(asyncio.to_thread(caller.finish, 60.0))
        await asyncio.sleep(0.05)
        assert not ending.done()
        go_on.set()
        await ending
        assert [result.call.event.id for result in results] == ["a-0"]

    calling(slow, test, concurrency=1)
    assert begun == ["a-0"]


def test_an_end_with_nothing_in_flight_takes_no_time() -> None:
    """Also while a key waits to be tried again."""
    tried = threading.Event()

    async def fails(event: Event[PaymentCharge]) -> EventData:
        tried.set()
        raise ConnectionError("no")

    async def test(caller: Caller, results: list[CallResult]) -> None:
        caller.submit(OURS, [call("a")])
        while not tried.is_set():
            await asyncio.sleep(0.001)
        await asyncio.wait_for(asyncio.to_thread(caller.finish, 90.0), 30)
        assert results == []

    calling(fails, test, first_wait=80.0)


def test_many_keys_wait_without_a_task_each() -> None:
    """After an outage hundreds of thousands do."""

    async def test(caller: Caller, results: list[CallResult]) -> None:
        caller.submit(OURS, [call(str(number)) for number in range(1_000)])
        most = 0
        while len(results) < 1_000:
            most = max(most, len(asyncio.all_tasks()))
            await asyncio.sleep(0)
        assert most <= 4 + 2  # those in flight, this one, and the one around it

    calling(charged, test, concurrency=4)


def called_from(act: Act, keys: int, *, concurrency: int = 1) -> list[object]:
    """By which task each key's call was made; kept, so that no two of them have one place in memory."""
    tasks = list[object]()

    async def noted(event: Event[PaymentCharge]) -> EventData:
        tasks.append(asyncio.current_task())
        return await act(event)

    async def test(caller: Caller, results: list[CallResult]) -> None:
        caller.submit(OURS, [call(str(number)) for number in range(keys)])
        await told(results, keys)
        assert sorted(int(result.call.event.key) for result in results) == list(range(keys))

    calling(noted, test, concurrency=concurrency, tries=1)
    assert len(tasks) == keys
    return tasks


async def waits(event: Event[PaymentCharge]) -> EventData:
    await asyncio.sleep(0)
    return await charged(event)


async def is_cancelled_later(event: Event[PaymentCharge]) -> EventData:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    return await charged(event)


def test_calls_that_do_not_wait_share_a_task() -> None:
    """To make one takes longer than such a call."""
    assert len(set(called_from(charged, 1_000))) < 1_000


def test_a_task_whose_calls_do_not_wait_lets_others_run() -> None:
    """A partition that moves is heard of while there is always one more to call, and what was not begun is not called."""
    begun, count = list[str](), 5_000

    async def slow(event: Event[PaymentCharge]) -> EventData:
        begun.append(event.id)
        time.sleep(0.0001)
        return await charged(event)

    async def test(caller: Caller, results: list[CallResult]) -> None:
        caller.submit(OURS, [call(str(number)) for number in range(count)])
        while not begun:
            await asyncio.sleep(0)
        caller.forget(OURS)
        caller.submit(Assignment(1, 0), [call("last")])
        while results[-1].call.event.key != "last":
            await asyncio.sleep(0.001)

    calling(slow, test, concurrency=1)
    assert len(begun) < count // 2


def test_a_call_that_waits_behind_others_of_its_task_is_cancelled_with_its_partition() -> None:
    """It is known by then which task has come to it."""
    waiting, cancelled = asyncio.Event(), asyncio.Event()

    async def hangs_for_b(event: Event[PaymentCharge]) -> EventData:
        if event.key == "b":
            waiting.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()
        return await charged(event)

    async def test(caller: Caller, results: list[CallResult]) -> None:
        caller.submit(OURS, [call("a"), call("b")])
        await waiting.wait()
        caller.forget(OURS)
        await asyncio.wait_for(cancelled.wait(), 30)

    calling(hangs_for_b, test, concurrency=1, timeout=60.0)


@pytest.mark.parametrize("act", [waits, is_cancelled_later])
def test_a_call_that_waits_or_is_cancelled_is_the_last_of_its_task(act: Act) -> None:
    """What libraries keep for a task is no other call's, nor is its being cancelled."""
    assert len(set(called_from(act, 20))) == 20


class Odd:
    """As where `==` gives an array."""

    def __eq__(self, other: object) -> bool:
        raise ValueError("no truth value")

    __hash__ = object.__hash__


@pytest.mark.parametrize("value", [object, Odd])
def test_what_a_gateway_leaves_in_its_context_is_no_other_calls(value: type, caplog: pytest.LogCaptureFixture) -> None:
    """Such as what is bound to each line of its log; also if it cannot be compared."""
    seen, left = list[object](), ContextVar[object]("left")

    async def leaves(event: Event[PaymentCharge]) -> EventData:
        seen.append(left.get())
        left.set(value())
        return await charged(event)

    def begin() -> object:
        left.set(first := value())
        called_from(leaves, 5)
        return first

    first = copy_context().run(begin)
    assert [it is first for it in seen] == [True] * 5
    gc.collect()  # a task that raised says so when it is gone
    assert not caplog.messages


def test_an_answer_comes_with_its_bytes() -> None:
    """They were made to check it, and are not made again."""
    result = came_of(charged, times=1)
    assert result.answer is not None
    assert result.value == ENGINE.codec.encode(result.answer)


def test_a_gateway_that_first_takes_all_of_its_time_does_not_wait_then() -> None:
    """Its limit counts from its call."""

    async def slow(event: Event[PaymentCharge]) -> EventData:
        loop = asyncio.get_running_loop()
        time.sleep(0.2)
        soon = asyncio.Event()
        loop.call_later(0.1, soon.set)
        await soon.wait()
        return await charged(event)

    async def test(caller: Caller, results: list[CallResult]) -> None:
        caller.submit(OURS, [call("a")])
        await told(results, 1)

    [result] = calling(slow, test, tries=1, timeout=0.2)
    assert result.reason == "the gateway failed 1 times, at last: no answer in 0.2 s"


def test_nothing_of_a_key_is_called_after_what_was_given_up() -> None:
    """Neither what waited behind it nor what comes later, until it is dealt with; other keys are called."""
    begun = list[str]()

    async def fails_at_first(event: Event[PaymentCharge]) -> EventData:
        begun.append(event.id)
        if event.id == "a-0":
            raise ConnectionError("closed")
        return await charged(event)

    async def test(caller: Caller, results: list[CallResult]) -> None:
        caller.submit(OURS, [call("a", 0), call("a", 1)])
        await told(results, 1)
        caller.submit(OURS, [call("a", 2), call("b")])
        await told(results, 2)
        assert begun == ["a-0", "b-0"]
        caller.resume(OURS, "a", {call("a", 2).event.reference})
        await told(results, 3)

    calling(fails_at_first, test, tries=1)
    assert begun == ["a-0", "b-0", "a-2"]


def test_a_gateway_that_waits_for_what_was_cancelled_has_failed() -> None:
    """Gateways share things, such as the refresh of a token: one that is cut off is no end of another key's calls."""

    async def shares(event: Event[PaymentCharge]) -> EventData:
        refresh = asyncio.create_task(asyncio.sleep(60))
        refresh.cancel()
        await refresh
        return await charged(event)

    result = came_of(shares, times=2)
    assert result.reason == "the gateway failed 2 times, at last: asyncio.exceptions.CancelledError"


async def exits(event: Event[PaymentCharge]) -> EventData:
    raise SystemExit(1)


async def is_late(event: Event[PaymentCharge]) -> EventData:
    raise TimeoutError("the card company's own")


class Panic(BaseException):
    """As libraries in other languages raise them."""


async def panics(event: Event[PaymentCharge]) -> EventData:
    raise Panic("a library in another language")


async def ends_itself(event: Event[PaymentCharge]) -> EventData:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(1)
    return await charged(event)


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("nothing can be said of it")


async def cannot_say(event: Event[PaymentCharge]) -> EventData:
    raise Mute


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (exits, "SystemExit: 1"),
        (is_late, "TimeoutError: the card company's own"),
        (cannot_say, "Mute: <exception str() failed>"),
        (panics, "Panic: a library in another language"),
        (ends_itself, "CancelledError"),
    ],
)
def test_whatever_a_gateway_raises_is_a_failure(act: Act, words: str) -> None:
    """Its key can be tried again, and nothing else ends."""
    result = came_of(act, times=1)
    assert result.reason.endswith(words)


async def says_nothing(event: Event[PaymentCharge]) -> EventData:
    return None  # type: ignore[return-value]  # what is being tested


async def means_another(event: Event[PaymentCharge]) -> EventData:
    return PaymentCharged(order="another", receipt="r")


async def has_no_key(event: Event[PaymentCharge]) -> EventData:
    return PaymentCharged(order=7, receipt="r")  # type: ignore[arg-type]  # what is being tested


async def answers_something_else(event: Event[PaymentCharge]) -> EventData:
    return PaymentRefund(order=event.key, receipt="r")


async def cannot_be_written(event: Event[PaymentCharge]) -> EventData:
    return PaymentCharged(order=event.key, receipt=10**5000)  # type: ignore[arg-type]  # what is being tested


def is_not_async(event: Event[PaymentCharge]) -> EventData:
    return PaymentCharged(order=event.key, receipt="r")


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (says_nothing, "the gateway of payment.charge answered NoneType; it declares: payment.charged, payment.declined"),
        (means_another, "was asked about 'a' and answered about 'another'"),
        (has_no_key, "payment.charged.order is 7"),
        (answers_something_else, "answered PaymentRefund; it declares: payment.charged, payment.declined"),
        (cannot_be_written, "ValueError: Exceeds the limit"),
        (is_not_async, "the gateway of payment.charge is no async function: it gave PaymentCharged"),
    ],
)
def test_an_answer_that_may_not_be_given_is_given_up_at_once(act: Act, words: str) -> None:
    """The outside world was asked: asking again would only act again."""
    result = came_of(act, times=10)
    assert result.answer is None
    assert words in result.reason
    assert "failed" not in result.reason


def test_a_request_without_a_gateway_is_given_up() -> None:
    """Its event has a handler by now, or none: an operator decides."""

    async def test(caller: Caller, results: list[CallResult]) -> None:
        event: Event[Any] = Event(PaymentRefund(order="a", receipt="r"), "a-0", THEN, None, "c")
        caller.submit(OURS, [PendingCall(event, 1, 0, b"", [], 0)])
        await told(results, 1)

    [result] = calling(charged, test)
    assert result.reason == "payment.refund has no gateway in this application any more"


def test_a_partition_that_moves_takes_its_calls_along() -> None:
    """Those in flight are cancelled, those that wait are not made; the other partition's are."""
    begun = list[str]()

    async def hangs_for_a(event: Event[PaymentCharge]) -> EventData:
        begun.append(event.id)
        if event.key == "a":
            await asyncio.Event().wait()
        if event.key == "c":
            raise ConnectionError("closed")
        return await charged(event)

    async def test(caller: Caller, results: list[CallResult]) -> None:
        caller.submit(OURS, [call("c"), call("a"), call("a", 1)])
        while "a-0" not in begun:
            await asyncio.sleep(0.001)
        caller.forget(OURS)
        caller.submit(Assignment(1, 0), [call("b")])
        await told(results, 1)
        await asyncio.wait_for(asyncio.to_thread(caller.finish, 90.0), 30)
        assert [result.call.event.id for result in results] == ["b-0"]

    calling(hangs_for_a, test, concurrency=1, first_wait=0.01)
    assert begun == ["c-0", "a-0", "b-0"]


def test_a_call_that_was_forgotten_before_it_began_takes_up_no_slot() -> None:
    """A partition may move in the moment in which its calls are begun; those of another have the slot."""

    async def test(caller: Caller, results: list[CallResult]) -> None:
        caller.submit(OURS, [call("a"), call("b")])
        caller.forget(OURS)  # in the same turn of the event loop
        caller.submit(Assignment(1, 0), [call("c"), call("d")])
        await told(results, 2)
        await asyncio.wait_for(asyncio.to_thread(caller.finish, 90.0), 30)

    results = calling(charged, test, concurrency=1)
    assert [result.call.event.key for result in results] == ["c", "d"]


def test_a_call_that_does_not_let_itself_be_cancelled_counts_for_nothing() -> None:
    """The partition has gone and come back meanwhile: what is asked again is answered, in order."""
    begun, go_on = list[str](), asyncio.Event()

    async def stubborn(event: Event[PaymentCharge]) -> EventData:
        begun.append(event.id)
        if len(begun) == 1:
            while not go_on.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await go_on.wait()
        return await charged(event)

    async def test(caller: Caller, results: list[CallResult]) -> None:
        caller.submit(OURS, [call("a")])
        while not begun:
            await asyncio.sleep(0.001)
        caller.forget(OURS)
        again = Assignment(0, 1)
        caller.submit(again, [call("a"), call("a", 1)])
        await told(results, 1)
        go_on.set()
        caller.submit(again, [call("a", 2)])
        await told(results, 3)
        assert {result.assignment for result in results} == {again}

    results = calling(stubborn, test)
    assert [result.call.event.id for result in results] == ["a-0", "a-1", "a-2"]
    assert begun == ["a-0", "a-0", "a-1", "a-2"]


def test_who_goes_on_without_having_given_up_changes_nothing() -> None:
    """A call in flight stays in flight, and is made once."""
    go_on = asyncio.Event()

    async def slow(event: Event[PaymentCharge]) -> EventData:
        await go_on.wait()
        return await charged(event)

    async def test(caller: Caller, results: list[CallResult]) -> None:
        caller.submit(OURS, [call("a"), call("a", 1)])
        caller.resume(OURS, "a", {call("a").event.reference})
        caller.resume(OURS, "nobody", ())
        await asyncio.sleep(0.01)
        go_on.set()
        await told(results, 2)

    results = calling(slow, test)
    assert [result.call.event.id for result in results] == ["a-0", "a-1"]


def two_at_once(go_on: asyncio.Event, begun: list[str], ended: list[str]) -> Act:
    """The first calls of all keys end in one turn of the event loop; the second ones take a while."""

    async def act(event: Event[PaymentCharge]) -> EventData:
        begun.append(event.id)
        if event.id.endswith("-0"):
            await go_on.wait()
        else:
            await asyncio.sleep(0.1)
        ended.append(event.id)
        return await charged(event)

    return act


@pytest.mark.parametrize("forgotten", [True, False])
def test_a_second_call_of_a_key_is_known_while_it_is_made(forgotten: bool) -> None:
    """Also if it begins before the first one's end was noted: a revoke cancels it, an end waits for it."""
    begun, ended = list[str](), list[str]()
    go_on = asyncio.Event()

    async def test(caller: Caller, results: list[CallResult]) -> None:
        caller.submit(OURS, [call("a"), call("b"), call("b", 1)])
        while len(begun) < 2:
            await asyncio.sleep(0.001)
        go_on.set()
        while len(begun) < 3:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        if forgotten:
            caller.forget(OURS)
        await asyncio.wait_for(asyncio.to_thread(caller.finish, 90.0), 30)

    results = calling(two_at_once(go_on, begun, ended), test)
    assert [result.call.event.id for result in results] == ["a-0", "b-0", *([] if forgotten else ["b-1"])]
    assert ("b-1" in ended) is not forgotten


def test_a_call_that_is_tried_again_is_named_until_it_is_answered() -> None:
    """For `retold status`: how many keys of a partition, and what the last one failed by."""
    answers = asyncio.Event()

    async def fails_first(event: Event[PaymentCharge]) -> EventData:
        if not answers.is_set():
            raise ConnectionError("nobody there")
        return await charged(event)

    async def test(caller: Caller, results: list[CallResult]) -> None:
        assert caller.trouble(0) == ""
        caller.submit(OURS, [call("a"), call("b")])
        while not caller.trouble(0).startswith("2 gateway calls fail and are tried again; at last payment.charge of "):
            await asyncio.sleep(0.001)
        assert " of 1000 tries: ConnectionError: nobody there" in caller.trouble(0)
        assert caller.trouble(1) == ""
        answers.set()
        await told(results, 2)
        assert caller.trouble(0) == ""

    calling(fails_first, test, tries=1_000, first_wait=0.01)
