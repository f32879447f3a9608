"""A call with a time limit that is set once it waits is what a call with one from the beginning is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.worker.bounded_call import BoundedCall, Expired

STEPS = ("turn", "future", "broken future", "stubborn", "shielded", "own limit", "raise", "cancel itself", "exit")
Way = Callable[[Awaitable[Any], float], Awaitable[Any]]


class Refused(Exception):
    pass


async def acting(steps: list[str], seen: list[str]) -> str:  # noqa: C901 - one case a step
    """Does one step after the other, and says in `seen` what it sees."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    for step in steps:
        seen.append(step)
        match step:
            case "turn":
                await asyncio.sleep(0)
            case "future" | "broken future":
                waits_for = loop.create_future()
                loop.call_soon(waits_for.set_result, 7) if step == "future" else loop.call_soon(waits_for.set_exception, Refused())
                with suppress(Refused):
                    seen.append(str(await waits_for))
            case "stubborn":
                try:
                    await asyncio.sleep(0)
                except asyncio.CancelledError:
                    seen.append("is not cancelled")
            case "shielded":
                await asyncio.shield(asyncio.sleep(0))
            case "own limit":
                with suppress(TimeoutError):
                    async with asyncio.timeout(0):
                        await asyncio.sleep(60)
            case "raise":
                raise Refused
            case "cancel itself":
                task.cancel()
            case "exit":
                return "early"
        seen.append(str(asyncio.current_task() is task))
    return "late"


async def plainly(asked: Awaitable[Any], until: float) -> Any:
    async with asyncio.timeout_at(until) as limit:
        try:
            return await asked
        finally:
            if limit.expired():
                raise Expired


async def bounded(asked: Awaitable[Any], until: float) -> Any:
    return await BoundedCall(asked, until).answer()


def came_of(way: Way, steps: list[str], cancelled: int) -> tuple[list[str], str]:
    """What it saw and what came of it; it is cancelled after so many turns of the loop."""
    seen = list[str]()

    async def run() -> str:
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(way(acting(steps, seen), loop.time() + 60))
        for _ in range(cancelled):
            await asyncio.sleep(0)
        task.cancel()
        try:
            return str(await task)
        except (Refused, asyncio.CancelledError) as error:
            return f"{type(error).__name__}, {task.cancelling()}"

    return seen, asyncio.run(run())


@given(st.lists(st.sampled_from(STEPS), max_size=6), st.integers(1, 14))
def test_it_is_awaited_as_it_would_be_without_a_limit(steps: list[str], cancelled: int) -> None:
    """The same steps in the same task, also when it is cancelled at any of them."""
    assert came_of(bounded, steps, cancelled) == came_of(plainly, steps, cancelled)


def test_the_limit_counts_from_when_it_is_asked_for() -> None:
    """Also if it first takes all of its time and only then waits."""

    async def slow() -> None:
        time.sleep(0.02)
        await asyncio.sleep(60)

    async def run() -> None:
        with pytest.raises(Expired):
            await BoundedCall(slow(), asyncio.get_running_loop().time() + 0.01).answer()

    asyncio.run(asyncio.wait_for(run(), 30))


def test_a_time_limit_of_its_own_is_no_expiry() -> None:
    """What it raises by itself is passed on."""

    async def gives_up() -> None:
        async with asyncio.timeout(0):
            await asyncio.sleep(60)

    async def run() -> None:
        with pytest.raises(TimeoutError):
            await BoundedCall(gives_up(), asyncio.get_running_loop().time() + 60).answer()

    asyncio.run(run())


def test_it_says_whether_it_has_waited() -> None:
    """Who has not, has let nobody else run."""

    async def run() -> None:
        for steps, waited in (([], False), (["turn"], True)):
            call = BoundedCall(acting(steps, []), asyncio.get_running_loop().time() + 60)
            assert await call.answer() == "late"
            assert call.waited is waited

    asyncio.run(run())


def test_whatever_may_be_awaited_is() -> None:
    """A future, or an object of a class of one's own, is no coroutine."""

    class Later:
        def __await__(self) -> Generator[Any, Any, str]:
            yield from asyncio.sleep(0).__await__()
            return "there"

    async def run() -> None:
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        done.set_result("there")
        for asked in (Later(), done, asyncio.ensure_future(acting([], []))):
            assert await BoundedCall(asked, loop.time() + 60).answer() in ("there", "late")

    asyncio.run(run())
