"""gRPC: what it answers is what HTTP answers, with the same rights; its errors, its bounds, and that it frees what it holds."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from streams import App, Event, Outcome, Rejected
from streams.engine.records import REASON_LIMIT
from streams.errors import ConfigError
from streams.server.connections import ConnectionLimits
from streams.server.http.stream_spec import ROW_EVENTS
from streams.server.readmodel.row_writer import UnreadableRow
from streams.server.rpc import retold_pb2 as it
from streams.server.rpc.rpc_certificate import RpcCertificate
from streams.server.rpc.rpc_errors import code_of
from streams.server.rpc.rpc_groups import EventGroups
from streams.server.rpc.rpc_messages import KINDS
from streams.server.rpc_port import check_rpc_port
from tests.applications import counted, shop
from tests.applications.bank.events import AccountOpen, AccountRow
from tests.applications.one import app_of
from tests.support.certificates import certificate
from tests.support.http2_client import Http2Client
from tests.support.memory_server import MemoryServer
from tests.support.ports import free_port
from tests.support.tokens import bearer, write_tokens
from tests.support.workers import settings, until
from tests.unit.test_server_errors import ORDER
from tests.unit.test_unbuilt_rows import KEPT, mark

ROOT = Path(__file__).parents[2]
SERVICE = "retold.v1.Retold"
CSV = {"_form": "csv"}
SNAPSHOT = {"_from": "snapshot"}
HEALTH = "grpc.health.v1.Health/Check"
REFLECTION = "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
A1 = {"sku": "A1", "quantity": 5, "price": 300}


class Stub:
    """Calls of the service, named as it names them."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel

    def __getattr__(self, name: str) -> Any:
        method: Any = it.DESCRIPTOR.services_by_name["Retold"].methods_by_name[name]
        kinds = {(False, False): "unary_unary", (False, True): "unary_stream", (True, True): "stream_stream"}
        make = getattr(self._channel, kinds[method.client_streaming, method.server_streaming])
        return make(f"/{SERVICE}/{name}", lambda asked: asked.SerializeToString(), getattr(it, method.output_type.name).FromString)


class Served(NamedTuple):
    server: MemoryServer
    channel: grpc.Channel
    call: Stub


@contextmanager
def serving(folder: Path, app: App | None = None, **given: Any) -> Iterator[Served]:
    port = free_port()
    with MemoryServer(app or shop.app(), folder, grpc_port=str(port), **given) as server, dialled(port) as channel:
        yield Served(server, channel, Stub(channel))


def dialled(port: int | None) -> grpc.Channel:
    return grpc.insecure_channel(f"127.0.0.1:{port}")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serving(tmp_path) as served:
        yield served


def place(call: Stub, type: str, data: dict[str, Any], **more: Any) -> Any:
    return call.Publish(it.PublishRequest(type=type, data=json.dumps(data).encode(), **more), timeout=20)


class Failed(NamedTuple):
    code: grpc.StatusCode
    sentence: str
    reason: str
    about: dict[str, str]
    details: list[Any]


def failed(call: Callable[[], Any]) -> Failed:
    """The error of a call, as a client of any language reads it."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    error: Any = caught.value
    found = dict(error.trailing_metadata() or ())
    status = Status.FromString(found["grpc-status-details-bin"])
    assert (status.code, status.message) == (error.code().value[0], error.details())
    info = ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.domain == "retold"
    return Failed(error.code(), error.details(), info.reason, dict(info.metadata), list(status.details[1:]))


def test_events_go_in_and_rows_come_out(served: Served) -> None:
    """The row is that of HTTP; the position of the one answer is that for which the other waits."""
    reply = place(served.call, "stock.receive", A1, wait_seconds=5, idempotency_key="k")
    assert (reply.type, reply.key, reply.namespace, reply.outcome) == ("stock.receive", "A1", "stock", "accepted")
    again = place(served.call, "stock.receive", A1, idempotency_key="k")
    assert (again.id, again.offset, again.outcome) == (reply.id, reply.offset, "")
    row = served.call.Get(it.GetRequest(table="rows/stock", key="A1", query={"_min_position": reply.position}))
    told = served.server.http.get("/rows/stock/A1").json()
    assert (row.key, row.version, json.loads(row.row), row.position) == ("A1", 1, told["row"], reply.position)


def test_a_list_takes_what_an_address_takes(served: Served) -> None:
    """Conditions, an order, pages, fields, counts."""
    for n in range(5):
        place(served.call, "stock.receive", {**A1, "sku": f"A{n}", "quantity": n + 1}, wait_seconds=5)
    query = {"free__gt": "1", "_sort": "-free", "_limit": "3", "_select": "free"}
    first = served.call.List(it.ListRequest(table="rows/stock", query={**query, "_count": "exact"}))
    assert [(row.key, json.loads(row.row)) for row in first.rows] == [("A4", {"free": 5}), ("A3", {"free": 4}), ("A2", {"free": 3})]
    assert (first.count, first.position) == (4, "stock-0:5")
    assert json.loads(first.answer)["more"] is False
    second = served.call.List(it.ListRequest(table="rows/stock", query={**query, "_next": first.next}))
    assert ([row.key for row in second.rows], second.next, second.HasField("count"), second.answer) == (["A1"], "", False, b"")
    assert not served.call.List(it.ListRequest(table="projections/orders_per_day")).rows


def test_many_events_are_answered_one_by_one(served: Served) -> None:
    """In their order, each when it is sent; one that is refused has its failure, and ends nothing."""
    told: list[Any] = []
    wanted = [A1, {"sku": "A1"}, {**A1, "quantity": 6}]

    def asked() -> Iterator[Any]:
        for n, data in enumerate(wanted):
            until(lambda n=n: len(told) == n, "the one before is not answered")  # type: ignore[misc]  # mypy cannot infer it
            yield it.PublishRequest(type="stock.receive", data=json.dumps(data).encode(), wait_seconds=5)

    told.extend(served.call.PublishMany(asked(), timeout=60))
    assert [reply.outcome for reply in told] == ["accepted", "", "accepted"]
    assert [(reply.failure.code, reply.failure.field) for reply in told] == [(0, ""), (3, "quantity"), (0, "")]
    assert served.server.http.get("/rows/stock/A1").json()["row"]["free"] == 11


def test_events_that_come_fast_are_published_together(served: Served) -> None:
    """In their order, each with its reply; what a batch cannot say goes by itself, at its place."""
    events = [it.PublishRequest(type="stock.receive", data=json.dumps({**A1, "quantity": n + 1}).encode()) for n in range(300)]
    events[100].idempotency_key = "k"
    events[150].data = b"no JSON"
    events[200].data = json.dumps({**A1, "quantity": 201}, indent=1).encode()
    events[250].expected_version = 7
    events[260].data = b'{"sku": "A1"}'
    replies = [*served.call.PublishMany(iter(events), timeout=120)]
    refused = {150: grpc.StatusCode.INVALID_ARGUMENT, 260: grpc.StatusCode.INVALID_ARGUMENT}
    assert {n: it.failure.code for n, it in enumerate(replies) if it.failure.code} == {n: it.value[0] for n, it in refused.items()}
    published = [data.quantity for data, _ in served.server.kafka.published]  # type: ignore[attr-defined]  # they are of one type
    assert published == [n + 1 for n in range(300) if n not in refused]
    assert [it.offset for n, it in enumerate(replies) if n not in refused] == [*range(298)]
    assert [given["version"] for _, given in served.server.kafka.published].count(7) == 1
    again = it.PublishRequest(type="stock.receive", data=events[100].data, idempotency_key="k")
    assert [reply.id for reply in served.call.PublishMany(iter([again]))] == [replies[100].id]
    told = served.server.http.get("/-/metrics").text
    requests = float(re.search(r'retold_http_requests_total\{method="POST",route="/events",status="202"\} ([0-9.]+)', told)[1])  # type: ignore[index]  # it is there
    assert requests < 50


def test_a_stream_of_events_does_not_end_well_before_its_end(served: Served) -> None:
    """An event that is no message ends it with an error, behind the replies to those before it."""
    event = it.PublishRequest(type="stock.receive", data=json.dumps(A1).encode()).SerializeToString()
    publish_many = served.channel.stream_stream(f"/{SERVICE}/PublishMany", bytes, it.PublishReply.FromString)
    replies = publish_many(iter([event, b"\xff\xff", event]), timeout=20)
    assert next(replies).offset == 0
    assert failed(lambda: next(replies)).code == grpc.StatusCode.INVALID_ARGUMENT
    assert len(served.server.kafka.published) == 1


def test_a_stream_of_events_waits_for_outcomes_together(served: Served) -> None:
    """With the position of each."""
    events = [it.PublishRequest(type="stock.receive", data=json.dumps(A1).encode(), wait_seconds=5) for _ in range(20)]
    replies = [*served.call.PublishMany(iter(events), timeout=120)]
    assert [(reply.outcome, reply.position) for reply in replies] == [("accepted", f"stock-0:{n + 1}") for n in range(20)]


def test_what_is_wrong_is_an_error_with_its_kind(served: Served) -> None:
    """The code, the sentence of HTTP, the type of the problem, the field."""
    place(served.call, "stock.receive", A1, wait_seconds=5)
    moved = failed(lambda: place(served.call, "stock.receive", A1, wait_seconds=5, expected_version=0))
    assert moved.code == grpc.StatusCode.ABORTED
    place(served.call, "order.place", ORDER, wait_seconds=5)
    rejected = failed(lambda: place(served.call, "order.place", ORDER, wait_seconds=5))
    receipt = it.PublishReply()
    assert rejected.details[-1].Unpack(receipt)
    assert (rejected.code, receipt.outcome, receipt.key) == (grpc.StatusCode.FAILED_PRECONDITION, "rejected", ORDER["order"])
    wrong = failed(lambda: served.call.List(it.ListRequest(table="rows/stock", query={"fre": "1"})))
    assert (wrong.code, wrong.reason, wrong.about["type"]) == (
        grpc.StatusCode.INVALID_ARGUMENT, "UNKNOWN_FIELD", "/-/problems/unknown-field"
    )  # fmt: skip
    assert wrong.sentence == served.server.http.get("/rows/stock?fre=1").json()["detail"]
    for call, code, field in (
        (lambda: served.call.Get(it.GetRequest(table="rows/stock", key="none")), grpc.StatusCode.NOT_FOUND, None),
        (lambda: served.call.Get(it.GetRequest(table="rows/stock")), grpc.StatusCode.INVALID_ARGUMENT, "key"),
        (lambda: served.call.Get(it.GetRequest(table="-/status", key="a")), grpc.StatusCode.INVALID_ARGUMENT, "table"),
        (lambda: served.call.List(it.ListRequest(table="rows/stock", query=CSV)), grpc.StatusCode.INVALID_ARGUMENT, "_form"),
        (lambda: place(served.call, "order.place", {"order": "o2"}), grpc.StatusCode.INVALID_ARGUMENT, "customer"),
        (lambda: place(served.call, "no.event", {}), grpc.StatusCode.NOT_FOUND, None),
        (lambda: next(served.call.Watch(it.WatchRequest(namespace="../x"))), grpc.StatusCode.INVALID_ARGUMENT, "namespace"),
        (lambda: next(served.call.Watch(it.WatchRequest(query={"_from": "x"}))), grpc.StatusCode.INVALID_ARGUMENT, "_from"),
    ):
        found = failed(call)
        assert (found.code, found.about.get("field")) == (code, field), found


@pytest.mark.parametrize("letter", ["x", "%", "ä", "日"])
def test_a_long_reason_in_any_letters_is_no_other_error(tmp_path: Path, letter: str) -> None:
    """A client that is sent more than 8 KiB of metadata tells of that alone; the sentence is cut, the receipt has all of it."""

    def reject(row: AccountRow | None, event: Event[AccountOpen]) -> Outcome[AccountRow]:
        raise Rejected(letter * REASON_LIMIT)

    with serving(tmp_path, app_of(reject)) as served:
        for n in range(10):  # between 8 and 16 KiB chance decides
            data = {"account": f"a{n}", "balance": 7}
            found = failed(lambda data=data: place(served.call, "account.open", data, wait_seconds=5))  # type: ignore[misc]  # mypy cannot infer it
            receipt = it.PublishReply()
            assert found.code == grpc.StatusCode.FAILED_PRECONDITION
            assert letter * 200 in found.sentence
            assert found.details[-1].Unpack(receipt)
            assert receipt.reason == letter * REASON_LIMIT


def test_a_fault_that_passes_says_when_to_come_again(served: Served) -> None:
    """UNAVAILABLE, with RetryInfo."""
    served.server.kafka.broken = True
    found = failed(lambda: place(served.call, "stock.receive", A1))
    retry = RetryInfo()
    assert found.code == grpc.StatusCode.UNAVAILABLE
    assert found.details[0].Unpack(retry)
    assert retry.retry_delay.seconds == 1


def test_rows_of_a_generation_that_is_not_built_are_unavailable(tmp_path: Path) -> None:
    """One, a list and a stream, with the reason and when to come again."""
    with serving(tmp_path, counted.second()) as served:
        served.server.kafka.take_of_table("account", mark(1, 5))
        calls = (
            lambda: served.call.Get(it.GetRequest(table="rows/account", key="a")),
            lambda: served.call.List(it.ListRequest(table="rows/account")),
            lambda: next(served.call.WatchRows(it.WatchRowsRequest(table="rows/account", query=SNAPSHOT))),
        )
        for found in map(failed, calls):
            assert (found.code, found.reason) == (grpc.StatusCode.UNAVAILABLE, "ROWS_NOT_BUILT")
            assert (KEPT in found.sentence, len(found.details)) == (True, 1)


def test_rows_and_the_log_are_followed(served: Served) -> None:
    """First what was there, then each change; after a break from the last place on."""
    place(served.call, "stock.receive", A1, wait_seconds=5)
    query = {"free__lt": "10", "_from": "snapshot"}
    with closing_call(served.call.WatchRows(it.WatchRowsRequest(table="rows/stock", query=query), timeout=60)) as rows:
        first, ready = next(rows), next(rows)
        assert (first.kind, first.key, first.version, json.loads(first.row)["free"]) == (it.RowChange.PUT, "A1", 1, 5)
        assert (ready.kind, bool(ready.place)) == (it.RowChange.READY, True)
        place(served.call, "stock.receive", {**A1, "quantity": 20}, wait_seconds=5)
        gone = next(rows)
        assert (gone.kind, gone.key) == (it.RowChange.GONE, "A1")
    with closing_call(served.call.Watch(it.WatchRequest(namespace="stock", query={"_from": "beginning"}), timeout=60)) as log:
        events = [event for event in (next(log), next(log), next(log)) if event.type]
        assert [(event.position, event.outcome, json.loads(event.data)["quantity"]) for event in events] == [
            ("stock-0:1", "accepted", 5), ("stock-0:2", "accepted", 20)
        ]  # fmt: skip
    place(served.call, "stock.receive", {**A1, "sku": "B"}, wait_seconds=5)
    with closing_call(served.call.Watch(it.WatchRequest(after=f"order-0:0,payment-0:0,{events[0].place}"), timeout=60)) as log:
        assert [event.position for event in (next(log), next(log), next(log)) if event.type] == ["stock-0:2", "stock-0:3"]


class closing_call:  # noqa: N801 - as `closing`
    def __init__(self, call: Any) -> None:
        self._call = call

    def __enter__(self) -> Any:
        return self._call

    def __exit__(self, *_: object) -> None:
        self._call.cancel()


def test_a_token_has_the_rights_that_it_has_over_http(tmp_path: Path) -> None:
    """Each call is checked; a stream ends with its token. Health and reflection need none."""
    file = tmp_path / "tokens.toml"
    write_tokens(file, {"stocks": {"read": ["rows/stock"], "publish": ["stock.*"]}})
    with serving(tmp_path / "s", http_tokens=str(file)) as served:
        shown = (("authorization", bearer("stocks")["Authorization"]),)
        asked = it.ListRequest(table="rows/stock")
        assert failed(lambda: served.call.List(asked)).code == grpc.StatusCode.UNAUTHENTICATED
        assert failed(lambda: next(served.call.PublishMany(iter([it.PublishRequest()])))).code == grpc.StatusCode.UNAUTHENTICATED
        assert served.call.List(asked, metadata=shown).position == "stock-0:0"
        missing = failed(lambda: served.call.List(it.ListRequest(table="rows/order"), metadata=shown))
        assert (missing.code, missing.reason) == (grpc.StatusCode.PERMISSION_DENIED, "MISSING_RIGHT")
        rows = served.call.WatchRows(it.WatchRowsRequest(table="rows/stock", query=SNAPSHOT), metadata=shown, timeout=60)
        assert next(rows).kind == it.RowChange.READY
        assert {each.holder for each in served.server.parts.watching} == {"stocks"}
        write_tokens(file, {"other": {}})
        assert failed(lambda: next(rows)).code == grpc.StatusCode.UNAUTHENTICATED
        assert healthy(served.channel, "") == health_pb2.HealthCheckResponse.SERVING


def healthy(channel: grpc.Channel, service: str) -> int:
    return int(health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service)).status)


def test_a_row_that_does_not_read_is_told_as_such(served: Served) -> None:
    """It is not gone, and the reason is told: a kind for each event that a stream of rows has."""
    place(served.call, "stock.receive", A1, wait_seconds=5)
    with closing_call(served.call.WatchRows(it.WatchRowsRequest(table="rows/stock", query=SNAPSHOT), timeout=60)) as rows:
        assert [next(rows).kind for _ in range(2)] == [it.RowChange.PUT, it.RowChange.READY]
        served.server.kafka.put_row("stock", "A1", UnreadableRow("nobody here knows the schema id 7"), 2)
        told = next(rows)
        assert (told.kind, told.key, told.problem) == (it.RowChange.UNREADABLE, "A1", "nobody here knows the schema id 7")
    assert {name.decode() for name in KINDS} == {*ROW_EVENTS}


def test_tools_find_out_what_there_is(served: Served) -> None:
    """By reflection: the services and their messages. Health says whether the server can answer."""
    pool = ProtoReflectionDescriptorDatabase(served.channel)
    assert {SERVICE, "grpc.health.v1.Health"} <= set(pool.get_services())
    found = DescriptorPool(pool).FindServiceByName(SERVICE)
    assert [method.name for method in found.methods] == ["Publish", "PublishMany", "Get", "List", "Watch", "WatchRows"]
    assert healthy(served.channel, SERVICE) == health_pb2.HealthCheckResponse.SERVING
    served.server.kafka.tell(behind="it reads")
    assert healthy(served.channel, SERVICE) == health_pb2.HealthCheckResponse.NOT_SERVING


def test_reflection_is_held_by_nobody(tmp_path: Path) -> None:
    """It needs no token, and ends by itself."""
    with serving(tmp_path, limits=ConnectionLimits(body_seconds=0.5)) as served:
        asked, may_end = reflection_pb2.ServerReflectionRequest(list_services=""), threading.Event()

        def asking() -> Iterator[Any]:
            yield asked
            may_end.wait(30)

        began = time.monotonic()
        answers = reflection_pb2_grpc.ServerReflectionStub(served.channel).ServerReflectionInfo(asking(), timeout=60)
        assert len([*answers]) == 1
        assert time.monotonic() - began < 20
        may_end.set()


@pytest.mark.parametrize("method", ["retold.v1.Retold/PublishMany", "retold.v1.Retold/Get", "retold.v1.Retold/Watch", HEALTH])
def test_calls_are_held_by_nobody_without_a_token(tmp_path: Path, method: str) -> None:
    """Who sends no message is told so after the time of a body, or at once; others are answered."""
    may_end, limits = threading.Event(), ConnectionLimits(body_seconds=0.5)
    given = dict[str, Any](token="t" * 32, http_connections="8", limits=limits)

    def silence() -> Iterator[Any]:
        may_end.wait(30)
        yield from ()

    with serving(tmp_path, **given) as served, dialled(served.server.config.grpc_port) as others:
        held = [others.stream_stream(f"/{method}", bytes, bytes)(silence(), timeout=60) for _ in range(8)]
        sent = it.PublishRequest(type="stock.receive", data=json.dumps(A1).encode())

        def is_published() -> bool:
            with suppress(grpc.RpcError):
                return bool(served.call.Publish(sent, metadata=(("authorization", f"Bearer {'t' * 32}"),), timeout=10).key)
            return False

        until(is_published, "no call is taken", seconds=10)
        expected = grpc.StatusCode.DEADLINE_EXCEEDED if method == HEALTH else grpc.StatusCode.UNAUTHENTICATED
        until(lambda: all(call.done() for call in held), "they are held", seconds=10)
        assert expected in {call.code() for call in held} <= {expected, grpc.StatusCode.RESOURCE_EXHAUSTED}, "ours was first"
        may_end.set()


@pytest.mark.parametrize("method", ["retold.v1.Retold/Get", "retold.v1.Retold/Watch", HEALTH, REFLECTION])
def test_calls_without_a_token_leave_room_for_others(tmp_path: Path, method: str) -> None:
    """However long a body may take: who shows no token is refused before the message, or may hold a quarter of all calls."""
    may_end, token = threading.Event(), "t" * 32
    shown = (("authorization", f"Bearer {token}"),)
    given = dict[str, Any](token=token, http_connections="8", limits=ConnectionLimits(body_seconds=60.0))

    def late(seconds: float, *sent: Any) -> Iterator[Any]:
        may_end.wait(seconds)
        yield from sent

    with serving(tmp_path, **given) as served, dialled(served.server.config.grpc_port) as others:
        held = [others.stream_stream(f"/{method}", bytes, bytes)(late(60), timeout=60) for _ in range(8)]
        most = 0 if method.startswith(SERVICE) else 2
        until(lambda: sum(call.is_active() for call in held) == most, "more are held, or less", seconds=10)
        serving_still = health_pb2.HealthCheckResponse.SERVING  # a call that was refused holds its place for a moment longer
        until(lambda: healthy(served.channel, "") == serving_still, "others have no room", seconds=10, despite=grpc.RpcError)
        asked = it.ListRequest(table="rows/stock").SerializeToString()
        slow = served.channel.stream_unary(f"/{SERVICE}/List", bytes, it.ListReply.FromString)
        assert slow(late(1.0, asked), metadata=shown, timeout=20).position == "stock-0:0"
        with pytest.raises(grpc.RpcError) as caught:
            slow(late(1.0, asked), timeout=20)
        assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED  # type: ignore[attr-defined]  # it is a call, too
        may_end.set()


def test_a_call_whose_message_does_not_read_is_wrong(served: Served) -> None:
    """Over every method; the server's own words are not told."""
    for name in ("Publish", "Get", "List", "Watch", "WatchRows"):
        call = served.channel.stream_stream(f"/{SERVICE}/{name}", bytes, bytes)
        found = failed(lambda call=call: [*call(iter([b"\xff\xff"]), timeout=20)])  # type: ignore[misc]  # mypy cannot infer it
        assert (found.code, "is no message" in found.sentence) == (grpc.StatusCode.INVALID_ARGUMENT, True)


def test_who_goes_away_frees_what_the_call_held(served: Served) -> None:
    """Whether the client cancels, its time is over, or its connection ends."""
    asked = it.WatchRowsRequest(table="rows/stock", query=SNAPSHOT)
    first = served.call.WatchRows(asked)
    next(first)
    second = served.call.Watch(it.WatchRequest(), timeout=1.0)
    next(second)
    until(lambda: len(served.server.parts.watching) == 2, "they do not watch")
    first.cancel()
    until(lambda: len(served.server.parts.watching) == 1, "it is not freed")
    with pytest.raises(grpc.RpcError) as caught:
        next(second)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED  # type: ignore[attr-defined]  # it is a call, too
    until(lambda: not served.server.parts.watching, "it is not freed")
    served.server.kafka.held = True
    began = time.monotonic()
    with pytest.raises(grpc.RpcError):
        served.call.Publish(it.PublishRequest(type="stock.receive", data=json.dumps(A1).encode(), wait_seconds=60), timeout=0.5)
    assert time.monotonic() - began < 10
    channel = dialled(served.server.config.grpc_port)
    next(Stub(channel).WatchRows(asked))
    until(lambda: len(served.server.parts.watching) == 1, "it does not watch")
    channel.close()
    until(lambda: not served.server.parts.watching, "it is not freed")


def test_an_event_that_is_too_large_ends_no_stream(tmp_path: Path) -> None:
    """Its reply has the failure, alone and behind others; only a message of twice the size ends the call, before it is read."""
    large = it.PublishRequest(type="stock.receive", data=json.dumps(A1).encode().ljust(20_001))
    good = it.PublishRequest(type="stock.receive", data=json.dumps(A1).encode())
    with serving(tmp_path, max_event_bytes="20000") as served:
        replies = [*served.call.PublishMany(iter([large, good, good, large, good]), timeout=60)]
        twice = it.PublishRequest(type="stock.receive", data=bytes(50_000))
        with pytest.raises(grpc.RpcError) as caught:
            list(served.call.PublishMany(iter([twice]), timeout=20))
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED  # type: ignore[attr-defined]  # as above
    refused = grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert [each.failure.code for each in replies] == [refused, 0, 0, refused, 0]
    assert replies[0].failure == replies[3].failure
    assert "20000" in replies[0].failure.message


@pytest.mark.parametrize("seconds", [-1, math.nan, -math.inf])
def test_a_wait_that_is_none_is_refused(served: Served, seconds: float) -> None:
    """It was taken for no wait: the client would take a reply without an outcome for one that was waited for."""
    given = it.PublishRequest(type="stock.receive", data=json.dumps(A1).encode(), wait_seconds=seconds)
    wrong = failed(lambda: served.call.Publish(given, timeout=20))
    assert (wrong.code, wrong.about["field"]) == (grpc.StatusCode.INVALID_ARGUMENT, "wait_seconds")
    assert f"wait_seconds is {seconds:g}" in wrong.sentence
    [first, second] = served.call.PublishMany(iter([given, it.PublishRequest(type=given.type, data=given.data)]), timeout=20)
    assert (first.failure.field, second.failure.code) == ("wait_seconds", 0)


def test_a_message_that_is_too_large_is_refused(tmp_path: Path) -> None:
    """Before it is read whole; an event of the largest size is not."""
    with serving(tmp_path, max_event_bytes="2000") as served:
        large = {**ORDER, "customer": "c" * 1_500}
        assert place(served.call, "order.place", large).key == ORDER["order"]
        with pytest.raises(grpc.RpcError) as caught:
            place(served.call, "order.place", {**ORDER, "customer": "c" * 100_000})
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED  # type: ignore[attr-defined]  # as above


def test_a_client_that_does_not_take_a_stream_is_cut(tmp_path: Path) -> None:
    """After as long as one of HTTP has; others are answered meanwhile."""
    limits = ConnectionLimits(taken_seconds=0.5)
    with serving(tmp_path, limits=limits) as served:
        for n in range(40):
            place(served.call, "order.place", {**ORDER, "order": f"o{n}", "customer": "c" * 200_000})
        options = [("grpc.http2.lookahead_bytes", 65_536), ("grpc.http2.bdp_probe", 0)]
        with grpc.insecure_channel(f"127.0.0.1:{served.server.config.grpc_port}", options=options) as slow:
            log = Stub(slow).Watch(it.WatchRequest(namespace="order", query={"_from": "beginning"}))
            until(lambda: served.server.parts.connections.refused["reader"] == 1, "it is not cut")
            until(lambda: not served.server.parts.watching, "it is not freed")
            found = failed(lambda: [*log])
        assert (found.code, "too slowly" in found.sentence) == (grpc.StatusCode.RESOURCE_EXHAUSTED, True)


def test_who_goes_away_while_it_is_sent_something_is_no_fault(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A fault of gRPC was told as one of retold's, with its traceback, for each client that left a busy log."""
    with serving(tmp_path) as served:
        for n in range(20):
            place(served.call, "order.place", {**ORDER, "order": f"o{n}", "customer": "c" * 200_000})
        options = [("grpc.http2.lookahead_bytes", 65_536), ("grpc.http2.bdp_probe", 0)]
        for _ in range(3):
            with grpc.insecure_channel(f"127.0.0.1:{served.server.config.grpc_port}", options=options) as slow:
                log = Stub(slow).Watch(it.WatchRequest(namespace="order", query={"_from": "beginning"}))
                until(lambda: len(served.server.parts.watching) == 1, "it does not watch")
                next(log)
                log.cancel()
                until(lambda: not served.server.parts.watching, "it is not freed")
    assert not [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


def test_streams_end_when_the_server_stops(tmp_path: Path) -> None:
    """With what says that it is worth coming again."""
    with serving(tmp_path) as served:
        port = served.server.config.grpc_port
        channel = dialled(port)
        log = Stub(channel).Watch(it.WatchRequest())
        next(log)
        began = time.monotonic()
    with channel:
        assert time.monotonic() - began < 4
        assert failed(lambda: next(log)).code == grpc.StatusCode.UNAVAILABLE



class HalfWritten(RpcCertificate):
    """Its files cannot be read for a moment."""

    away = False

    def _read(self) -> grpc.ServerCertificateConfiguration:
        if self.away:
            raise FileNotFoundError("server.key")
        return super()._read()


def test_a_certificate_that_did_not_read_for_a_moment_is_read_with_the_next_connection(tmp_path: Path) -> None:
    """Its files may not change again for months, and the one before would expire meanwhile."""
    files = HalfWritten(*certificate(tmp_path))
    assert files._changed() is None
    for file, other in zip(certificate(tmp_path), certificate(tmp_path, "other"), strict=True):
        other.rename(file)
    files.away = True
    assert files._changed() is None
    files.away = False
    assert files._changed() is not None
    assert files._changed() is None


def test_it_speaks_tls_with_the_files_of_the_server(tmp_path: Path) -> None:
    """And nothing else then. Once both files are new, they count for new connections."""
    cert, key = certificate(tmp_path)
    tls = {"http_tls_cert": str(cert), "http_tls_key": str(key)}
    with serving(tmp_path / "s", **tls) as served:
        with pytest.raises(grpc.RpcError):
            served.call.List(it.ListRequest(table="rows/stock"), timeout=2)
        known = grpc.ssl_channel_credentials(cert.read_bytes())
        with grpc.secure_channel(f"localhost:{served.server.config.grpc_port}", known) as channel:
            assert Stub(channel).List(it.ListRequest(table="rows/stock"), timeout=20).position == "stock-0:0"
        other = certificate(tmp_path, "other")
        cert.write_bytes(other[0].read_bytes())
        with grpc.secure_channel(f"localhost:{served.server.config.grpc_port}", known) as channel:
            assert Stub(channel).List(it.ListRequest(table="rows/stock"), timeout=20).position == "stock-0:0"
        key.write_bytes(other[1].read_bytes())
        known = grpc.ssl_channel_credentials(other[0].read_bytes())
        with grpc.secure_channel(f"localhost:{served.server.config.grpc_port}", known) as channel:
            assert Stub(channel).List(it.ListRequest(table="rows/stock"), timeout=20).position == "stock-0:0"


def test_a_port_in_use_is_said_at_once(tmp_path: Path) -> None:
    """Two servers would share it otherwise, without a word."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        config = settings(tmp_path, "", grpc_port=str(taken.getsockname()[1]))
        with pytest.raises(ConfigError, match="RETOLD_GRPC_PORT"):
            check_rpc_port(config)
    check_rpc_port(replace(config, grpc_port=free_port()))


def test_without_the_packages_it_says_what_to_install() -> None:
    """Before anything is started; a server without gRPC loads none of them."""
    program = "import sys; sys.modules['grpc'] = None; from streams.cli import main; main()"
    asked = [sys.executable, "-c", program, "server", "--grpc-port", "5005"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert (done.returncode, "pip install 'retold[grpc]'" in done.stderr) == (3, True), done.stderr
    program = "import sys, streams.server.serve; print({'grpc', 'google', 'h2'} & sys.modules.keys())"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_the_messages_are_those_of_the_file(tmp_path: Path) -> None:
    """They are made by `make proto` and checked in, so that nobody who installs retold needs a compiler."""
    rpc, source = ROOT / "streams/server/rpc", ROOT / "streams/server"
    words = [f"-I{source}", f"--python_out={tmp_path}", f"--pyi_out={tmp_path}", str(source / "retold.proto")]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *words], check=True)
    for name in ("retold_pb2.py", "retold_pb2.pyi"):
        assert (rpc / name).read_text() == (tmp_path / name).read_text(), "run `make proto`"


@pytest.mark.parametrize("how", ["nothing", "preface", "settings", "half", "http/1"])
def test_a_connection_that_asks_nothing_is_closed(tmp_path: Path, how: str) -> None:
    """Whether its client is silent, or stops before or within a head; one that speaks HTTP/1 at once."""
    preface, sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\0\0\0\4\0\0\0\0\0"
    begins = {"preface": preface, "settings": preface + sent, "half": preface + sent + b"\0\x3e\0\1\4\0\0\0\1xx"}
    begun = how in ("settings", "half")
    limits = ConnectionLimits(head_seconds=100.0 if begun else 1.0, idle_seconds=1.0 if begun else 100.0)
    with serving(tmp_path, limits=limits) as served:
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", served.server.config.grpc_port or 0)) as raw, suppress(ConnectionError):
            raw.sendall(begins.get(how, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" if how == "http/1" else b""))
            raw.settimeout(20)
            while raw.recv(65_536):
                pass
        assert time.monotonic() - began < 15
        assert served.call.List(it.ListRequest(table="rows/stock"), timeout=20).position == "stock-0:0"


def test_a_client_that_is_gone_without_a_word_is_found_out(tmp_path: Path) -> None:
    """It answers no ping, so what its stream held is freed."""
    with serving(tmp_path, limits=ConnectionLimits(ping_seconds=1.0)) as served:
        client = Http2Client(("127.0.0.1", served.server.config.grpc_port or 0))
        list(client.events(0.3))
        headers = (("content-type", "application/grpc"), ("te", "trailers"))
        client.ask(f"/{SERVICE}/Watch", *headers, method="POST", body=b"\0\0\0\0\0")
        until(lambda: len(served.server.parts.watching) == 1, "it does not watch")
        until(lambda: not served.server.parts.watching, "it is not freed", seconds=20)
        client.socket.close()


def test_connections_are_bounded_in_all(tmp_path: Path) -> None:
    """Beyond as many as over HTTP, a new one is closed."""
    limits = ConnectionLimits(connections=5, head_seconds=600.0, idle_seconds=600.0)
    with serving(tmp_path, limits=limits) as served, ExitStack() as stack:
        address = ("127.0.0.1", served.server.config.grpc_port or 0)
        many = [stack.enter_context(socket.create_connection(address)) for _ in range(15)]

        def closed(client: socket.socket) -> bool:
            client.settimeout(0.01)
            try:
                return client.recv(65_536) == b""
            except TimeoutError:
                return False
            except ConnectionError:
                return True

        until(lambda: sum(map(closed, many)) >= 10, "more are open", seconds=10)


@pytest.mark.parametrize("field", ["type", "data", "idempotency_key"])
@pytest.mark.parametrize(("size", "most"), [(10, 100), (1_000_000, 5)])
def test_no_more_events_are_read_than_there_is_room_for(size: int, most: int, field: str) -> None:
    """A client that sends faster than they are published waits, in events and in bytes, wherever these are."""
    text = "x" * size
    pulled = 0

    async def sending() -> AsyncIterator[it.PublishRequest]:
        nonlocal pulled
        while True:
            pulled += 1
            yield it.PublishRequest(**{field: text.encode() if field == "data" else text})  # type: ignore[arg-type]  # by name

    async def watched() -> None:
        groups = EventGroups({"stock.receive"}, 1_000_000)
        reading = asyncio.create_task(groups.read(sending()))
        await asyncio.sleep(0.05)
        assert pulled == most
        first = await anext(groups.groups())
        await asyncio.sleep(0.05)
        assert (len(first), pulled) == (1, most + 1)
        reading.cancel()

    asyncio.run(watched())


def test_events_that_are_too_large_together_are_published_apart(tmp_path: Path) -> None:
    """Each may be published by itself, whatever came before it."""
    with serving(tmp_path, max_event_bytes="9000000") as served:
        sizes = [3_000_000, 8_000_000, 100, 100]
        events = [it.PublishRequest(type="stock.receive", data=json.dumps(A1).encode().ljust(size)) for size in sizes]
        first = it.PublishRequest(type="stock.receive", data=json.dumps(A1).encode(), wait_seconds=0.5)
        served.server.kafka.held = True  # so the others come while this one waits
        replies = [*served.call.PublishMany(iter([first, *events]), timeout=60)]
        assert [reply.failure.code for reply in replies[1:]] == [0] * 4


@pytest.mark.parametrize(
    ("who", "unknown", "other"), [("all", "NOT_FOUND", "INVALID_ARGUMENT"), ("stocks", "PERMISSION_DENIED", "PERMISSION_DENIED")]
)
def test_what_is_refused_is_refused_alike_alone_and_in_a_group(tmp_path: Path, who: str, unknown: str, other: str) -> None:
    """With one code, sentence, type and field, so how fast events come decides nothing."""
    file, good = tmp_path / "tokens.toml", json.dumps(A1).encode()
    write_tokens(file, {"stocks": {"publish": ["stock.*"]}, "all": {"publish": ["*"]}})
    given = (("authorization", bearer(who)["Authorization"]),)
    wrong = [
        it.PublishRequest(type="no.event", data=good), it.PublishRequest(type="", data=good),
        it.PublishRequest(type="../rows/stock", data=good), it.PublishRequest(type="t" * 100_000, data=good),
        it.PublishRequest(type="order.place", data=b"{}"),
        it.PublishRequest(type="stock.receive", data=b'{"sku": "A1"}'), it.PublishRequest(type="stock.receive", data=b"[1]"),
        it.PublishRequest(type="stock.receive", data=good, idempotency_key="k" * 1_000),
    ]  # fmt: skip
    first, last = (it.PublishRequest(type="stock.receive", data=good, wait_seconds=n) for n in (0.5, 0))
    with serving(tmp_path, http_tokens=str(file)) as served:
        alone = [next(served.call.PublishMany(iter([each]), metadata=given, timeout=20)).failure for each in wrong]
        codes = [failed(lambda each=each: served.call.Publish(each, metadata=given, timeout=20)).code for each in wrong]  # type: ignore[misc]  # mypy cannot infer it
        served.server.kafka.held = True  # so the others come while the first one waits
        mixed = [first, *(each for one in wrong for each in (last, last, one)), last]
        replies = [*served.call.PublishMany(iter(mixed), metadata=given, timeout=60)]
    assert [each.failure for each in replies[3::3]] == alone
    assert [each.code for each in alone] == [code.value[0] for code in codes]
    assert [code.name for code in codes] == [unknown, *["NOT_FOUND"] * 3, other, *["INVALID_ARGUMENT"] * 3]
    assert {each.type for each in alone if each.code == grpc.StatusCode.PERMISSION_DENIED.value[0]} <= {"/-/problems/missing-right"}
    assert not any(each.failure.code for n, each in enumerate(replies) if n % 3 and n)


def test_every_refusal_has_a_code() -> None:
    """UNKNOWN would say that nobody knows whether to send it again."""
    assert grpc.StatusCode.UNKNOWN not in {code_of(status) for status in range(400, 600)}
