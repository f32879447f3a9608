"""What a chaos run does to a worker's network, with a broker that only writes down what it is sent."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.chaos.network import Link
from tests.support.kafka_proxy import END_TRANSACTION, PRODUCE
from tests.support.workers import until


class ListeningBroker:
    """Answers each request with its correlation id, and knows the order in which they came."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        self.heard: list[int] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, client.makefile("rb") as stream:
            while size := stream.read(4):
                frame = stream.read(*struct.unpack(">i", size))
                self.heard.append(struct.unpack(">i", frame[4:8])[0])
                client.sendall(struct.pack(">i", 4) + frame[4:8])

    def close(self) -> None:
        self._server.close()


class Client:
    """A connection through the link; requests are numbered by whoever sends them."""

    def __init__(self, link: Link) -> None:
        host, port = link.address.split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=30)

    def send(self, number: int, api: int = 3) -> None:
        frame = struct.pack(">hhih", api, 1, number, 1) + b"w"
        self.socket.sendall(struct.pack(">i", len(frame)) + frame)

    def answered(self) -> int:
        """The number of the next request that is answered; -1: the connection is lost."""
        try:
            size, number = struct.unpack(">ii", self.socket.recv(8, socket.MSG_WAITALL))
        except (struct.error, ConnectionError):
            return -1
        assert size == 4
        return int(number)


@pytest.fixture
def broker() -> Iterator[ListeningBroker]:
    listening = ListeningBroker()
    yield listening
    listening.close()


@pytest.fixture
def link(broker: ListeningBroker) -> Iterator[Link]:
    with Link(broker.address) as made:
        yield made


@pytest.fixture
def connect(link: Link) -> Iterator[Callable[[], Client]]:
    with ExitStack() as stack:

        def connect() -> Client:
            client = Client(link)
            stack.callback(client.socket.close)
            return client

        yield connect


def told(link: Link, what: Callable[[], None]) -> None:
    """In the proxy's thread; returns when it is done."""
    done = threading.Event()
    link.call(lambda: (what(), done.set())[1])
    assert done.wait(30)


def test_what_is_held_arrives_in_its_order(link: Link, broker: ListeningBroker, connect: Callable[[], Client]) -> None:
    """Also if its client has given the connection up meanwhile."""
    client = connect()
    client.send(1)
    assert client.answered() == 1
    told(link, link.network.hold)
    for number in (2, 3, 4):
        client.send(number)
    client.socket.close()
    other = connect()
    other.send(5)
    until(lambda: sum(map(len, link.network._queues.values())) == 4, "not all are held")
    assert broker.heard == [1]
    told(link, link.network.let_go)
    assert other.answered() == 5
    until(lambda: len(broker.heard) == 5, "not all arrive")
    assert [it for it in broker.heard if it != 5] == [1, 2, 3, 4]


def test_delayed_requests_do_not_overtake_each_other(link: Link, broker: ListeningBroker, connect: Callable[[], Client]) -> None:
    """Nor does one that is sent when the delay is over."""
    client = connect()
    told(link, lambda: link.network.delay_each(0.2))
    client.send(1)
    client.send(2)
    until(lambda: sum(map(len, link.network._queues.values())) == 2, "not all are delayed")
    told(link, lambda: link.network.delay_each(0.0))
    client.send(3)
    assert [client.answered() for _ in range(3)] == [1, 2, 3]
    assert broker.heard == [1, 2, 3]


def test_the_end_of_a_transaction_arrives_in_the_next_one(
    link: Link, broker: ListeningBroker, connect: Callable[[], Client]
) -> None:
    """Its client sees its connection lost, sends it again, and writes on."""
    client = connect()
    told(link, link.network.late_end)
    client.send(1, END_TRANSACTION)
    assert client.answered() == -1
    again = connect()
    for number, api in ((2, END_TRANSACTION), (3, PRODUCE)):
        again.send(number, api)
        assert again.answered() == number
    until(lambda: broker.heard == [2, 3, 1], "the first one does not arrive")


def test_connections_that_are_cut_are_lost_to_the_client(link: Link, connect: Callable[[], Client]) -> None:
    """A new one works."""
    clients = [connect(), connect()]
    for client in clients:
        client.send(1)
        assert client.answered() == 1
    told(link, link.network.cut)
    assert [client.answered() for client in clients] == [-1, -1]
    client = connect()
    client.send(2)
    assert client.answered() == 2


def test_lost_answers_to_ends_are_lost_alone(link: Link, connect: Callable[[], Client]) -> None:
    """What else is asked is answered."""
    client = connect()
    told(link, link.network.lose_ends)
    client.send(1, END_TRANSACTION)
    client.send(2)
    assert client.answered() == 2
    told(link, link.network.answer_ends)
    client.send(3, END_TRANSACTION)
    assert client.answered() == 3
