"""What a caller has to call: a queue for each key, and how much of the requests is in memory meanwhile.

A gateway may be away for a day, with a million requests that wait for it. The caller has the bodies of a few, and knows the others
by their references. It asks for bodies before their calls are made, and whoever has them provides them (ADR 40).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import msgspec

from streams.engine.changes import HEADER, RECORD, KeptCall, PendingCall

BODIES = 64 * 1024 * 1024
"""Bytes that requests which wait may take here, about. Beyond, they are known by their references.

It holds what one transaction accepts: with less, a gateway that answers at once waits for what is read back from the topic.
"""
FEW, MANY = 100, 400
"""When fewer calls than that can be made at once, bodies of so many are asked for."""


class Assignment(NamedTuple):
    """One assignment of a partition to this worker: results of calls of an earlier assignment are dropped."""

    partition: int
    epoch: int


class BodyWanted(NamedTuple):
    """A call is to be made, and only its request's reference is known."""

    assignment: Assignment
    reference: str


class CallQueue(msgspec.Struct, eq=False):
    """The calls of one key, in order, or their references. The first is being made, is waiting, or was given up.

    Those before `over` have ended. `forgotten`: its assignment has ended, so the result of a call that could not be cancelled is
    dropped.
    """

    assignment: Assignment
    key: str
    calls: list[PendingCall | str]
    over: int = 0
    tried: int = 0
    given_up: bool = False
    forgotten: bool = False
    task: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = None

    @property
    def first(self) -> PendingCall | str | None:
        """None: there is none left."""
        return self.calls[self.over] if self.over < len(self.calls) else None

    def end_first(self) -> None:
        """Those that have ended are dropped together, since a key may have thousands of calls."""
        if 2 * self.over + 2 >= len(self.calls):
            del self.calls[: self.over + 1]
            self.over = 0
        else:
            self.calls[self.over] = ""
            self.over += 1


class ReadyCalls:
    """The keys whose first call may be made, in order. `want` is told whose bodies are to be provided.

    Bodies take `most` bytes, about, and those that were provided since the last ones were asked for.
    """

    def __init__(self, want: Callable[[BodyWanted], None], most: int) -> None:
        self._want, self._most, self._size = want, most, 0
        self._ready: deque[CallQueue] = deque()
        self._absent: deque[CallQueue] = deque()
        self._asked: dict[BodyWanted, CallQueue] = {}

    def kept(self, call: KeptCall) -> PendingCall | str:
        """What is kept of a call until it is made."""
        if self._size < self._most and isinstance(call, PendingCall):
            self._size += _memory(call)
            return call
        return call.reference

    def add(self, queue: CallQueue) -> None:
        """Its first call may be made."""
        (self._absent if isinstance(queue.calls[queue.over], str) else self._ready).append(queue)

    def next(self) -> CallQueue | None:
        """The next one to call for; None: there is none whose body is here."""
        while self._ready:
            queue = self._ready.popleft()
            if not queue.forgotten:
                return queue
        return None

    def ask(self) -> None:
        """Ask for bodies if few are here, and then for many: they are read together."""
        if not self._absent or len(self._ready) + len(self._asked) >= FEW:
            return
        while self._absent and len(self._asked) < MANY:
            queue = self._absent.popleft()
            if not queue.forgotten and isinstance(queue.first, str):
                wanted = BodyWanted(queue.assignment, queue.first)
                self._asked[wanted] = queue
                self._want(wanted)

    def provide(self, assignment: Assignment, found: Mapping[str, PendingCall | None]) -> list[CallQueue]:
        """Bodies that were asked for. None: nobody waits for that call any more; returns the queues where that is so."""
        ended = []
        for reference, call in found.items():
            queue = self._asked.pop(BodyWanted(assignment, reference), None)
            if queue is None:
                continue
            if call is None:
                ended.append(queue)
            else:
                queue.calls[queue.over] = call
                self._size += _memory(call)
                self._ready.append(queue)
        return ended

    def failed(self, queue: CallQueue) -> None:
        """Its first call waits for another try: if there is no room, the body leaves memory."""
        if self._size > self._most:
            self.leave(queue)

    def leave(self, queue: CallQueue) -> None:
        """Keep only the reference of its first call."""
        call = queue.first
        if isinstance(call, PendingCall):
            self._size -= _memory(call)
            queue.calls[queue.over] = call.reference

    def end_first(self, queue: CallQueue) -> None:
        """Its first call is over."""
        self._size -= _memory(queue.calls[queue.over])
        queue.end_first()

    def keep(self, queue: CallQueue, pending: Collection[str]) -> None:
        """Of a queue, only the calls with these references are still to be made."""
        there = queue.calls[queue.over :]
        kept = [it for it in there if (it if isinstance(it, str) else it.reference) in pending]
        self._size += sum(map(_memory, kept)) - sum(map(_memory, there))
        queue.calls, queue.over = kept, 0

    def forget(self, queues: Collection[CallQueue]) -> None:
        """Their calls are not made here any more."""
        for queue in queues:
            queue.forgotten = True
            self._size -= sum(map(_memory, queue.calls[queue.over :]))
        self._asked = {wanted: queue for wanted, queue in self._asked.items() if not queue.forgotten}


def _memory(call: PendingCall | str) -> int:
    """Bytes, more or less: it is asked for each call, twice."""
    return 0 if isinstance(call, str) else RECORD + 2 * len(call.value) + 2 * HEADER * len(call.headers)
