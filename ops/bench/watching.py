"""Who watches and who publishes: how soon an event is seen, what a thousand watchers cost, and how many requests are answered.

A worker and a server are processes as `retold run` has them, with the benchmark's application. Beside it, in the same run, is a
bare Starlette application with a dict (`ops.bench.bare`).
"""

from __future__ import annotations

import asyncio
import http.client
import multiprocessing
import socket
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import msgspec

from ops.bench.child import running
from ops.bench.contestant import environment
from ops.bench.http_load import HttpRate, answered, asked, at, loaded
from ops.bench.read_model import ReadFigures, children_of, memory_of, until_ready
from ops.bench.watch import cpu_seconds

WATCHERS = ((1, 10), (1, 2_000), (1_000, 10))
"""How many watch, and how many events are published a second."""
MEASURING = 100
"""Watchers at most of which each looks at the time; the others count lines, for the reader shares the machine."""
BATCH, EVERY = 100, 0.05
"""Events of one request at the most, and s between two."""
ALL_COME, LAST = 60.0, 1.0
"""s in which all watchers must have come, and s for the last messages."""
POSTING = 32
"""Connections that publish, or ask for rows."""
WAIT = "Prefer: wait=60\r\n"
STREAM = b"GET /rows/bench?_from=now HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Running:
    """What is measured."""

    port: int
    bare_port: int
    worker: Popen[bytes]
    server: Popen[bytes]
    bare: Popen[bytes]


def measure(address: str, folder: Path, seconds: float, say: Say) -> dict[str, float]:
    """Rates a second, times in ms, memory in MB. `seconds` of each window."""
    found, folder = ReadFigures("watching"), folder.absolute()
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        it = _started(stack, address, folder)
        for count, rate in WATCHERS:
            asyncio.run(_watch(found, it, rate, count, seconds, say))
        _post(found, it, seconds, say)
        found.add("worker, MB", memory_of(it.worker.pid), say)
        found.add("server, MB", memory_of(it.server.pid), say)
        for number, child in enumerate(children_of(it.server.pid), 1):
            found.add(f"child {number} of the server, MB", memory_of(child), say)
        found.add("bare application, MB", memory_of(it.bare.pid), say)
    return found.figures


def _started(stack: ExitStack, address: str, folder: Path) -> Running:
    port, bare_port = _free_port(), _free_port()
    told = environment(f"benchwatch{time.time_ns() // 1_000_000}-", "watch", address, folder / "state") | {
        "RETOLD_HTTP_PORT": str(port), "RETOLD_HTTP_CONNECTIONS_PER_PEER": str(2 * max(WATCHERS)[0]),
    }  # fmt: skip
    retold = str(Path(sys.executable).with_name("retold"))
    worker = stack.enter_context(running([retold, "worker"], told, folder / "worker.log"))
    server = stack.enter_context(running([retold, "server"], told, folder / "server.log"))
    bare = stack.enter_context(running([sys.executable, "-m", "ops.bench.bare", str(bare_port)], told, folder / "bare.log"))
    for at_port, words in ((bare_port, folder / "bare.log"), (port, folder / "server.log")):
        until_ready(http.client.HTTPConnection("127.0.0.1", at_port, timeout=30), words)
    asyncio.run(asked(port, _posting(WAIT)(0), 200))  # the worker handles
    asyncio.run(loaded(port, _posting(WAIT), 200, POSTING, 2.0))  # and all is warm
    return Running(port, bare_port, worker, server, bare)


def _free_port() -> int:
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return int(it.getsockname()[1])


class Watchers:
    """Clients of one address. Each row's key has the time when its event was published."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.messages, self.late, self.come, self.ended = 0, list[float](), 0, 0

    async def watch(self, *, measures: bool) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 20)
        try:
            writer.write(STREAM)
            await reader.readuntil(b"\n\n")  # the place where it begins
            self.come += 1
            async for line in reader:
                if line.startswith(b"data: "):
                    self.messages += 1
                    if measures:
                        key = msgspec.json.decode(line[6:])["key"]
                        self.late.append(time.time() - float(key.partition("-")[0]))
            self.ended += 1
        finally:
            writer.close()


async def _watch(found: ReadFigures, it: Running, rate: int, count: int, seconds: float, say: Say) -> None:
    """Raises RuntimeError if not all could come, or nobody was told anything; TimeoutError if that took too long."""
    watchers, before = Watchers(it.port), memory_of(it.server.pid)
    step = max(1, count // MEASURING)
    tasks = [asyncio.create_task(watchers.watch(measures=number % step == 0)) for number in range(count)]
    async with asyncio.timeout(ALL_COME):
        while watchers.come < count:
            await asyncio.sleep(0.1)
    cpu, memory = cpu_seconds(it.server.pid), memory_of(it.server.pid)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as other:  # who reads has enough to do
        sent = await asyncio.get_running_loop().run_in_executor(other, publish, it.port, rate, seconds)
    cpu = cpu_seconds(it.server.pid) - cpu
    memory = max(memory, memory_of(it.server.pid))
    await asyncio.sleep(LAST)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    if not watchers.late:
        raise RuntimeError(f"{count} watchers were told nothing")
    late, what = sorted(watchers.late), f"{count:,} {'watcher' if count == 1 else 'watchers'}, {rate:,}/s"
    found.add(f"{what}: published/s", sent / seconds, say)
    found.add(f"{what}: messages/s", watchers.messages / seconds, say)
    found.add(f"{what}: messages of those expected, %", 100 * watchers.messages / (sent * count), say)
    found.add(f"{what}: cut", watchers.ended, say)
    found.add(f"{what}: p50, ms", at(late, 0.5) * 1e3, say)
    found.add(f"{what}: p99, ms", at(late, 0.99) * 1e3, say)
    found.add(f"{what}: server, MB more", memory - before, say)
    found.add(f"{what}: server, CPU % of a core", 100 * cpu / seconds, say)


def publish(port: int, rate: int, seconds: float) -> int:
    """In a process of its own; gives how many were published."""
    return asyncio.run(_publish(port, rate, seconds))


async def _publish(port: int, rate: int, seconds: float) -> int:
    """How many were published: evenly, those of a twentieth of a second in one request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sent, began = 0, time.monotonic()
    while (passed := time.monotonic() - began) < seconds:
        due = min(BATCH, int(rate * passed) + 1 - sent)
        if due > 0:
            lines = b"\n".join(msgspec.json.encode({"type": "bench.signup", "data": _data(sent + it)}) for it in range(due))
            writer.write(_request("POST", "/events", "Content-Type: application/x-ndjson\r\n", lines))
            await answered(reader, 202)
            sent += due
        await asyncio.sleep(EVERY if rate > 1 / EVERY else 1 / rate / 4)
    writer.close()
    return sent


def _data(number: int) -> dict[str, object]:
    user = f"{time.time():.6f}-{number}"
    return {"user": user, "email": f"{number}@example.org", "name": "Name", "plan": "free", "at": number, "credits": 1}


def _request(method: str, path: str, headers: str = "", body: bytes = b"") -> bytes:
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{headers}{length}\r\n".encode() + body


def _posting(headers: str = "") -> Callable[[int], bytes]:
    def request(number: int) -> bytes:
        body = msgspec.json.encode(_data(number))
        return _request("POST", "/events/bench.signup", f"Content-Type: application/json\r\n{headers}", body)

    return request


def _post(found: ReadFigures, it: Running, seconds: float, say: Say) -> None:
    """One after the other; each is compared with the bare application in this run alone."""
    key = f"{time.time():.6f}-known"

    def put(_: int) -> bytes:
        body = msgspec.json.encode({**_data(0), "user": key})
        return _request("POST", "/events/bench.signup", f"Content-Type: application/json\r\n{WAIT}", body)

    def read(_: int) -> bytes:
        return _request("GET", f"/rows/bench/{key}")

    for port, status in ((it.bare_port, 202), (it.port, 200)):
        asyncio.run(asked(port, put(0), status))
    works = {
        "POST, 202": (_posting(), 202, 202),
        "POST with wait": (_posting(WAIT), 202, 200),
        "a row": (read, 200, 200),
    }
    for name, (request, bare_status, status) in works.items():
        bare = _loaded(it.bare, it.bare_port, request, bare_status, seconds)
        ours = _loaded(it.server, it.port, request, status, seconds)
        for whose, (rate, cpu) in (("bare", bare), ("retold", ours)):
            found.add(f"{name}, {whose}: requests/s", rate.rate, say)
            found.add(f"{name}, {whose}: p50, ms", rate.p50, say)
            found.add(f"{name}, {whose}: p99, ms", rate.p99, say)
            found.add(f"{name}, {whose}: CPU of its process, µs a request", cpu, say)
        found.add(f"{name}: beside bare", ours[0].rate / bare[0].rate, say)
        found.add(f"{name}: beside bare, by CPU", bare[1] / ours[1], say)


def _loaded(
    process: Popen[bytes], port: int, request: Callable[[int], bytes], expected: int, seconds: float
) -> tuple[HttpRate, float]:
    """With the CPU in µs that the process has used for a request: other processes change that little."""
    before = cpu_seconds(process.pid)
    rate = asyncio.run(loaded(port, request, expected, POSTING, seconds))
    return rate, (cpu_seconds(process.pid) - before) / rate.answers * 1e6
