"""A proxy between Kafka's clients and a broker, for faults of a network: it holds, answers or delivers requests.

It knows of a request what its header says, and rewrites the broker's address in answers, so that clients stay with it.
"""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import NamedTuple, Self

from tests.support.ending import see_ended

PRODUCE, FETCH, METADATA, HEARTBEAT, INIT_PRODUCER, ADD_OFFSETS, END_TRANSACTION, COMMIT_OFFSETS = 0, 1, 3, 12, 22, 25, 26, 28
"""The last is the one of a transaction: TxnOffsetCommit."""


class Request(NamedTuple):
    """`frame` is all of it but its length."""

    connection: Connection
    api: int
    correlation: int
    client_id: str
    frame: bytes


@dataclass(eq=False)
class Connection:
    """A client's, with the proxy's own to the broker; `sent` has the requests that are not answered yet.

    `outlives_client`: if the client closes it, the broker's side stays open, and what was sent before may still arrive.
    """

    client: asyncio.StreamWriter
    broker: asyncio.StreamWriter
    sent: dict[int, Request] = field(default_factory=dict)
    cut: bool = False
    outlives_client: bool = False

    def cut_client(self) -> None:
        """The client sees its connection lost; what it sent may still arrive."""
        self.cut = True
        self.client.transport.abort()

    def deliver(self, request: Request) -> None:
        _write(self.broker, request.frame)

    def answer(self, request: Request, body: bytes) -> None:
        """In the broker's place."""
        del self.sent[request.correlation]
        _write(self.client, struct.pack(">i", request.correlation) + body)


class Faults:
    """What a proxy does to requests and answers: nothing, unless a subclass says so. Called in the proxy's thread."""

    def forwards(self, request: Request) -> bool:
        """Whether the request goes on to the broker now."""
        return True

    def answered(self, request: Request, answer: bytes) -> bool:
        """The broker has answered: whether the client is told. `answer` begins with the correlation id."""
        return True


class KafkaProxy:
    """Listens on loopback until its block ends; `address` is where clients find it."""

    def __init__(self, broker: str, faults: Faults) -> None:
        host, port = broker.split(":")
        self._broker, self._faults = (host, int(port)), faults
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="kafka-proxy", daemon=True)
        self._listening, self._stopped = threading.Event(), asyncio.Event()
        self._port = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    def call(self, function: Callable[[], None]) -> None:
        """In the proxy's thread."""
        self._loop.call_soon_threadsafe(function)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._listening.wait(60), "the proxy does not listen"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        see_ended(self._thread, "the proxy", error)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=2**26)
        self._port = server.sockets[0].getsockname()[1]
        self._listening.set()
        try:
            await self._stopped.wait()
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for writer in self._writers:  # also of a client whose task had not begun
                writer.transport.abort()
            await asyncio.sleep(0)  # closes them

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        task = asyncio.create_task(self._client(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_broker, to_broker = await asyncio.open_connection(*self._broker, limit=2**26)
        except OSError:
            writer.close()
            return
        self._writers.add(to_broker)
        connection = Connection(writer, to_broker)
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            await asyncio.gather(
                self._requests(connection, reader), self._answers(connection, from_broker), return_exceptions=False
            )
        to_broker.close()
        writer.close()
        self._writers -= {writer, to_broker}

    async def _requests(self, connection: Connection, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                request = _request(connection, await _frame(reader))
                connection.sent[request.correlation] = request
                if self._faults.forwards(request):
                    connection.deliver(request)
        except (asyncio.IncompleteReadError, ConnectionError):
            if not (connection.cut or connection.outlives_client):
                raise
            connection.cut = True  # the broker's side stays open: what the client sent before may still arrive

    async def _answers(self, connection: Connection, reader: asyncio.StreamReader) -> None:
        here, there = _place(self._port), _place(self._broker[1])
        while True:
            answer = await _frame(reader)
            request = connection.sent.pop(struct.unpack(">i", answer[:4])[0], None)
            told = request is None or self._faults.answered(request, answer)
            if told and not connection.cut:
                _write(connection.client, answer.replace(there, here))


def _place(port: int) -> bytes:
    """How every answer that names a broker writes its address: the host, then the port."""
    return b"127.0.0.1" + struct.pack(">i", port)


async def _frame(reader: asyncio.StreamReader) -> bytes:
    (size,) = struct.unpack(">i", await reader.readexactly(4))
    return await reader.readexactly(size)


def _write(writer: asyncio.StreamWriter, frame: bytes) -> None:
    writer.write(struct.pack(">i", len(frame)) + frame)


def _request(connection: Connection, frame: bytes) -> Request:
    api, _, correlation, length = struct.unpack(">hhih", frame[:10])
    return Request(connection, api, correlation, frame[10 : 10 + max(length, 0)].decode(), frame)


class LateEndOfTransaction(Faults):
    """Holds an EndTxn of a worker, lets the client's repetition pass, and delivers the first in the next transaction.

    `writer` is in its client id; `log` names the topic whose first record of the next transaction the first one waits
    for. For an abort, a transaction is spoilt once it has log records: its AddOffsetsToTxn is answered with an error.
    """

    def __init__(self, writer: str, log: str, *, commit: bool) -> None:
        self._writer, self._log, self._commit = writer, log.encode(), commit
        self._armed = self._has_records = self._delivered = False
        self._spoilt: Request | None = None
        self.held: Request | None = None
        self.repeated = False
        self.answer: bytes | None = None
        """The broker's, to the late request, without its correlation id."""

    def arm(self) -> None:
        """The next EndTxn of that kind is held."""
        self._armed = True

    def forwards(self, request: Request) -> bool:
        if self._writer not in request.client_id:
            return True
        if request.api == END_TRANSACTION:
            self._has_records = False
        if not self._armed:
            return True
        if request.api == ADD_OFFSETS and not self._commit and self._spoilt is None:
            self._spoilt = request
            self._spoil()
            return False
        if request.api == END_TRANSACTION and self.held is None and self._commit == ends_with_commit(request.frame):
            self.held = request
            request.connection.cut_client()
            return False
        return True

    def answered(self, request: Request, answer: bytes) -> bool:
        if self._writer not in request.client_id:
            return True
        if request is self.held:
            self.answer = answer[4:]
        elif request.api == END_TRANSACTION:
            self.repeated = self.held is not None
        elif request.api == PRODUCE and self._log in request.frame:
            self._has_records = True
            self._spoil()
            self._deliver()
        return True

    def _spoil(self) -> None:
        spoilt = self._spoilt
        if spoilt is not None and self._has_records and spoilt.correlation in spoilt.connection.sent:
            spoilt.connection.answer(spoilt, struct.pack(">ih", 0, GROUP_AUTHORIZATION_FAILED))

    def _deliver(self) -> None:
        if self.held is not None and self.repeated and not self._delivered:
            self._delivered = True
            self.held.connection.deliver(self.held)


class LostCommit(Faults):
    """A commit of `writer` arrives, and nothing that the broker says of it: until another producer is made in its place."""

    def __init__(self, writer: str) -> None:
        self._writer, self._armed = writer, False
        self.lost = 0
        """Answers that did not arrive."""

    def arm(self) -> None:
        self._armed = True

    def forwards(self, request: Request) -> bool:
        if self.lost and self._writer in request.client_id and request.api == INIT_PRODUCER:
            self._armed = False
        return True

    def answered(self, request: Request, answer: bytes) -> bool:
        lost = self._armed and self._writer in request.client_id and request.api == END_TRANSACTION
        self.lost += lost
        return not lost


class StaleMember(Faults):
    """While it is on, the broker refuses what `writer` commits: it carries another generation, as that of one who left."""

    def __init__(self, writer: str) -> None:
        self._writer = writer
        self.on = False
        self.refused = 0

    def forwards(self, request: Request) -> bool:
        if not self.on or self._writer not in request.client_id or request.api != COMMIT_OFFSETS:
            return True
        request.connection.deliver(request._replace(frame=of_another_generation(request.frame)))
        return False

    def answered(self, request: Request, answer: bytes) -> bool:
        self.refused += self.on and request.api == COMMIT_OFFSETS and self._writer in request.client_id
        return True


def of_another_generation(frame: bytes) -> bytes:
    """A TxnOffsetCommit request, version 3: transactional id, group, producer id and epoch come before the generation."""
    assert struct.unpack(">h", frame[2:4]) == (3,), "another version of TxnOffsetCommit has another shape"
    at = 10 + max(struct.unpack(">h", frame[8:10])[0], 0) + 1
    for _ in range(2):  # short texts: one byte has the length, and one more
        at += frame[at]
    at += 8 + 2
    (generation,) = struct.unpack(">i", frame[at : at + 4])
    return frame[:at] + struct.pack(">i", generation + 1000) + frame[at + 4 :]


GROUP_AUTHORIZATION_FAILED = 30


def ends_with_commit(frame: bytes) -> bool:
    """Of an EndTxn request, version 0 or 1: client id, transactional id, producer id, epoch, and whether it commits."""
    at = 10 + max(struct.unpack(">h", frame[8:10])[0], 0)
    at += 2 + struct.unpack(">h", frame[at : at + 2])[0]
    (commits,) = struct.unpack(">?", frame[at + 10 : at + 11])
    return bool(commits)


class ResetConnection(Faults):
    """Resets the connection that a worker sends requests of one kind through, when it is told to.

    `worker` is in its client id, `api` that kind's number.
    """

    def __init__(self, worker: str, api: int = PRODUCE) -> None:
        self._worker, self._api = worker, api
        self._plain: Connection | None = None
        self._middle = False
        self.reset = threading.Event()

    def forwards(self, request: Request) -> bool:
        if request.api == self._api and self._worker in request.client_id:
            self._plain = request.connection
        return True

    def answered(self, request: Request, answer: bytes) -> bool:
        if self._middle and request.connection is self._plain and request.api == self._api:
            self._middle = False
            self.cut()
        return True

    def cut(self) -> None:
        """Now."""
        assert self._plain is not None, "nothing was sent through it yet"
        self._plain.cut_client()
        self.reset.set()

    def cut_in_the_middle(self) -> None:
        """When records of the next transaction have been taken."""
        self._middle = True


class LostQuestion(Faults):
    """The first question for a topic is lost with its connection."""

    def __init__(self, topic: str) -> None:
        self._topic = topic.encode()
        self.asked = 0

    def forwards(self, request: Request) -> bool:
        if request.api != METADATA or self._topic not in request.frame:
            return True
        self.asked += 1
        if self.asked == 1:
            request.connection.cut_client()
        return self.asked > 1
