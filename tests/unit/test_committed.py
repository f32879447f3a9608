"""Asking for a group's committed offset, of a coordinator that moves, and of clients that have gone stale (rule 35)."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams.clock import SystemClock
from streams.errors import BrokerError, PartitionLost
from streams.kafka.cancellable_steps import never_cancelled
from streams.kafka.committed import CommittedOffsets
from streams.kafka.renewed_client import Admin, RenewedClient
from tests.support.coordinator import OFFSET
from tests.support.processes import PROJECT
from tests.support.steps import run

GROUP_AUTHORIZATION_FAILED, UNSTABLE = 30, 88


def asked(code: int, times: int, seconds: float) -> list[str]:
    """What a process of its own has said that asked a coordinator with so many errors: partition 0, partition 1, alive."""
    command = [sys.executable, "-m", "tests.support.coordinator", *map(str, (code, times, seconds))]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, f"it ended with {done.returncode}: {done.stderr}"
    return done.stdout.splitlines()


@pytest.mark.parametrize("code", [14, 15, 16, UNSTABLE])
def test_a_coordinator_that_moves_is_asked_again(code: int) -> None:
    """NOT_COORDINATOR and COORDINATOR_NOT_AVAILABLE end a process that asks with an AdminClient."""
    assert asked(code, 1, 60) == [str(OFFSET), "-1", "alive"]


def test_a_refusal_is_reported() -> None:
    """And not taken for a group that has committed nothing."""
    first, _, alive = asked(GROUP_AUTHORIZATION_FAILED, 1, 60)
    assert first.startswith("BrokerError: the committed offset of user-0 is not known: ")
    assert alive == "alive"


def test_an_open_transaction_is_waited_for_and_heard_of() -> None:
    """The client says nothing meanwhile, and that is not taken for a group that has committed nothing."""
    held, first, *_ = asked(UNSTABLE, 1000, 60)
    assert held == "held"
    assert first == "PartitionLost: given up: the partition was taken away, or its worker stops"


class Asked(SystemClock):
    """In a consumer's place: each question takes 0.3 s and gets the next answer, the last one from then on.

    It is the clock as well, on which nothing else takes time.
    """

    def __init__(self, *answers: int) -> None:
        self._answers, self._seconds = list(answers), 0.0

    def monotonic(self) -> float:
        return self._seconds

    def sleep(self, seconds: float) -> None:
        self._seconds += seconds

    def committed(self, places: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        self._seconds += 0.3
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if answer != OFFSET:
            raise KafkaException(KafkaError(answer))
        return [TopicPartition(places[0].topic, places[0].partition, answer)]

    def close(self) -> None:
        """Whoever replaces it gets it again."""


def stable(*answers: int) -> int:
    consumer = Asked(*answers)
    asking = CommittedOffsets(lambda: consumer, Admin(Client, consumer), "user", coordinator_timeout=0.5)  # type: ignore[arg-type, return-value]  # what is asked of them only
    return run(asking.offset(0, never_cancelled), consumer.sleep).offset


def test_the_timeout_for_a_coordinator_that_moves_begins_with_it() -> None:
    """Not with the first question: an open transaction may have been waited for long before."""
    silent, moved = KafkaError._TIMED_OUT, KafkaError.NOT_COORDINATOR
    assert stable(silent, silent, moved, OFFSET) == OFFSET
    with pytest.raises(BrokerError, match="the committed offset of user-0 is not known"):
        stable(moved)


class Client:
    """Counts how many were made; `ask` gives its number, if it does not time out."""

    made = 0

    def __init__(self) -> None:
        self.closed, self.stale = False, False
        self.says = KafkaError._TIMED_OUT
        Client.made += 1
        self.number = Client.made

    def ask(self) -> int:
        if self.stale:
            raise KafkaException(KafkaError(self.says))
        return self.number

    def close(self) -> None:
        self.closed = True

    def list_topics(self, timeout: float) -> None:
        """Nobody says who leads."""
        raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

    def answers(self, asked: list[bool], *, request_timeout: float) -> dict[int, Future[str]]:
        """As an AdminClient's: of each partition asked for, whether its leader answers."""
        found: dict[int, Future[str]] = {number: Future() for number in range(len(asked))}
        for number, answered in enumerate(asked):
            if answered:
                found[number].set_result("it")
            else:
                found[number].set_exception(KafkaException(KafkaError(KafkaError._TIMED_OUT)))
        return found

    def forgets(self, asked: None, *, request_timeout: float) -> dict[str, Future[str]]:
        """As an AdminClient's whose answer never comes."""
        return {"it": Future()}


@pytest.mark.parametrize("silence", [KafkaError._TIMED_OUT, KafkaError._NOENT])
def test_a_client_that_heard_nobody_twice_in_a_row_is_replaced(silence: int) -> None:
    """Not one that timed out now and then: a broker may be slow. A stale one may also say that there is no leader."""
    fresh = RenewedClient(Client, Client.close)
    first = fresh.client
    first.says = silence
    for stale in (True, False, True):
        first.stale = stale
        ask(fresh)
    assert fresh.client is first
    ask(fresh)
    assert (fresh.client is not first, first.closed) == (True, True)
    assert ask(fresh) == fresh.client.number


def ask(fresh: RenewedClient[Client]) -> int | None:
    try:
        return fresh.ask(Client.ask)
    except KafkaException:
        return None


def test_a_request_that_nobody_answers_ends() -> None:
    """Even if the client forgets it; the second time there is another client, and who is told to stop does not wait."""
    admin = Admin(Client)  # type: ignore[arg-type]  # only what `forgets` is given
    first = admin.client
    for _ in range(2):
        [answer] = admin.request(Client.forgets, None, timeout=0.1, read=str).values()
        assert isinstance(answer, KafkaException)
        assert answer.args[0].code() == KafkaError._TIMED_OUT
    assert admin.client is not first
    stopped = threading.Event()
    threading.Timer(0.3, stopped.set).start()
    with pytest.raises(PartitionLost):
        admin.request(Client.forgets, None, timeout=60, read=str, cancelled=stopped.is_set)


def test_a_leader_that_is_away_is_no_reason_for_a_new_client() -> None:
    """If others answer, the client is well; only if none does, twice in a row, is another one made."""
    admin = Admin(Client)  # type: ignore[arg-type]  # only what `answers` is given
    first = admin.client
    for _ in range(4):
        found = admin.request(Client.answers, [False, True, True], timeout=1, read=str)
        assert [isinstance(each, KafkaException) for each in found.values()] == [True, False, False]
    assert admin.request(Client.answers, [], timeout=1, read=str) == {}
    assert admin.client is first
    for _ in range(2):
        admin.request(Client.answers, [False, False], timeout=1, read=str)
    assert admin.client is not first


class Leaderless(Client):
    """It asks who leads and gets an answer each time, and yet knows no leader."""

    def list_topics(self, timeout: float) -> Any:
        """Answered."""
        return SimpleNamespace(topics={})


def test_asking_who_leads_makes_up_for_no_silence() -> None:
    """A client may know who leads and still ask nobody: then it is replaced."""
    admin = Admin(Leaderless)  # type: ignore[arg-type]  # only what is asked of it
    first = admin.client
    for _ in range(2):
        admin.request(Client.answers, [False], timeout=1, read=str)
        admin.refresh(1)
    assert admin.client is not first
