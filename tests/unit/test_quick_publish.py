"""The quick way to publish over HTTP answers what the careful one answers."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp, Message

from streams.engine.attributes import TRACEPARENT
from streams.server.http import application, requests, write
from streams.server.http.problems import Problem
from streams.server.http.quick_publish import NOT_READ, quick_head
from tests.applications import bank
from tests.applications.bank.events import AccountOpen
from tests.support.cases import cases
from tests.support.memory_server import MemoryServer
from tests.support.tokens import bearer, write_tokens

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
JSON, CLOUD_EVENT = ("Content-Type", requests.JSON), ("Content-Type", requests.CLOUD_EVENT)
HEADERS: list[list[tuple[str, str]]] = [
    [JSON], [CLOUD_EVENT], [], [JSON, JSON], [("Content-Type", "Application/JSON ; charset=utf-8")],
    [("Content-Type", "text/plain")],
    [("Content-Type", "application/json; charset=utf-8")], [("Content-Type", "application/json; charset=latin-1")],
    [JSON, ("Prefer", "wait=5")], [JSON, ("Prefer", "wait=5"), ("Prefer", "wait=6")], [JSON, ("Prefer", "respond-async, wait=5")],
    [JSON, ("Prefer", 'wait="5"')], [JSON, ("Prefer", "wait=1e3")], [JSON, ("Prefer", "wait=99.5")], [JSON, ("Prefer", "WAIT=5")],
    [JSON, ("traceparent", TRACE)], [JSON, ("traceparent", TRACE), ("traceparent", TRACE)], [JSON, ("traceparent", "none")],
    [JSON, ("Idempotency-Key", "k")], [JSON, ("Idempotency-Key", "k"), ("Idempotency-Key", "l")], [JSON, ("Idempotency-Key", "")],
    [JSON, ("If-Match", '"0"')], [JSON, ("If-None-Match", "*")], [JSON, ("If-Match", '"7"'), ("Prefer", "wait=5")],
    [JSON, ("ce-id", "1")], [JSON, ("X-Own", "1")],
    [JSON, ("Accept", "text/html")], [JSON, ("Accept", "text/event-stream")], [JSON, ("Sec-Fetch-Site", "cross-site")],
    [JSON, ("Origin", "http://elsewhere.example")], [JSON, ("Sec-Fetch-Site", "same-origin"), ("Cookie", "a=b")],
    [JSON, ("Host", "elsewhere.example")], [JSON, ("Authorization", "Bearer wrong")],
]  # fmt: skip
ACCOUNT = {"account": "a", "balance": 1}
EVENT = {"specversion": "1.0", "type": "account.open", "source": "/test", "id": "e1", "data": ACCOUNT}
BODIES = [
    json.dumps(ACCOUNT), json.dumps({"balance": "1", "account": "a"}), '{"account":"a","account":"b","balance":1}', "{", "[]", "",
    "\xff",
    '{"account":"a:b","balance":1}', '{"account":"a","balance":1e400}', '{"account":"","balance":1}', '{"account":"a"}',
    json.dumps({**ACCOUNT, "more": "x" * write.SMALL}), json.dumps(EVENT), json.dumps({**EVENT, "time": "2026-01-31T12:00:00Z"}),
    json.dumps({**EVENT, "traceparent": TRACE, "expectedversion": 0, "id": "e2"}), json.dumps({**EVENT, "subject": "b"}),
]  # fmt: skip
PATHS = ["/events/account.open", "/events/account%2Eopen", "/events/account.open?", "/events/account.open?a=1", "/events/none.such"]


def everything() -> Iterator[tuple[str, list[tuple[str, str]], str]]:
    yield from product(PATHS[:1], HEADERS, BODIES)
    yield from product(PATHS[1:], HEADERS[:1], BODIES[:2])


def answered(server: MemoryServer) -> list[Any]:
    """What is answered to each, what was published, and what was counted."""
    found: list[Any] = []
    for number, (path, headers, text) in enumerate(everything()):
        body = text.replace('"a"', f'"a{number}"')
        answer = server.http.post(path, headers=headers, content=body.encode("latin-1"))
        shown = {name: value for name, value in answer.headers.items() if name != "date"}
        found.append((path, headers, body, answer.status_code, shown, _without_times(answer)))
    counted = server.http.get("/-/metrics").text.splitlines()
    found += [line for line in counted if line.startswith(("retold_http_requests_total", "retold_http_seconds_count"))]
    return [*found, *server.kafka.published]


def _without_times(answer: httpx.Response) -> Any:
    value = answer.json()
    return {**value, "recorded": None} if "recorded" in value else value


def careful(app: ASGIApp, **_: object) -> ASGIApp:
    """In place of the quick way: nothing."""
    return app


def test_both_ways_answer_and_publish_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of right and wrong bodies, with every header that means something to either, each also twice or in another form."""
    with MemoryServer(bank.app(), tmp_path / "quick") as server:
        quick = answered(server)
    monkeypatch.setattr(application, "QuickPublishing", careful)
    with MemoryServer(bank.app(), tmp_path / "careful") as server:
        assert quick == answered(server)
    statuses = {it[3] for it in quick if isinstance(it, tuple) and len(it) == 6}
    assert {200, 202, 400, 403, 404, 412, 415, 421, 422} <= statuses


def test_the_usual_request_goes_the_quick_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of a careful one is asked for it; without the right to publish it goes there, to be refused."""

    async def publish(_: object) -> None:
        raise Problem(418, "this is the careful way")

    monkeypatch.setattr(write, "publish", publish)
    monkeypatch.setattr(write.EventEndpoint, "publish", publish)
    tokens = write_tokens(tmp_path / "tokens", {"web": {"publish": ["account.*"]}, "reader": {"read": ["*"]}})
    with MemoryServer(bank.app(), tmp_path, http_tokens=str(tokens)) as server:
        usual = {**bearer("web"), "Accept": "*/*", "traceparent": TRACE, "Origin": "null", "Sec-Fetch-Site": "same-origin"}
        for number, (more, status) in enumerate((({}, 202), ({"Prefer": "wait=5"}, 200))):
            data = {"account": f"a{number}", "balance": 1}
            answer = server.http.post("/events/account.open", json=data, headers=usual | more)
            assert answer.status_code == status, answer.text
        assert [given["traceparent"] for _, given in server.kafka.published] == [TRACE] * 2
        assert server.http.post("/events/account.open", json=ACCOUNT, headers=bearer("reader")).status_code == 403
        assert server.http.post("/events/account.open", json=ACCOUNT).status_code == 401


def test_one_that_waits_is_refused_while_nothing_is_known(tmp_path: Path) -> None:
    """Also in the quick way."""
    with MemoryServer(bank.app(), tmp_path) as server:
        server.kafka.tell(waits="the tables are being read")
        answer = server.http.post("/events/account.open", json=ACCOUNT, headers={"Prefer": "wait=5"})
        assert (answer.status_code, server.kafka.published) == (503, [])
        assert server.http.post("/events/account.open", json=ACCOUNT).status_code == 202


def test_a_body_in_pieces_is_read_whole(tmp_path: Path) -> None:
    """What the quick way has received of it is given to the careful one; a client that leaves in the middle publishes nothing."""
    text = json.dumps({"account": "a", "balance": 12}).encode()
    pieces = [{"type": "http.request", "body": text[at : at + 5], "more_body": at + 5 < len(text)} for at in range(0, len(text), 5)]
    with MemoryServer(bank.app(), tmp_path) as server:
        assert asyncio.run(_asked(server, [*pieces[:3], {"type": "http.disconnect"}])) == []
        assert asyncio.run(_asked(server, [{"type": "http.disconnect"}])) == []
        assert server.kafka.published == []
        assert asyncio.run(_asked(server, pieces)) == [202]
        assert [data.balance for data, _ in server.kafka.published if isinstance(data, AccountOpen)] == [12]


async def _asked(server: MemoryServer, messages: list[Message]) -> list[int]:
    """The statuses of the answer to these messages of one request."""
    scope = {
        "type": "http", "method": "POST", "path": "/events/account.open", "raw_path": b"/events/account.open", "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/json")], "scheme": "http", "root_path": "",
    }  # fmt: skip
    left, statuses = iter(messages), list[int]()

    async def receive() -> Message:
        return next(left)

    async def send(message: Message) -> None:
        if "status" in message:
            statuses.append(message["status"])

    await application.http_app(server.parts)(scope, receive, send)
    return statuses


def test_a_limit_below_that_of_small_bodies_counts(tmp_path: Path) -> None:
    """The quick way takes no more than a setting says."""
    with MemoryServer(bank.app(), tmp_path, max_event_bytes="1024") as server:
        large = {"account": "a" * 1_100, "balance": 1}
        assert server.http.post("/events/account.open", json=large).status_code == 413


def test_headers_that_publishing_reads_are_left_to_the_careful_way() -> None:
    """And those that nobody knows."""
    usual = [(b"content-type", b"application/json"), *((name, b"x") for name in NOT_READ)]
    assert quick_head(usual) is not None
    for name in (b"idempotency-key", b"if-match", b"if-none-match", b"ce-type", b"expect", b"transfer-encoding", b"x-own"):
        assert quick_head([*usual, (name, b"1")]) is None
    assert TRACEPARENT.fullmatch(TRACE)


ATOMS = [
    b'"a"', b'"b"', b":", b",", b"{", b"}", b"[", b"]", b"1", b"1.5", b"1e400", b"1e-400", b'"a:b"', b" ", b'"\\u0061"',
    b'"\\ud800"',
    b'"\xff"', b"true", b"null", b"NaN", b"99999999999999999999999", b'"\\""', b"\x00",
]  # fmt: skip
FORMS = [b"{%b:%b}", b"{%b:%b,%b:%b}", b"{%b:%b,%b:{%b:%b}}", b"{%b:%b,%b:[%b,%b]}", b"{%b :%b , %b: %b}"]


def test_json_that_is_seen_to_be_plain_needs_no_closer_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of random bodies: what is read of them, or why they are refused, is the same with a closer look at each."""
    chosen = random.Random(7)
    forms = [chosen.choice(FORMS) for _ in range(cases(4_000))]
    bodies = [form % tuple(chosen.choice(ATOMS) for _ in range(form.count(b"%b"))) for form in forms]
    quick = [_read(body) for body in bodies]
    assert sum(requests._is_plain(value, body) for value, body in zip(quick, bodies, strict=True)) > 30
    monkeypatch.setattr(requests, "_is_plain", lambda *_: False)
    assert repr(quick) == repr([_read(body) for body in bodies])


def _read(body: bytes) -> Any:
    try:
        return requests.read_json(body)
    except Problem as problem:
        return problem.status, problem.detail, problem.field
