"""A Kafka client that is replaced is gone at once: a worker may collect garbage again when its broker is back, hours later."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from streams.errors import BrokerError
from streams.kafka.clients import Clients
from streams.kafka.offsets import ends
from streams.kafka.owners import member_ids
from streams.kafka.renewed_client import FIRST_TERM, LONGEST_METADATA, LONGEST_TERM, METADATA, Admin, RenewedClient
from streams.kafka.topics import describe
from tests.simulator.time import VirtualClock

SILENT = KafkaError(KafkaError._TIMED_OUT)


class SilentAdmin:
    """Its broker is away."""

    def list_topics(self, *_: Any, **__: Any) -> Any:
        raise KafkaException(SILENT)

    list_groups = list_topics

    def describe_topics(self, asked: Any, **_: Any) -> dict[str, Future[Any]]:
        found: dict[str, Future[Any]] = {name: Future() for name in asked.topic_names}
        for future in found.values():
            future.set_exception(KafkaException(SILENT))
        return found

    def list_offsets(self, asked: Any, **_: Any) -> dict[Any, Future[Any]]:
        found: dict[Any, Future[Any]] = {at: Future() for at in asked}
        for future in found.values():
            future.set_exception(KafkaException(SILENT))
        return found


class LeftAdmin(SilentAdmin):
    """The same, and its broker goes away once it has said who leads its topics."""

    told = False

    def list_topics(self, *_: Any, **__: Any) -> Any:
        if self.told:
            raise KafkaException(SILENT)
        LeftAdmin.told = True
        return SimpleNamespace(topics={"user": None})


@pytest.fixture
def uncollected() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def topics(admin: Admin) -> None:
    describe(admin, ["user"])


def offsets(admin: Admin) -> None:
    ends(admin, [("user", 0)], timeout=1)


def members(admin: Admin) -> None:
    member_ids(admin, "retold.user")


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize(
    ("silent", "ask"),
    [(SilentAdmin, topics), (SilentAdmin, offsets), (SilentAdmin, members), (LeftAdmin, offsets)],
)
def test_no_client_stays_while_the_broker_is_away(silent: type[SilentAdmin], ask: Callable[[Admin], None]) -> None:
    """Each has three threads of its own. An outage of a quarter of an hour left 439 of them, and took half a core."""
    made: list[weakref.ref[SilentAdmin]] = []
    LeftAdmin.told = False

    def make(kind: Any, options: Any) -> Any:
        assert kind is AdminClient
        client = silent()
        made.append(weakref.ref(client))
        return client

    clock = VirtualClock()
    admin = Clients("memory:0", clock=clock, make=make).admin()
    errors = []
    for _ in range(6):
        clock.sleep(LONGEST_TERM)
        try:
            ask(admin)
        except BrokerError as error:
            errors.append(error)  # as one that is kept for a log
    assert len(errors) == 6
    assert len(made) > 2
    assert [ref() for ref in made[:-1]] == [None] * (len(made) - 1)


class SlowAdmin:
    """Its broker takes long, and tells how long it was waited for."""

    waited: ClassVar[list[float]] = []

    def list_topics(self, *_: Any, timeout: float) -> Any:
        self.waited.append(timeout)
        raise KafkaException(SILENT)


def test_a_slow_broker_is_not_met_with_ever_more_clients_and_is_given_longer() -> None:
    """Each new client has to connect first. Beside a broker that took seconds for all, none got an answer within its second."""
    clock, made = VirtualClock(), list[float]()

    def make(*_: Any) -> Any:
        made.append(clock.monotonic())
        return SlowAdmin()

    SlowAdmin.waited.clear()
    admin = Clients("memory:0", clock=clock, make=make).admin()
    for _ in range(60):
        with pytest.raises(KafkaException):
            admin.refresh(timeout=10)
        clock.sleep(1.0)
    terms = [after - before for before, after in pairwise(made)]
    assert terms[1] >= FIRST_TERM
    assert all(it >= LONGEST_TERM for it in terms[4:])
    assert (SlowAdmin.waited[0], SlowAdmin.waited[-1]) == (METADATA, LONGEST_METADATA)


def test_a_client_that_got_an_answer_is_replaced_at_once_when_it_is_silent_again() -> None:
    """Its broker was frozen once more: it may be stale, and a new one is not."""
    clock, made = VirtualClock(), list[int]()
    client: RenewedClient[int] = RenewedClient(lambda: made.append(0) or len(made), clock=clock)
    for _ in range(3):
        for silent in (True, True, False):
            client.heard(client.client, silent=silent)
    assert len(made) == 4
