"""`retold server --processes N` on a real broker: several processes that answer as one server."""

from __future__ import annotations

import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.support.ports import free_port
from tests.support.processes import PROJECT, Process, descendants, environment, is_there, retold, stand_still
from tests.support.tokens import bearer, write_tokens
from tests.support.workers import until

PROCESSES, CLIENTS, EVENTS = 3, 4, 150
RIGHTS = {"publish": ["*"], "read": ["*"], "admin": True}
RATE = 1
"""Requests a second of a principal that is slow; at first it may send two."""
FORCED = 20
"""Requests, each on a connection of its own."""


class Server:
    """A server of several processes, and a worker beside it."""

    def __init__(self, process: Process, log: Path) -> None:
        self.process, self._log = process, log

    @property
    def url(self) -> str:
        found = re.search(r"Listening at (\S+);", self._log.read_text(encoding="utf-8"))
        return "" if found is None else found[1]

    def says(self, text: str) -> Callable[[], bool]:
        return lambda: text in self._log.read_text(encoding="utf-8")

    @property
    def answering(self) -> list[int]:
        """The HTTP processes, without those that they fork."""
        found = descendants(self.process.process.pid)
        linked = {pid for pid, command in found.items() if " --link " in command}
        return sorted(linked - {pid for each in linked for pid in descendants(each)})

    def client(self, name: str = "load") -> httpx.Client:
        return httpx.Client(base_url=self.url, headers=bearer(name), timeout=60.0, verify=False)

    def asks(self, path: str, name: str = "load", **headers: str) -> httpx.Response:
        """On a new connection."""
        with self.client(name) as http:
            return http.get(path, headers=headers)

    def posts(self, name: str, key: str) -> httpx.Response:
        with self.client() as http:
            return post(http, name, key)


def post(http: httpx.Client, name: str, key: str) -> httpx.Response:
    body = {"name": name, "how": "count"}
    return http.post("/events/probe.do", json=body, headers={"Idempotency-Key": key})


@pytest.fixture
def server(broker: str, prefix: str, tmp_path: Path) -> Iterator[Server]:
    file = write_tokens(tmp_path / "tokens.toml", {"load": {**RIGHTS, "rate": 100_000}, "slow": {**RIGHTS, "rate": RATE}})
    env = environment(broker, prefix, tmp_path, app="tests.applications.probe:app", partitions="2", http_tokens=str(file))
    env["PYTHONPATH"] = str(PROJECT)
    assert retold("topics", "--create", env=env).returncode == 0
    log = tmp_path / "server.log"
    words = ("server", "--processes", str(PROCESSES))
    with ExitStack() as stack:
        stack.enter_context(Process("worker", env=env, log=tmp_path / "worker.log", folder=tmp_path))
        process = stack.enter_context(Process(*words, env=env, log=log, folder=tmp_path))
        found = Server(process, log)
        until(found.says("Ready. "), "the server is not ready")
        yield found


def publish(server: Server, number: int, accepted: dict[str, str]) -> None:
    """Events with keys of their own, each sent until it is accepted: a request may be cut off with its process."""
    http = server.client()
    for count in range(EVENTS):
        name = f"c{number}e{count}"
        while name not in accepted:
            try:
                answer = post(http, name, f"key-{name}")
            except httpx.TransportError:
                continue
            if answer.status_code == 202:
                accepted[name] = answer.headers["Location"]
    http.close()


def test_several_processes_answer_as_one_server(server: Server) -> None:
    """One that is killed under load loses nothing, and is started again; keys, rates and metrics are those of the whole server."""
    accepted = dict[str, str]()
    clients = [threading.Thread(target=publish, args=(server, number, accepted)) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    until(lambda: len(accepted) > CLIENTS * EVENTS // 3, "nothing is accepted")
    first = server.answering
    assert len(first) == PROCESSES
    os.kill(first[0], signal.SIGKILL)
    for client in clients:
        client.join()
    assert len(accepted) == CLIENTS * EVENTS
    until(server.says(f"All {PROCESSES} HTTP processes answer again."), "no other process is started")
    assert server.process.process.poll() is None
    for name in accepted:
        until(lambda name=name: server.asks(f"/rows/probe/{name}").status_code == 200, "an event is lost")  # type: ignore[misc]  # mypy cannot infer a lambda with defaults
        assert server.asks(f"/rows/probe/{name}").json()["row"]["count"] == 1
    same_keys(server, accepted)
    one_rate(server)
    one_count(server)


def same_keys(server: Server, accepted: Mapping[str, str]) -> None:
    """Every process gives the same answer to a key; one that comes at all of them at once is published once."""
    name = next(iter(accepted))
    for alone in server.answering:
        others = [pid for pid in server.answering if pid != alone]
        for pid in others:
            stand_still(pid)
        try:
            answer = server.posts(name, f"key-{name}")
            assert (answer.status_code, answer.headers["Location"]) == (202, accepted[name])
            new = server.posts("new", "key of a new one")
            accepted = {**accepted, "new": accepted.get("new", new.headers["Location"])}
            assert new.headers["Location"] == accepted["new"]
            assert server.posts("other", "key of a new one").status_code == 422
        finally:
            for pid in others:
                os.kill(pid, signal.SIGCONT)
    found = list[httpx.Response]()
    senders = [threading.Thread(target=lambda: found.append(server.posts("at once", "key at once"))) for _ in range(FORCED)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert {it.status_code for it in found} == {202}
    assert len({it.headers["Location"] for it in found}) == 1


def one_rate(server: Server) -> None:
    """A principal may send as much as the file says, however many processes it asks."""
    began = time.monotonic()
    found = [server.asks("/rows/probe", "slow").status_code for _ in range(4 * FORCED)]
    assert 1 <= found.count(200) <= 2 + RATE * (time.monotonic() - began)
    assert found.count(429) == len(found) - found.count(200)


def one_count(server: Server) -> None:
    """Whoever is asked tells the same metrics, those of a process that was killed among them; they never fall."""

    def told() -> Mapping[str, float]:
        lines = (line.rpartition(" ") for line in server.asks("/-/metrics").text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}

    published = 'retold_http_requests_total{method="POST",route="/events/probe.do",status="202"}'
    scrapes = [told() for _ in range(FORCED)]
    assert {it["retold_http_processes"] for it in scrapes} == {PROCESSES}
    assert len({it[published] for it in scrapes}) == 1
    commits = [it["retold_store_commit_seconds_count"] for it in scrapes]
    assert commits == sorted(commits)
    asked = [sum(value for name, value in it.items() if name.startswith("retold_http_requests_total")) for it in scrapes]
    assert asked == sorted(asked)  # what is counted after its answer may come with the next scrape


def test_a_file_that_is_deleted_is_read_again(server: Server, tmp_path: Path) -> None:
    """By the process that writes it: else each that answers would end, and the next one, since there is no file."""
    assert server.posts("a", "key of a").status_code == 202
    until(lambda: server.asks("/rows/probe/a").status_code == 200, "the row is not there")
    shutil.rmtree(tmp_path / "read")
    until(server.says("was deleted while it was written"), "it is not noticed")
    until(lambda: server.asks("/rows/probe/a").status_code == 200, "it is not read again")
    until(lambda: server.posts("b", "key of b").status_code == 202, "nothing is published any more")  # each process reads it again
    until(lambda: server.asks("/rows/probe/b").status_code == 200, "nothing is read any more")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_all_processes_end_with_the_one_that_owns_them(server: Server, number: signal.Signals) -> None:
    """However it ends; nothing that it started is left, and the port is free."""
    started = [*descendants(server.process.process.pid)]
    assert len(started) >= 1 + 2 * PROCESSES
    code = server.process.stop(number)
    assert code == {signal.SIGTERM: 0, signal.SIGINT: 130, signal.SIGKILL: -9}[number]
    until(lambda: not any(map(is_there, started)), "a process is left")
    with pytest.raises(httpx.ConnectError):
        server.asks("/-/live")


LATE = """
import asyncio
from streams.server.rpc.rpc_server import RpcServer
from tests.applications.probe import app
start = RpcServer.start

async def start_late(server):
    await asyncio.sleep(2)
    await start(server)

RpcServer.start = start_late
"""
"""An application whose server has read all long before it listens."""


def test_grpc_and_http2_are_answered_by_several_processes(broker: str, prefix: str, tmp_path: Path) -> None:
    """They share gRPC's port, and each speaks HTTP/2 on the socket that all have; one that is killed is missed by nobody.

    A process is ready when its ports are open, and not as soon as it has read all.
    """
    grpc = pytest.importorskip("grpc")
    (tmp_path / "late_grpc.py").write_text(LATE, encoding="utf-8")
    env = environment(broker, prefix, tmp_path, app="late_grpc:app", partitions="2")
    env["PYTHONPATH"] = f"{PROJECT}:{tmp_path}"
    assert retold("topics", "--create", env=env).returncode == 0
    log, port = tmp_path / "server.log", free_port()
    words = ("server", "--processes", "2", "--http2", "--grpc-port", str(port))
    with Process(*words, env=env, log=log, folder=tmp_path) as process:
        server = Server(process, log)
        until(server.says("Ready. "), "the server is not ready")

        def lives() -> bool:
            with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
                asked = channel.unary_unary("/grpc.health.v1.Health/Check")
                return bool(asked(b"", timeout=10) == b"\x08\x01")  # SERVING

        def speaks_http2() -> bool:
            with httpx.Client(base_url=server.url, http1=False, http2=True, timeout=20.0) as http:
                return http.get("/-/ready").http_version == "HTTP/2"

        assert all(lives() and speaks_http2() for _ in range(6))
        os.kill(server.answering[0], signal.SIGKILL)
        until(lambda: len(server.answering) == 1, "it is not missed")
        until(lives, "gRPC is not answered by the other one", despite=grpc.RpcError)
        until(server.says("All 2 HTTP processes answer again."), "no other process is started")
        assert all(lives() and speaks_http2() for _ in range(6))
