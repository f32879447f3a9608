"""An Idempotency-Key belongs to one request: after a restart, at another server, and when nothing was published."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from confluent_kafka import Message

from streams.codec import codec_of
from streams.engine.envelope import LogHeader, ParkedHeader, pack
from streams.engine.identity import request_id
from streams.engine.records import PARKED
from streams.errors import BrokerError, OutcomeTimeout
from streams.receipt import Receipt
from streams.server.http.idempotency import IdempotencyKeys, KeyHeld
from streams.server.readmodel.key_uses import SOURCE, digest_of
from streams.server.readmodel.model import STARTING
from tests.applications import bank
from tests.applications.bank.events import AccountOpen
from tests.support.memory_server import MemoryServer
from tests.unit.test_server_errors import assert_problem

KEY = {"Idempotency-Key": "k1"}
ID = request_id("loopback", "POST /events/account.open", "k1")


@pytest.fixture
def first(tmp_path: Path) -> Iterator[MemoryServer]:
    with MemoryServer(bank.app(), tmp_path) as server:
        yield server


def opened(server: MemoryServer, account: str = "a1", balance: int = 10, **headers: str) -> httpx.Response:
    body = {"account": account, "balance": balance}
    return server.http.post("/events/account.open", json=body, headers={**KEY, **headers})


def test_another_server_knows_a_key(first: MemoryServer, tmp_path: Path) -> None:
    """Or the same one after a restart: it has the same receipt, and publishes nothing."""
    receipt = opened(first).json()
    with MemoryServer(bank.app(), tmp_path) as second:
        second.kafka.take_over(first.kafka)
        again, waited = opened(second), opened(second, Prefer="wait=5")
        assert (again.status_code, again.json(), second.kafka.published) == (202, receipt, [])
        assert (waited.status_code, waited.json()["outcome"]) == (200, "accepted")


@pytest.mark.parametrize("change", [{"balance": 11}, {"account": "a2"}, {"If-Match": '"3"'}, {"If-None-Match": "*"}])
def test_another_server_refuses_another_request_under_a_key(
    first: MemoryServer, tmp_path: Path, change: dict[str, Any]
) -> None:
    """Another body, another row or another expected version is a 422 there too; a rejected event has its key as well."""
    first.kafka.publish(AccountOpen(account="a1", balance=1))
    assert opened(first, Prefer="wait=5").status_code == 409
    with MemoryServer(bank.app(), tmp_path) as second:
        second.kafka.take_over(first.kafka)
        got = opened(second, **change)
        assert_problem(got, 422, "the Idempotency-Key 'k1' came before", field="Idempotency-Key")
        assert (opened(second).status_code, second.kafka.published) == (202, [])


def test_before_the_logs_are_read_no_key_is_taken(first: MemoryServer) -> None:
    """503: nobody knows what it was used for; an event without a key is taken."""
    first.model.waits = STARTING
    assert_problem(opened(first), 503, STARTING)
    body = {"account": "a1", "balance": 1}
    assert first.http.post("/events/account.open", json=body).status_code == 202


def test_a_key_whose_event_did_not_leave_is_free(first: MemoryServer) -> None:
    """Also for another event: nothing was published under it."""
    first.kafka.broken = True
    assert opened(first).status_code == 503
    first.kafka.broken = False
    assert opened(first, balance=11).status_code == 202


def receipt_of(error: str | None = None) -> Receipt:
    receipt = Receipt("account", "account.open", "a1", ID)
    receipt.error = error
    return receipt


def test_a_key_whose_event_did_not_arrive_is_free() -> None:
    """The broker said so; one that may still arrive keeps its key."""
    keys = IdempotencyKeys(lambda _: None)
    lost = keys.once("k1", ID, b"one", lambda: receipt_of())
    with pytest.raises(Exception, match="came before with another event"):
        keys.once("k1", ID, b"two", lambda: receipt_of())
    lost.error = "the broker would not have it"
    found = keys.once("k1", ID, b"two", lambda: receipt_of())
    assert found is not lost
    assert keys.once("k1", ID, b"two", lambda: receipt_of("not asked")) is found


@pytest.mark.parametrize("error", [BrokerError, OutcomeTimeout])
def test_what_publishing_raises_frees_a_key(error: type[Exception]) -> None:
    """Whatever it was, there is no receipt to give again."""
    keys = IdempotencyKeys(lambda _: None)

    def fail() -> Receipt:
        raise error("not now")

    with pytest.raises(error):
        keys.once("k1", ID, b"one", fail)
    assert keys.once("k1", ID, b"two", lambda: receipt_of()).id == ID


def test_who_waited_for_a_key_that_is_held_waits_no_longer() -> None:
    """Each would wait as long as the first, one after the other; who comes later may ask again."""
    asked, go_on = threading.Event(), threading.Event()

    def first(_id: str, _digest: bytes, publish: Callable[[], Receipt]) -> Receipt:
        if not asked.is_set():
            asked.set()
            go_on.wait()
            raise KeyHeld("another process has it")
        return publish()

    keys, heard = IdempotencyKeys(lambda _: None, first=first), list[str]()

    def ask() -> None:
        try:
            keys.once("k1", ID, b"one", lambda: receipt_of())
        except KeyHeld as error:
            heard.append(str(error))

    asking = [threading.Thread(target=ask) for _ in range(3)]
    asking[0].start()
    asked.wait()
    for thread in asking[1:]:
        thread.start()
    time.sleep(0.1)  # they wait
    go_on.set()
    for thread in asking:
        thread.join()
    assert heard == ["another process has it"] * 3
    assert keys.once("k1", ID, b"one", lambda: receipt_of()).id == ID


LOG = LogHeader(1, 0, 7, "accepted", "f")
ASIDE = ParkedHeader(PARKED, "why", "", "a1", "account-inbox", 0, 7, 0, time=0)


@pytest.mark.parametrize("kind", ["log", "parked"])
@pytest.mark.parametrize("source", [SOURCE, "//till"])
def test_keys_are_read_from_logs_and_from_what_is_parked(first: MemoryServer, kind: str, source: str) -> None:
    """With inbox offset, contents and expected version. What other sources sent is no use of a key."""
    logs = first.kafka.logs
    value = codec_of(bank.app()).encode(AccountOpen(account="a1", balance=10))
    headers = [("ce_id", ID.encode()), ("ce_source", source.encode()), ("ce_type", b"account.open")]
    headers += [("ce_expectedversion", b"3"), pack(LOG if kind == "log" else ASIDE)]
    message = Message(topic="t", partition=0, offset=0, key=b"7", value=value, headers=headers)
    (logs.take if kind == "log" else logs.take_parked)(("account", 0), message)
    logs.flush()
    first.kafka.commit()
    sent = first.model.sent(ID)
    if source != SOURCE:
        assert sent is None
        return
    assert sent is not None
    assert (sent.receipt.namespace, sent.receipt.partition, sent.receipt.offset) == ("account", 0, 7)
    assert (sent.receipt.key, sent.digest) == ("a1", digest_of(value, 3))
