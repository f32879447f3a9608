"""What goes wrong between a worker and its broker: requests are delayed, held, cut off, or arrive in another order."""

from __future__ import annotations

import asyncio
from collections import deque

from tests.support.kafka_proxy import END_TRANSACTION, PRODUCE, Connection, Faults, KafkaProxy, Request

HELD_AT_MOST = 100_000
"""Requests of a connection: a client has no more under way, so more would be an error here."""


class UnrulyNetwork(Faults):
    """Of one worker, all of whose connections go through the same proxy. Its methods are called in the proxy's thread."""

    def __init__(self) -> None:
        self._delay = 0.0
        self._holding = self._losing_ends = False
        self._queues: dict[Connection, deque[Request]] = {}
        """Requests that are delayed or held; those behind them wait, too."""
        self._connections: set[Connection] = set()
        self._late = LateEnd()

    def forwards(self, request: Request) -> bool:
        connection = request.connection
        self._connections.add(connection)
        self._late.sent(request)
        if self._late.holds(request):
            connection.cut_client()
            return False
        if not (self._delay or self._holding or self._queues.get(connection)):
            return True
        queue = self._queues.setdefault(connection, deque())
        assert len(queue) < HELD_AT_MOST, "a client does not wait for answers"
        queue.append(request)
        if not self._holding:
            asyncio.get_running_loop().call_later(self._delay, self._deliver_next, connection)
        return False

    def answered(self, request: Request, answer: bytes) -> bool:
        self._late.answered(request)
        return not (self._losing_ends and request.api == END_TRANSACTION)

    def delay_each(self, seconds: float) -> None:
        """Each request takes so much longer; 0: no longer."""
        self._delay = seconds

    def lose_ends(self) -> None:
        """No answer to an EndTxn arrives."""
        self._losing_ends = True

    def answer_ends(self) -> None:
        """From now on they arrive again."""
        self._losing_ends = False

    def cut(self) -> None:
        """All connections. What was sent through them may still arrive."""
        for connection in self._connections:
            connection.cut_client()
        self._connections.clear()

    def hold(self) -> None:
        """All requests from now on. Where the client gives its connection up, they arrive later all the same."""
        self._holding = True
        for connection in self._connections:
            connection.outlives_client = True

    def let_go(self) -> None:
        """What was held arrives, in the order in which each connection sent it."""
        self._holding = False
        for connection, queue in self._queues.items():
            while queue:
                connection.deliver(queue.popleft())

    def late_end(self) -> None:
        """The next EndTxn is sent again by the client; its first copy arrives in the next transaction."""
        self._late.armed = True

    def deliver_late_end(self) -> None:
        """At the latest."""
        self._late.deliver()

    def _deliver_next(self, connection: Connection) -> None:
        if self._holding:
            return
        queue = self._queues[connection]
        if queue:
            connection.deliver(queue.popleft())


class LateEnd:
    """Holds an EndTxn, and delivers it once its client has sent it again and written into the next transaction."""

    def __init__(self) -> None:
        self.armed = False
        self._held: Request | None = None
        self._repeated = False

    def sent(self, request: Request) -> None:
        if self._is_ours(request) and request.api == END_TRANSACTION:
            self._repeated = True

    def holds(self, request: Request) -> bool:
        if not self.armed or request.api != END_TRANSACTION:
            return False
        self.armed, self._held, self._repeated = False, request, False
        return True

    def answered(self, request: Request) -> None:
        if self._is_ours(request) and self._repeated and request.api == PRODUCE:
            self.deliver()

    def deliver(self) -> None:
        self.armed, held = False, self._held
        self._held = None
        if held is not None:
            held.connection.deliver(held)

    def _is_ours(self, request: Request) -> bool:
        return self._held is not None and request.client_id == self._held.client_id


class Link(KafkaProxy):
    """A worker's way to the broker."""

    def __init__(self, broker: str) -> None:
        self.network = UnrulyNetwork()
        super().__init__(broker, self.network)
