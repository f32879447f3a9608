"""Awaiting with a time limit, which is only set once there is something to wait for: to set one takes as long as a short call."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Awaitable, Coroutine, Generator
from typing import Any


class Expired(Exception):
    """The limit passed."""


class BoundedCall:
    """One awaitable, to be awaited once, in the task that awaits the answer: it sees that task alone. `until` by the loop's clock.

    Raises Expired, or what it raises.
    """

    def __init__(self, asked: Awaitable[Any], until: float) -> None:
        self._asked, self._until = asked, until
        self.waited = False
        """Whether it has waited for anything, and so let others run."""

    async def answer(self) -> Any:
        asked = self._asked
        steps = asked if isinstance(asked, types.CoroutineType) else _awaiting(asked)
        try:
            waits_for = steps.send(None)
        except StopIteration as end:
            return end.value
        self.waited = True
        limit = asyncio.timeout_at(self._until)
        try:
            async with limit:
                return await _resumed(steps, waits_for)
        except TimeoutError as error:
            if limit.expired():
                raise Expired from error
            raise


async def _awaiting(asked: Awaitable[Any]) -> Any:
    return await asked


@types.coroutine
def _resumed(steps: Coroutine[Any, Any, Any], waits_for: Any) -> Generator[Any, Any, Any]:
    """The rest of a coroutine whose first step has been made: it waits for `waits_for`."""
    while True:
        try:
            yield waits_for
        except BaseException as error:  # noqa: BLE001 - such as its being cancelled: it decides what follows
            try:
                waits_for = steps.throw(error)
            except StopIteration as end:
                return end.value
        else:
            return (yield from steps)
