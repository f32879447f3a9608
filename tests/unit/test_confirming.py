"""Who waits in an event loop, for what the broker says of an event or for what has changed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streams.receipt import Receipt
from streams.server.http import write
from streams.server.http.confirming import Confirming
from streams.server.readmodel.notifier import Notifier, until
from tests.applications import bank
from tests.applications.bank.events import AccountOpen
from tests.support.memory_server import MemoryServer


class Telling:
    """A publisher, of whose events nothing is said until it is told to."""

    def __init__(self) -> None:
        self.calls: dict[Receipt, Callable[[], object]] = {}

    def when_told(self, receipt: Receipt, call: Callable[[], object]) -> None:
        self.calls[receipt] = call

    def tell(self, *receipts: Receipt) -> None:
        """In a thread."""
        telling = threading.Thread(target=lambda: [self.calls[it]() for it in receipts])
        telling.start()
        telling.join()


def receipts(count: int) -> list[Receipt]:
    return [Receipt("account", "account.open", "a", f"e{number}") for number in range(count)]


def counted(loop: Any) -> list[Any]:
    """How often a thread wakes the loop."""
    woken, wake = list[Any](), loop.call_soon_threadsafe

    def counting(*given: Any) -> Any:
        woken.append(given)
        return wake(*given)

    loop.call_soon_threadsafe = counting
    return woken


def test_each_hears_of_its_own_event_and_the_loop_is_woken_once() -> None:
    """However many events the broker confirms at once; later ones wake it again."""

    async def run() -> None:
        telling, woken = Telling(), counted(asyncio.get_running_loop())
        confirming, sent = Confirming(telling), receipts(21)
        waiting = [asyncio.create_task(confirming.told(it, 30.0)) for it in sent]
        await asyncio.sleep(0)
        telling.tell(*sent[:20])
        assert await asyncio.gather(*waiting[:20]) == [True] * 20
        assert (len(woken), waiting[20].done()) == (1, False)
        telling.tell(sent[20])
        assert (await waiting[20], len(woken)) == (True, 2)

    asyncio.run(run())


def test_it_is_waited_for_no_longer_than_said() -> None:
    """What is said later disturbs nobody, also if who waited has gone."""

    async def run() -> None:
        telling, [late, left] = Telling(), receipts(2)
        confirming = Confirming(telling)
        assert await confirming.told(late, 0.01) is False
        gone = asyncio.create_task(confirming.told(left, 30.0))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait({gone})
        assert gone.cancelled()
        telling.tell(late, left)
        await asyncio.sleep(0.01)

    asyncio.run(run())


def test_all_who_wait_as_long_share_a_timer() -> None:
    """Each ends when it has waited for so long, whoever came before; nothing of those is kept that were told."""

    async def run() -> None:
        loop, telling, sent = asyncio.get_running_loop(), Telling(), receipts(40)
        confirming, timers = Confirming(telling), list[float]()
        call_at = loop.call_at

        def counting(when: float, *given: Any, **more: Any) -> Any:
            timers.append(when)
            return call_at(when, *given, **more)

        loop.call_at = counting  # type: ignore[assignment]  # as `counted` does
        for receipt in sent[:30]:
            waiting = asyncio.create_task(confirming.told(receipt, 0.2))
            await asyncio.sleep(0)
            telling.tell(receipt)
            assert await waiting
        assert (len(timers), len(confirming._waiting[0.2])) == (1, 1)
        began = loop.time()
        late = [asyncio.create_task(confirming.told(it, 0.2)) for it in sent[30:35]]
        await asyncio.sleep(0.1)
        later = [asyncio.create_task(confirming.told(it, 0.2)) for it in sent[35:]]
        assert await asyncio.gather(*late) == [False] * 5
        assert loop.time() - began >= 0.2
        assert await asyncio.gather(*later) == [False] * 5
        assert (loop.time() - began >= 0.3, confirming._waiting) == (True, {})

    asyncio.run(run())


def test_a_loop_is_woken_once_for_all_who_wait_for_a_change() -> None:
    """Each of them looks; who waits for nothing more is not called."""

    async def run() -> None:
        notifier, woken, there = Notifier(), counted(asyncio.get_running_loop()), list[int]()
        waiting = [asyncio.create_task(until(notifier, lambda: bool(there) or None, 30.0)) for _ in range(50)]
        assert await until(notifier, lambda: None, 0.01) is None
        there.append(1)
        changing = threading.Thread(target=notifier.notify)
        changing.start()
        assert await asyncio.gather(*waiting) == [True] * 50
        changing.join()
        assert len(woken) == 1
        assert notifier._subscriptions == set()

    asyncio.run(run())


def test_a_small_event_costs_no_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither to read it, nor to publish it, nor to wait for the broker: two threads cost more than all else of a request.

    A large one is read in a thread, and what an Idempotency-Key was used for is looked up in one.
    """
    used = list[str]()

    async def in_thread(_limiter: object, function: Callable[..., Any], *given: object) -> Any:
        used.append(function.__name__)
        return function(*given)

    monkeypatch.setattr(write, "in_thread", in_thread)
    with MemoryServer(bank.app(), tmp_path) as server:
        for headers, status in (({}, 202), ({"Prefer": "wait=5"}, 200)):
            answer = server.http.post("/events/account.open", json={"account": f"a{status}", "balance": 1}, headers=headers)
            assert (answer.status_code, used) == (status, [])
        large = {"account": "b", "balance": 1, "more": "x" * write.SMALL}
        assert server.http.post("/events/account.open", json=large).status_code == 422
        keyed = {"Idempotency-Key": "k1"}
        assert server.http.post("/events/account.open", json={"account": "c", "balance": 1}, headers=keyed).status_code == 202
        assert used == ["_read", "_send"]
        assert [data for data, _ in server.kafka.published][-1] == AccountOpen(account="c", balance=1)


def test_who_waits_is_woken_by_what_it_waits_for_alone() -> None:
    """It looks at each change without a turn of its task, and hears what a look raises."""

    async def run() -> None:
        notifier, there, looks = Notifier(), list[int](), list[int]()

        def look() -> int | None:
            looks.append(len(there))
            if there == [0]:
                raise ValueError("that cannot be read")
            return len(there) or None

        async def changed(*now: int) -> None:
            there[:] = now
            notifier.notify()
            await asyncio.sleep(0)

        waiting = asyncio.create_task(until(notifier, look, 30.0))
        await asyncio.sleep(0)
        turns = waiting.get_coro().cr_await  # type: ignore[union-attr]  # it is a coroutine
        for _ in range(3):
            await changed()
        assert (waiting.get_coro().cr_await is turns, looks) == (True, [0] * 4)  # type: ignore[union-attr]  # as above
        await changed(1, 2)
        assert (await waiting, len(looks), notifier._subscriptions) == (2, 5, set())
        failing = asyncio.create_task(until(notifier, look, 30.0))
        there.clear()
        await asyncio.sleep(0)
        await changed(0)
        with pytest.raises(ValueError, match="cannot be read"):
            await failing
        assert notifier._subscriptions == set()

    asyncio.run(run())
