"""The event loop of gateways: it serves every namespace of its process, so nothing that one gateway does may end it."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from streams import Event, Gateway
from streams.data import EventData
from streams.worker.call_queues import Assignment
from streams.worker.caller import Caller, CallResult, RetryPolicy
from streams.worker.gateway_loop import GatewayLoop
from tests.applications.shop.events import PaymentCharge, PaymentCharged
from tests.support.workers import until
from tests.unit.test_caller import ENGINE, call, charged

Act = Callable[[Event[PaymentCharge]], Awaitable[EventData]]
OURS, THEIRS = Assignment(0, 1), Assignment(1, 1)


@pytest.fixture
def loop() -> Iterator[GatewayLoop]:
    found = GatewayLoop(1)
    yield found
    found.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "retold-gateways"]


def caller_of(loop: GatewayLoop, bad: Act) -> tuple[Caller, list[CallResult]]:
    """Its gateway does `bad` for the key bad, and answers every other one."""

    async def act(event: Event[PaymentCharge]) -> EventData:
        return await (bad if event.key == "bad" else charged)(event)

    results: list[CallResult] = []
    gateway = Gateway(PaymentCharge, act, answers=[PaymentCharged])
    gateways: dict[type[EventData], Gateway[Any]] = {PaymentCharge: gateway}
    policy = RetryPolicy(timeout=60, tries=1)
    return Caller(gateways, ENGINE.answer_value, policy, loop.get(), results.append, threading.Event()), results


async def interrupts(event: Event[PaymentCharge]) -> EventData:
    raise KeyboardInterrupt


async def exits_beside(event: Event[PaymentCharge]) -> EventData:
    async def beside() -> None:
        sys.exit(3)

    task = asyncio.create_task(beside())
    while not task.done():
        await asyncio.sleep(0)
    return await charged(event)


async def exits_in_a_callback(event: Event[PaymentCharge]) -> EventData:
    asyncio.get_running_loop().call_soon(sys.exit, 3)
    await asyncio.sleep(0.01)
    return await charged(event)


async def stops_the_loop(event: Event[PaymentCharge]) -> EventData:
    asyncio.get_running_loop().stop()
    return await charged(event)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("bad", [interrupts, exits_beside, exits_in_a_callback, stops_the_loop])
def test_whatever_a_gateway_does_others_are_called(loop: GatewayLoop, bad: Act) -> None:
    """The event loop lets SystemExit and KeyboardInterrupt through to whoever runs the loop."""
    caller, results = caller_of(loop, bad)
    caller.submit(OURS, [call("bad")])
    until(lambda: len(results) == 1, "the bad one came to nothing")
    caller.submit(THEIRS, [call("good")])
    until(lambda: len(results) == 2, "no other one was called")
    assert results[1].answer == PaymentCharged(order="good", receipt="good-0")


def test_a_gateway_that_exits_when_it_is_cancelled_ends_nobody_elses_calls(loop: GatewayLoop) -> None:
    """Its partition went to another worker meanwhile, so nobody hears of it."""
    begun, cancelled = threading.Event(), threading.Event()

    async def exits_at_last(event: Event[PaymentCharge]) -> EventData:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.set()
            sys.exit(1)

    caller, results = caller_of(loop, exits_at_last)
    caller.submit(OURS, [call("bad")])
    until(begun.is_set, "the gateway was not called")
    caller.forget(OURS)
    until(cancelled.is_set, "the call was not cancelled")
    caller.submit(THEIRS, [call("good")])
    until(lambda: len(results) == 1, "no other one was called")
    assert results[0].call.event.key == "good"
