"""Asking for a group's committed offset, of a coordinator that moves, and of clients that have gone stale (rule 35)."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import Future

import pytest
from confluent_kafka import KafkaError, KafkaException

from streams.errors import PartitionLost
from streams.kafka.fresh import Admin, Fresh
from tests.support.coordinator import OFFSET
from tests.support.processes import PROJECT

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
    assert asked(code, 1, 20) == [str(OFFSET), "-1", "alive"]


def test_a_refusal_is_told() -> None:
    """And not taken for a group that has committed nothing."""
    first, _, alive = asked(GROUP_AUTHORIZATION_FAILED, 1, 20)
    assert first.startswith("BrokerError: the committed offset of user-0 is not known: ")
    assert alive == "alive"


def test_an_open_transaction_is_waited_for_and_told() -> None:
    """Within 15 s. The client says nothing meanwhile, and that is not taken for a group that has committed nothing."""
    told, first, *_ = asked(UNSTABLE, 1000, 12)
    assert told.startswith("a restore waits for the committed offset of user-0, since ")
    assert first.startswith("PartitionLost: ")


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


@pytest.mark.parametrize("silence", [KafkaError._TIMED_OUT, KafkaError._NOENT])
def test_a_client_that_heard_nobody_twice_in_a_row_is_made_anew(silence: int) -> None:
    """Not one that timed out now and then: a broker may be slow. A stale one may also say that there is no leader."""
    fresh = Fresh(Client, Client.close)
    first = fresh.client
    first.says = silence
    for stale in (True, False, True):
        first.stale = stale
        ask(fresh)
    assert fresh.client is first
    ask(fresh)
    assert (fresh.client is not first, first.closed) == (True, True)
    assert ask(fresh) == fresh.client.number


def ask(fresh: Fresh[Client]) -> int | None:
    try:
        return fresh.ask(Client.ask)
    except KafkaException:
        return None


def test_a_request_that_nobody_answers_ends() -> None:
    """Even if the client forgets it; the second time there is another client, and who is told to stop does not wait."""
    admin = Admin(Client)  # type: ignore[arg-type]  # only what `forgets` is given
    first = admin.client
    for _ in range(2):
        [answer] = admin.request(forgets, None, timeout=0.1, read=str).values()
        assert isinstance(answer, KafkaException)
        assert answer.args[0].code() == KafkaError._TIMED_OUT
    assert admin.client is not first
    stopped = threading.Event()
    threading.Timer(0.3, stopped.set).start()
    with pytest.raises(PartitionLost):
        admin.request(forgets, None, timeout=60, read=str, cancelled=stopped.is_set)


def forgets(client: Client, asked: None, *, request_timeout: float) -> dict[str, Future[str]]:
    """A method of an AdminClient whose answer never comes."""
    return {"it": Future()}
