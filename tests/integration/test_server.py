"""The server on a real Kafka: what is published by HTTP comes back as rows, projections, views and streams."""

from __future__ import annotations

import ctypes
import logging
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import httpx
import pytest

from streams import App, Event, Projection, Tables, View
from streams.client import LoopClient
from streams.codec import codec_of
from streams.config import Config
from streams.kafka.clients import Clients
from streams.kafka.topics import describe, ensure
from streams.listening import url_of
from streams.server.http.parts import ServerParts
from streams.server.listen import listen
from streams.server.readmodel.archive import KafkaArchive
from streams.server.readmodel.follower import TopicFollower
from streams.server.readmodel.model import ReadModel
from streams.server.serve import serve
from tests.applications import bank, shop
from tests.applications.bank.events import AccountOpen
from tests.applications.shop.events import OrdersPerDayRow
from tests.support.asked_processes import questions_in_test
from tests.support.ending import see_ended
from tests.support.inbox import Foreign
from tests.support.live import following
from tests.support.processes import Process, descendants, environment, is_there, retold
from tests.support.sse import watched
from tests.support.workers import Running, settings, until

SECONDS = 30
"""A busy machine is given time, and an outcome is reported as soon as it is known."""

WAIT = {"Prefer": f"wait={SECONDS}"}


def app() -> App:
    """The bank, with a count of the accounts that were opened with each balance, and a view of the rich."""
    openings = Projection("openings", row=OrdersPerDayRow)

    @openings.folds(AccountOpen, key=lambda event: str(event.data.balance))
    def count(row: OrdersPerDayRow | None, event: Event[AccountOpen]) -> OrdersPerDayRow:
        return OrdersPerDayRow(count=(row.count if row else 0) + 1)

    def at_least(tables: Tables, balance: str) -> list[str]:
        accounts = tables.of(bank.account)
        return sorted(key for key in accounts if (row := accounts.get(key)) and row.balance >= int(balance))

    return App(
        name="bank",
        namespaces=[bank.account, bank.transfer],
        projections=[openings],
        views=[View("at-least/{balance}", at_least)],
    )


APP = app()


class Serving:
    """A server of this process; leaving the block ends it."""

    def __init__(self, config: Config, address: str, app: App = APP) -> None:
        codec = codec_of(app)
        self.questions = questions_in_test(app, config, codec)
        clients = Clients.of(config, address)
        self.client = LoopClient(app, address, config=config)
        archive = KafkaArchive(clients, config.prefix, codec, [space.name for space in app.namespaces])
        model = ReadModel(app, codec)
        self.parts = ServerParts(app, config, codec, model, self.client, archive, self.questions)
        follower = TopicFollower(clients, config.prefix, app, codec, config.state, model.take)
        self._stop, self._answers, self._listening = threading.Event(), threading.Event(), listen(config)
        self._thread = threading.Thread(
            target=serve, args=(self.parts, clients, follower, self._listening, self._stop, self._answers), daemon=True
        )
        self.http = httpx.Client(base_url=url_of(self._listening), timeout=90.0, verify=False)

    def __enter__(self) -> Self:
        self.client.__enter__()
        self._thread.start()
        until(lambda: self._answers.is_set() and self.parts.model.behind is None, "the server has not read tables and logs")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.http.close()
        self._stop.set()
        see_ended(self._thread, "the server", error)
        self._listening.close()
        self.client.__exit__(None, None, None)
        self.parts.model.readers.open(None)  # what is forked for the next server must not know of them


@pytest.fixture
def config(tmp_path: Path, prefix: str) -> Config:
    return settings(tmp_path, prefix, http_port="0")


@pytest.fixture
def worker(config: Config, broker: str) -> Iterator[Running]:
    with Running(APP, config, broker) as worker:
        yield worker


@pytest.fixture
def serving(config: Config, broker: str, worker: Running) -> Iterator[Serving]:
    with Serving(config, broker) as serving:
        yield serving


def opened(http: httpx.Client, key: str, balance: int = 10, **headers: str) -> httpx.Response:
    return http.post("/events/account.open", json={"account": key, "balance": balance}, headers=headers)


def test_topics_that_are_not_there_yet_are_no_warning(
    config: Config, broker: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A server may start before the first worker makes them: it says what it waits for, and goes on by itself."""
    clients, codec = Clients.of(config, broker), codec_of(APP)
    model, stop = ReadModel(APP, codec), threading.Event()
    follower = TopicFollower(clients, config.prefix, APP, codec, config.state, model.take)
    thread = threading.Thread(target=follower.run, args=(stop,), daemon=True)
    thread.start()
    until(lambda: "is missing" in (model.waits or ""), "the server does not say what it waits for")
    with Running(APP, config, broker):
        until(lambda: model.waits is None, "the server did not go on")
    stop.set()
    thread.join(30)
    assert [it.message for it in caplog.records if it.name == "retold.server" and it.levelno >= logging.WARNING] == []


def test_an_outcome_is_reported_as_soon_as_it_is_known(serving: Serving) -> None:
    """Not when the wait is over: the end of a transaction wakes who waits for it."""
    opened(serving.http, "first", **WAIT)  # topics and schemas are looked up once
    began = time.monotonic()
    for n in range(5):
        assert opened(serving.http, f"a{n}", **WAIT).status_code == 200
    assert time.monotonic() - began < SECONDS  # one wait


def test_published_waited_for_and_read(serving: Serving) -> None:
    """The row is there once the outcome is reported; a second opening is refused, a stale version too."""
    http = serving.http
    got = opened(http, "a/ö", 7, **WAIT)
    assert (got.status_code, got.json()["outcome"]) == (200, "accepted")
    row = http.get("/rows/account/a%2F%C3%B6")
    assert row.json() == {"key": "a/ö", "version": 1, "row": {"balance": 7}}
    assert row.headers["retold-position"] == got.headers["retold-position"]
    assert opened(http, "a/ö", 7, **WAIT).json()["reason"] == "this account is already open"
    body = {"account": "a/ö", "transfer": "t", "amount": 1}
    assert http.post("/events/account.credit", json=body, headers={"If-Match": '"9"', **WAIT}).status_code == 412
    assert http.post("/events/account.credit", json=body, headers={"If-Match": '"1"', **WAIT}).status_code == 200


def test_filters_pages_projections_and_views(serving: Serving) -> None:
    """All of them hold what was accepted; pages together hold each row once."""
    http = serving.http
    last = [opened(http, f"a{n}", n % 3, **WAIT) for n in range(12)][-1]
    assert last.status_code == 200
    assert sorted(row["key"] for row in http.get("/rows/account?balance=1").json()["rows"]) == ["a1", "a10", "a4", "a7"]
    keys, following = [], ""
    while following is not None:
        page = http.get("/rows/account", params={"_limit": "5", **({"_next": following} if following else {})}).json()
        keys += [row["key"] for row in page["rows"]]
        following = page["next"]
    assert keys == sorted(f"a{n}" for n in range(12))
    counted = http.get("/projections/openings", params={"_min_position": last.headers["retold-position"]}).json()
    assert {row["key"]: row["row"]["count"] for row in counted["rows"]} == {"0": 4, "1": 4, "2": 4}
    assert http.get("/views/at-least/2").json()["answer"] == ["a11", "a2", "a5", "a8"]


def answers(http: httpx.Client) -> list[Any]:
    urls = ["/rows/account", "/rows/account/a3", "/projections/openings", "/views/at-least/1", "/events/account/0/0"]
    return [http.get(url).json() for url in urls]


def test_a_restarted_server_gives_the_same_answers(config: Config, broker: str, worker: Running) -> None:
    """From its file, or from Kafka if that is gone: then all is read and folded again. Streams go on where they were."""
    with Serving(config, broker) as first:
        for n in range(8):
            assert opened(first.http, f"a{n}", n % 3, **WAIT).status_code == 200
        opened(first.http, "a0", 5, **WAIT)
        before = answers(first.http)
        seen = watched(first.http, "/live/account?_from=beginning", 4)
    with Serving(config, broker) as again:
        assert answers(again.http) == before
    shutil.rmtree(config.state / "read")
    with Serving(config, broker) as second:
        assert answers(second.http) == before
        rest = watched(second.http, "/live/account", 5, **{"Last-Event-ID": seen[-1][0]})
        told = [(data["partition"], data["sequence"]) for _, data in seen + rest]
        assert sorted(told) == sorted(set(told))
        assert len(told) == 9
        again = watched(second.http, "/live/account?_from=beginning", 9)
    assert {data["id"] for _, data in again} == {data["id"] for _, data in seen + rest}


def test_a_stream_of_rows_goes_on_after_a_restart(config: Config, broker: str, worker: Running) -> None:
    """From the same file with what has changed since; with another one from the beginning, and it says so."""
    with Serving(config, broker) as first:
        for n in range(3):
            assert opened(first.http, f"a{n}", n, **WAIT).status_code == 200
        with following(first.http, "/rows/account?_from=snapshot") as stream:
            assert [(name, data.get("key")) for name, data in stream.some(4)] == [
                ("put", "a0"), ("put", "a1"), ("put", "a2"), ("ready", None),
            ]  # fmt: skip
            assert opened(first.http, "a3", 3, **WAIT).status_code == 200
            assert stream.next() == ("put", first.http.get("/rows/account/a3").json())
            place = stream.id
    with Serving(config, broker) as again:
        assert opened(again.http, "a4", 4, **WAIT).status_code == 200
        with following(again.http, "/rows/account", Last_Event_ID=place) as stream:
            assert stream.next()[1]["key"] == "a4"
            assert opened(again.http, "a5", 5, **WAIT).status_code == 200
            assert stream.next()[1]["key"] == "a5"
            place = stream.id
    shutil.rmtree(config.state / "read")
    with Serving(config, broker) as other, following(other.http, "/rows/account", Last_Event_ID=place) as stream:
        assert [name for name, _ in stream.some(8)] == ["reset", *["put"] * 6, "ready"]


def test_the_shop_is_asked_over_http(config: Config, broker: str) -> None:
    """Orders are placed, paid by the card company and counted per day; a rejected one is in no projection."""
    app = shop.app()
    lines = [{"sku": "A1", "quantity": 1}]
    with Running(app, config, broker), Serving(config, broker, app) as serving:
        http = serving.http
        got = http.post("/events/stock.receive", json={"sku": "A1", "quantity": 9, "price": 5}, headers=WAIT)
        assert got.status_code == 200, got.text
        for order, status in (("o1", 200), ("o2", 200), ("o1", 409)):
            body = {"order": order, "customer": "c7", "lines": lines}
            assert http.post("/events/order.place", json=body, headers=WAIT).status_code == status
        until(lambda: len(http.get("/rows/order?status=paid").json()["rows"]) == 2, "the orders are not paid")
        [day] = http.get("/projections/orders_per_day").json()["rows"]
        assert day["row"] == {"count": 2}
        before = http.get("/views/orders-of/c7").json()["answer"]
        assert {order: row["status"] for order, row in before.items()} == {"o1": "paid", "o2": "paid"}
    with Serving(config, broker, app) as again:
        assert again.http.get("/views/orders-of/c7").json()["answer"] == before
        assert again.http.get("/projections/orders_per_day").json()["rows"] == [day]
        assert len(again.http.get("/projections/charges").json()["rows"]) == 2


def test_a_stream_shows_what_comes(serving: Serving) -> None:
    """What is handled after it began, of its key alone; and whoever leaves is not counted any more."""
    got: list[tuple[str, dict[str, Any]]] = []
    thread = threading.Thread(target=lambda: got.extend(watched(serving.http, "/live/account/b", 2)), daemon=True)
    opened(serving.http, "b", 1, **WAIT)
    thread.start()
    until(lambda: len(serving.parts.watching) == 1, "nobody watches")
    for key in ("a", "b", "c", "b"):
        opened(serving.http, key, 1, **WAIT)
    thread.join(60)
    assert [(data["key"], data["outcome"]) for _, data in got] == [("b", "rejected"), ("b", "rejected")]
    until(lambda: not serving.parts.watching, "a client that left is still counted")


def test_transactions_are_shown_whole(serving: Serving) -> None:
    """Every account is one event and one row, so rows and positions agree in every answer, also while many arrive."""
    client = serving.client
    for n in range(900):
        client.publish(AccountOpen(account=f"a{n:04}", balance=1))

    def all_there() -> bool:
        body = serving.http.get("/rows/account?_limit=1000").json()
        assert len(body["rows"]) == sum(int(at.partition(":")[2]) for at in body["positions"])
        return len(body["rows"]) == 900

    until(all_there, "not all are there")


def test_an_idempotency_key_is_known_after_a_restart(config: Config, broker: str, worker: Running) -> None:
    """From the logs: the same request has the same receipt and is not published again, another one is refused."""
    receipts = []
    for balance, status in [(1, 200), (1, 200), (2, 422)]:
        with Serving(config, broker) as serving:
            got = opened(serving.http, "a", balance, **{"Idempotency-Key": "k"}, **WAIT)
            assert got.status_code == status, got.text
            receipts.append(got.json())
    assert receipts[0] == receipts[1]
    assert (receipts[0]["outcome"], receipts[0]["duplicate"]) == ("accepted", False)
    assert receipts[2]["errors"][0]["field"] == "Idempotency-Key"


def test_a_key_that_no_server_remembers_is_known_to_the_engine(
    config: Config, broker: str, worker: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its id: the same event is a duplicate, another one under the key is set aside."""
    monkeypatch.setattr(ReadModel, "sent", lambda *_: None)
    for n, (balance, status) in enumerate([(1, 200), (1, 200), (2, 500)]):
        with Serving(config, broker) as serving:
            got = opened(serving.http, "a", balance, **{"Idempotency-Key": "k"}, **WAIT)
            assert got.status_code == status, got.text
            assert (got.json()["outcome"], got.json()["duplicate"]) == (
                ("quarantined", False) if n == 2 else ("accepted", n == 1)
            )


def test_an_outcome_that_the_file_does_not_have_is_found_in_kafka(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As is what is not handled yet; a position without an event is a 404."""
    place = opened(serving.http, "a", 3, **WAIT).headers["location"]
    known = serving.http.get(place).json()
    monkeypatch.setattr(serving.parts.model, "became", lambda *_: None)
    assert serving.http.get(place).json() == known
    assert serving.http.get(place.rpartition("/")[0] + "/5000").status_code == 404


def test_what_nobody_handles_is_pending(config: Config, broker: str) -> None:
    """With no worker the event is kept, and the request that waits gets that answer."""
    with Running(APP, config, broker):
        pass  # the topics are made
    with Serving(config, broker) as serving:
        got = opened(serving.http, "a", Prefer="wait=0.3")
        assert (got.status_code, got.json()["receipt"]["key"]) == (504, "a")
        assert serving.http.get(got.headers["location"]).json()["outcome"] == "pending"


def test_a_foreign_producers_garbage_is_an_outcome(serving: Serving, config: Config, broker: str) -> None:
    """Bytes that nobody reads are quarantined, and the inbox position says so."""
    Foreign(APP, config, broker).write("account", b"garbage", b"a")
    follow = serving.parts.model
    until(lambda: any(last.inbox_next > 0 for last in follow.markers.values()), "it is not handled")
    [at] = [at for at, last in follow.markers.items() if last.inbox_next > 0]
    got = serving.http.get(f"/events/account/{at[1]}/0").json()
    assert (got["outcome"], got["key"]) == ("quarantined", "a")


def test_a_log_that_does_not_read_stands_still_and_is_reported(serving: Serving, config: Config, broker: str) -> None:
    """Nothing of it is skipped, since projections would be silently wrong; rows go on."""
    assert opened(serving.http, "a", 1, **WAIT).status_code == 200
    producer = Clients.of(config, broker).producer()
    producer.produce(f"{config.prefix}account-log", b"garbage", b"a@9", partition=0)
    assert producer.flush(20) == 0
    until(lambda: bool(serving.parts.model.faults), "nothing is told of it")
    status = serving.http.get("/-/status").json()["server"]
    assert (len(status["faults"]), f"{config.prefix}account-log-0" in status["faults"][0]) == (1, True)
    for n in range(6):
        opened(serving.http, f"b{n}")
    until(lambda: len(serving.http.get("/rows/account").json()["rows"]) == 7, "the rows stand still too")
    assert [serving.http.get(f"/-/{path}").status_code for path in ("ready", "health")] == [200, 503]


def test_status_and_metrics_tell_of_workers(serving: Serving) -> None:
    """Counters of the markers, states of the partitions."""
    opened(serving.http, "a", **WAIT)
    running = 'retold_partitions{namespace="account",state="running"} 2.0'
    until(lambda: running in serving.http.get("/-/metrics").text, "not all partitions run")  # one is enough for `opened`
    status = serving.http.get("/-/status").json()
    [account] = [space for space in status["namespaces"] if space["name"] == "account"]
    assert (account["counters"]["accepted"], status["server"]["rows"]["account"]) == (1, 1)
    assert [(part["state"], part["state_since"] > 0) for part in account["partitions"]] == [("running", True)] * 2
    text = serving.http.get("/-/metrics").text
    counted = [line for line in text.splitlines() if line.startswith("retold_events_total{") and '"accepted"' in line]
    assert sum(float(line.split()[-1]) for line in counted) == 1


def test_the_server_waits_for_topics(config: Config, broker: str, tmp_path: Path) -> None:
    """Started before any worker it says what is missing, and answers once the topics are there."""
    codec = codec_of(APP)
    questions = questions_in_test(APP, config, codec)
    clients = Clients.of(config, broker)
    client = LoopClient(APP, broker, config=config)
    model, stop = ReadModel(APP, codec), threading.Event()
    archive = KafkaArchive(clients, config.prefix, codec, ["account"])
    parts = ServerParts(APP, config, codec, model, client, archive, questions)
    with listen(config) as listening:
        follower = TopicFollower(clients, config.prefix, APP, codec, config.state, model.take)
        thread = threading.Thread(target=serve, args=(parts, clients, follower, listening, stop, threading.Event()), daemon=True)
        thread.start()
        try:
            until(lambda: "is missing" in (model.waits or ""), "it does not say what it waits for")
            with httpx.Client(base_url=url_of(listening)) as http:
                assert http.get("/rows/account").status_code == 503
                with Running(APP, config, broker):
                    until(lambda: http.get("/rows/account").status_code == 200, "it has not found the topics")
        finally:
            stop.set()
            thread.join(60)
    assert not thread.is_alive()


@pytest.mark.slow
def test_the_command_serves_until_it_is_stopped(broker: str, prefix: str, tmp_path: Path) -> None:
    """`retold server` is ready, answers, and ends with 0; a second one on its port ends with a sentence and 3."""
    env = environment(broker, prefix, tmp_path)
    assert retold("topics", "--create", env=env).returncode == 0
    log = tmp_path / "server.log"
    with Process("server", env=env, log=log) as process:
        until(lambda: "Ready" in log.read_text() or process.process.poll() is not None, "not ready")
        url = log.read_text().split("Listening at ")[1].split(";")[0]
        assert httpx.get(f"{url}/rows/user").json()["rows"] == []
        second = retold("server", env={**env, "RETOLD_HTTP_PORT": url.rpartition(":")[2]})
        assert (second.returncode, "is in use" in second.stderr) == (3, True)
        assert process.stop() == 0
    open_to_all = retold("server", env={**env, "RETOLD_HTTP_HOST": "0.0.0.0"})
    assert (open_to_all.returncode, "RETOLD_HTTP_TOKEN" in open_to_all.stderr) == (3, True)


class Commanded(NamedTuple):
    """A `retold server` that is ready; `stop` gives its exit code."""

    process: subprocess.Popen[bytes]
    http: httpx.Client
    log: Path
    stop: Callable[[], int]


@contextmanager
def commanded(
    broker: str, prefix: str, folder: Path, name: str, worked: App | None = None, **others: str
) -> Iterator[Commanded]:
    """Of the application of this name, with a worker of the bank's, or of the one that is `worked`."""
    env = environment(broker, prefix, folder, app=name, **others)
    log, config = folder / "log", settings(folder, prefix, http_port="0")
    with Running(worked or bank.app(), config, broker), Process("server", env=env, log=log) as process:
        until(lambda: "Listening at " in log.read_text(), "the server does not listen")
        url = log.read_text().split("Listening at ")[1].split(";")[0]
        with httpx.Client(base_url=url, timeout=90.0) as http:
            until(lambda: http.get("/-/ready").status_code == 200, "the server is not ready")
            yield Commanded(process.process, http, log, process.stop)


@pytest.mark.slow
def test_a_follower_that_is_killed_is_started_again(broker: str, prefix: str, tmp_path: Path) -> None:
    """It goes on where its file ends; answers go on meanwhile, and say that they may be old."""
    with commanded(broker, prefix, tmp_path, "tests.applications.bank:app") as server:
        process, http = server.process, server.http
        assert opened(http, "a", 1, **WAIT).status_code == 200
        for signalled in (signal.SIGKILL, signal.SIGTERM):
            [follower] = [pid for pid in descendants(process.pid) if is_follower(pid)]
            os.kill(follower, signalled)
            assert http.get("/rows/account/a").status_code == 200
            until(lambda: http.get("/-/ready").status_code == 503, "nobody is told")
            until(lambda: http.get("/-/ready").status_code == 200, "it is not started again")
            assert opened(http, signalled.name, 1, **WAIT).status_code == 200
        assert len(http.get("/rows/account").json()["rows"]) == 3
        assert server.stop() == 0
    assert "the process that follows Kafka ended with -9" in server.log.read_text()


def ending() -> App:
    """With a projection that ends its process at an account with a balance of 13, as one does that takes all memory."""

    def ends(row: OrdersPerDayRow | None, event: Event[AccountOpen]) -> OrdersPerDayRow:
        if event.data.balance == 13:
            os._exit(7)
        return OrdersPerDayRow(count=event.data.balance)

    projection = Projection("ends", row=OrdersPerDayRow)
    projection.folds(AccountOpen, key=lambda event: event.key)(ends)
    return replace(APP, projections=[*APP.projections, projection])


@pytest.mark.slow
def test_a_fold_that_ends_its_process_stands_still(broker: str, prefix: str, tmp_path: Path) -> None:
    """The process would end at that event for ever, and nothing else would be followed."""
    with commanded(broker, prefix, tmp_path, f"{__name__}:ending") as server:
        http = server.http
        assert opened(http, "a", 13).status_code == 202
        until(lambda: "ends" in str(http.get("/-/health").json().get("checks")), "nobody is told of the fold")
        until(lambda: http.get("/-/ready").status_code == 200, "it is not followed on")
        assert opened(http, "b", 1, **WAIT).status_code == 200
        assert (http.get("/projections/ends").status_code, http.get("/projections/openings/1").status_code) == (500, 200)
        assert server.stop() == 0


def hanging() -> App:
    """With a projection that hangs at an account with a balance of 13, so that no thread of its process can run."""

    def hangs(row: OrdersPerDayRow | None, event: Event[AccountOpen]) -> OrdersPerDayRow:
        for _ in range(6 if event.data.balance == 13 else 0):  # a signal ends one of them
            ctypes.PyDLL(None).sleep(1)
        return OrdersPerDayRow(count=event.data.balance)

    projection = Projection("hangs", row=OrdersPerDayRow)
    projection.folds(AccountOpen, key=lambda event: event.key)(hangs)
    return replace(APP, projections=[*APP.projections, projection])


@pytest.mark.slow
def test_a_fold_that_hangs_is_named_until_it_returns(broker: str, prefix: str, tmp_path: Path) -> None:
    """By health, with the event and its partition, and by the log, with the stack."""
    with commanded(broker, prefix, tmp_path, f"{__name__}:hanging") as server:
        http = server.http

        def named() -> list[str]:
            return [it["detail"] for it in http.get("/-/health").json()["checks"] if it["name"] == "reading.fold"]

        at = opened(http, "a", 13).json()
        until(named, "nobody is told of the fold")
        [why] = named()
        assert f"the projection hangs has not returned for 2.5 s, at account.open, account-{at['partition']}:1" in why
        until(lambda: not named(), "it is named for ever")
        assert opened(http, "b", 1, **WAIT).status_code == 200
        assert server.stop() == 0
    log = server.log.read_text()
    assert (why.rstrip(".") in log, "in hangs" in log) == (True, True)


def spinning() -> App:
    """With a view that never ends, nor leaves Python's lock to anybody."""

    def spin(_: Tables) -> None:
        while True:
            pass

    return replace(app(), views=[View("spin", spin)])


@pytest.mark.slow
def test_what_a_killed_server_was_asked_ends_with_it(broker: str, prefix: str, tmp_path: Path) -> None:
    """A view would go on for as long as the machine does."""
    with commanded(broker, prefix, tmp_path, f"{__name__}:spinning", app(), view_seconds="60") as server:
        process, url = server.process, server.http.base_url
        before = descendants(process.pid)
        with socket.create_connection((url.host, url.port or 0)) as client:
            client.sendall(b"GET /views/spin HTTP/1.1\r\nHost: localhost\r\n\r\n")
            until(lambda: len(descendants(process.pid)) == len(before) + 1, "it is not asked")
            there = descendants(process.pid)
            process.kill()
            until(lambda: not any(map(is_there, there)), "something outlives it")


def is_follower(pid: int) -> bool:
    with suppress(OSError):
        return b"child_follower" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def test_topics_that_are_made_again_are_read_again(config: Config, broker: str) -> None:
    """Behind the old offsets nobody notices: rows of before would stand beside new ones for ever (rule 26)."""
    foreign, topic = Foreign(APP, config, broker), f"{config.prefix}account-table"
    with Running(APP, config, broker) as worker, Serving(config, broker) as serving:
        assert opened(serving.http, "old", **WAIT).status_code == 200
        worker.stop()
        [row] = [message for message in foreign.read("account-table") if message.key() == b"old"]
        admin = foreign.clients.admin()
        admin.client.delete_topics([topic])[topic].result(20)
        until(lambda: not describe(admin, [topic]), "the topic is still there")
        ensure(admin, config, ["account"])
        producer = foreign.clients.producer()
        for partition in range(2):
            for number in range(40):
                producer.produce(topic, row.value(), f"new{number}".encode(), partition, headers=row.headers())
        assert producer.flush(20) == 0
        http = serving.http
        until(lambda: http.get("/rows/account/new0").status_code == 200, "the new rows are not shown")
        until(lambda: http.get("/rows/account/old").status_code == 404, "a row of before is shown")
