"""Calling gateways: bounded, in order for a key, patient with one that fails, and ended without cutting one off."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from streams import Event, Gateway
from streams.data import EventData
from streams.engine.records import Call
from streams.worker.caller import Caller, Patience, Result
from tests.applications.shop.events import PaymentCharge, PaymentCharged

THEN = datetime(2026, 1, 1, tzinfo=UTC)
Act = Callable[[Event[PaymentCharge]], Awaitable[EventData]]
Test = Callable[[Caller, list[Result]], Awaitable[None]]


def call(key: str, number: int = 0) -> Call:
    event: Event[Any] = Event(PaymentCharge(order=key, amount=number), f"{key}-{number}", THEN, None, "c")
    return Call(event, 1, number, b"", [], 0)


def calling(act: Act, test: Test, **patience: Any) -> list[Result]:
    """Run `test` beside a caller whose gateway does `act`; gives the results that it told of."""
    results: list[Result] = []

    async def both() -> None:
        gateways = {PaymentCharge: Gateway(PaymentCharge, act, answers=[PaymentCharged])}
        given = Patience(**{"wait": 0.001, "seconds": 1.0} | patience)
        await test(Caller(gateways, given, asyncio.get_running_loop(), results.append), results)

    asyncio.run(asyncio.wait_for(both(), 20))
    return results


async def charged(event: Event[PaymentCharge]) -> EventData:
    return PaymentCharged(order=event.key, receipt=event.id)


async def told(results: list[Result], count: int) -> None:
    while len(results) < count:
        await asyncio.sleep(0.001)


def test_one_key_after_the_other_and_keys_at_the_same_time() -> None:
    """No more than the patience says, and all that it allows."""
    now, most, order = 0, 0, list[str]()

    async def counts(event: Event[PaymentCharge]) -> EventData:
        nonlocal now, most
        now, most = now + 1, max(most, now + 1)
        order.append(event.id)
        await asyncio.sleep(0.005)
        now -= 1
        return await charged(event)

    async def test(caller: Caller, results: list[Result]) -> None:
        caller.submit(0, [call(key, number) for number in range(3) for key in "abcdef"])
        await told(results, 18)

    calling(counts, test, at_once=4)
    assert most == 4
    assert [it for it in order if it.startswith("a")] == ["a-0", "a-1", "a-2"]


def test_a_key_that_waits_to_be_tried_again_leaves_its_place_to_others() -> None:
    """Else one dead address would hold up everybody."""
    gone = asyncio.Event()

    async def fails_for_a(event: Event[PaymentCharge]) -> EventData:
        if event.key == "a" and not gone.is_set():
            raise ConnectionError("nobody there")
        gone.set()
        return await charged(event)

    async def test(caller: Caller, results: list[Result]) -> None:
        caller.submit(0, [call("a"), call("b")])
        await told(results, 2)

    results = calling(fails_for_a, test, at_once=1, times=1_000, wait=0.05)
    assert [result.call.event.key for result in results] == ["b", "a"]


def test_a_gateway_that_fails_as_often_as_it_may_is_given_up() -> None:
    """With how often, and the last reason and traceback."""
    tries = 0

    async def fails(event: Event[PaymentCharge]) -> EventData:
        nonlocal tries
        tries += 1
        raise ConnectionError(f"no {tries}")

    async def test(caller: Caller, results: list[Result]) -> None:
        caller.submit(0, [call("a")])
        await told(results, 1)

    [result] = calling(fails, test, times=3)
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

    async def test(caller: Caller, results: list[Result]) -> None:
        caller.submit(0, [call("a"), call("a", 1), call("b")])
        while not begun:
            await asyncio.sleep(0.001)
        ending = asyncio.create_task(asyncio.to_thread(caller.finish, 10.0))
        await asyncio.sleep(0.05)
        assert not ending.done()
        go_on.set()
        await ending
        assert [result.call.event.id for result in results] == ["a-0"]

    calling(slow, test, at_once=1)
    assert begun == ["a-0"]


def test_an_end_with_nothing_in_flight_takes_no_time() -> None:
    """Also while a key waits to be tried again."""
    tried = threading.Event()

    async def fails(event: Event[PaymentCharge]) -> EventData:
        tried.set()
        raise ConnectionError("no")

    async def test(caller: Caller, results: list[Result]) -> None:
        caller.submit(0, [call("a")])
        while not tried.is_set():
            await asyncio.sleep(0.001)
        await asyncio.wait_for(asyncio.to_thread(caller.finish, 60.0), 5)
        assert results == []

    calling(fails, test, wait=30.0)
