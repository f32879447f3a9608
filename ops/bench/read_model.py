"""The server's read side: how fast its file follows Kafka, how soon it answers again, how fast it answers meanwhile.

The rows are the demonstration's users. A follower and a server are processes as `retold server` has them.
"""

from __future__ import annotations

import http.client
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from confluent_kafka import Producer

import processors
from ops.bench.child import ROOT, last_words, running
from processors.events import UserRow, UserSignup
from streams.codec import codec_of
from streams.config import Config, load
from streams.engine import marker
from streams.engine.envelope import VERSION_HEADER, LogHeader, pack
from streams.engine.marker import Marker
from streams.engine.records import Counters
from streams.kafka.clients import Clients
from streams.kafka.topics import ensure
from streams.server.readmodel.fold_record import shared_file
from streams.server.readmodel.follower_process import MODULE
from streams.server.readmodel.follower_report import FollowerReport

PARTITIONS = 4
TRANSACTION = 2_000
"""Rows or records of one transaction of a worker."""
WRITES = 2_000
"""Rows that are written a second while rows are read."""
START = datetime(2026, 1, 1, tzinfo=UTC)
TIMEOUT = 1_800.0
CHANCE = random.Random(12)  # noqa: S311 - the same rows in every run, no secret
Say = Callable[[str], None]


@dataclass
class ReadFigures:
    """Rates a second, times in ms, memory in MB; by what they are of."""

    of: str = "read side"
    figures: dict[str, float] = field(default_factory=dict)

    def add(self, what: str, value: float, say: Say) -> None:
        self.figures[what] = round(value, 2)
        say(f"{self.of}: {what}: {value:,.2f}")


def measure(address: str, folder: Path, rows: int, records: int, reads: int, say: Say) -> dict[str, float]:
    """`rows` and `records` are how many are followed, `reads` how many answers are timed."""
    found = ReadFigures()
    _follow_records(found, address, folder / "records", records, say)
    config = settings_of(folder / "rows", f"benchread{time.time_ns() // 1_000_000}r-")
    clients = Clients.of(config, address)
    ensure(clients.admin(), config, [space.name for space in processors.app().namespaces])
    writer = RowProducer(clients, config.prefix)
    writer.write(range(rows))
    with _following(config, address) as following:
        seconds = following.wait()
        found.add("rows/s", rows / seconds, say)
        found.add("follower, rows, MB", memory_of(following.process.pid), say)
    began = time.monotonic()
    with _following(config, address) as following:
        following.wait_for_answers()
        found.add(f"start with {rows:,} rows, ms", (time.monotonic() - began) * 1000, say)
    _read(found, config, address, writer, rows, reads, say)
    return found.figures


def _follow_records(found: ReadFigures, address: str, folder: Path, records: int, say: Say) -> None:
    config = settings_of(folder, f"benchread{time.time_ns() // 1_000_000}e-")
    clients = Clients.of(config, address)
    ensure(clients.admin(), config, [space.name for space in processors.app().namespaces])
    _write_records(clients, config.prefix, records)
    with _following(config, address) as following:
        found.add("records/s", records / following.wait(), say)


def settings_of(folder: Path, prefix: str) -> Config:
    return load({"RETOLD_PREFIX": prefix, "RETOLD_STATE": str(folder), "RETOLD_PARTITIONS": str(PARTITIONS)}, ROOT)


class RowProducer:
    """Writes the users' table as a worker does: a marker, then the rows of its transaction."""

    def __init__(self, clients: Clients, prefix: str) -> None:
        self._producer, self._topic, self._codec = clients.producer("bench"), f"{prefix}user-table", codec_of(processors.app())
        self._last = [0] * PARTITIONS

    def write(self, numbers: range, version: int = 1) -> None:
        for begin in range(numbers.start, numbers.stop, TRANSACTION):
            chosen = range(begin, min(begin + TRANSACTION, numbers.stop))
            partition = begin // TRANSACTION % PARTITIONS
            last = self._last[partition] + len(chosen)
            head = Marker(
                first=self._last[partition] + 1, last=last, inbox_next=last, recorded=0, application="demo", topic_ids={},
                partitions=PARTITIONS, transactional_id="bench", counters=Counters(),
            )  # fmt: skip
            self._last[partition] = last
            produce(self._producer, self._topic, marker.encode(head), marker.KEY, partition, [])
            for number in chosen:
                value = self._codec.encode_row(row(number, version))
                produce(
                    self._producer, self._topic, value, b"u%d" % number, partition, [(VERSION_HEADER, b"%d" % version)]
                )
        self._producer.flush(60)


def row(number: int, version: int) -> UserRow:
    since = START + timedelta(seconds=number * 7 % 100_000)
    plan = ("free", "free", "pro", "team")[number % 4]
    return UserRow(
        user=f"u{number}", email=f"u{number}@example.org", name=f"Name {number % 1000}", plan=plan, since=since, created=since,
        last_seen=since, reputation=number % 5000 + version, views=number % 700,
    )  # fmt: skip


def _write_records(clients: Clients, prefix: str, count: int) -> None:
    producer, codec = clients.producer("bench"), codec_of(processors.app())
    for number in range(count):
        key, partition = f"u{number % 10_000}", number % PARTITIONS
        sequence = number // PARTITIONS + 1
        value = codec.encode(UserSignup(user=key, email=f"{key}@example.org"))
        header = pack(LogHeader(sequence, number * 1000, number, "accepted", "f" * 64))
        headers = [
            ("ce_specversion", b"1.0"), ("ce_id", b"0198c0de-0000-4000-8000-%012d" % number), ("ce_type", b"user.signup"),
            ("ce_source", b"bench"), ("ce_time", b"2026-01-01T00:00:00+00:00"), header,
        ]  # fmt: skip
        produce(producer, f"{prefix}user-log", value, f"{key}@{sequence}".encode(), partition, headers)
    producer.flush(60)


def produce(
    producer: Producer, topic: str, value: bytes, key: bytes, partition: int, headers: list[tuple[str, bytes]]
) -> None:
    while True:
        try:
            producer.produce(topic, value, key, partition, headers=[*headers])
        except BufferError:
            producer.poll(0.1)
        else:
            return


class _Following:
    """A follower's process, and what it tells."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._decoder = msgspec.json.Decoder(FollowerReport)

    def wait(self) -> float:
        """s from its first records until it had read everything, and made the indexes of what it had read."""
        began: float | None = None
        for report in self._reports():
            if (report.committed or report.lags) and began is None:
                began = time.monotonic()
            if report.behind is None:
                return time.monotonic() - (began or time.monotonic())
        raise TimeoutError("the follower ended before it had read everything")

    def wait_for_answers(self) -> None:
        """Until there is a file from which answers are given."""
        for report in self._reports():
            if report.file is not msgspec.UNSET and report.waits is None:
                return
        raise TimeoutError("the follower ended before there were answers")

    def _reports(self) -> Iterator[FollowerReport]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            yield self._decoder.decode(line)


@contextmanager
def _following(config: Config, address: str) -> Iterator[_Following]:
    with shared_file() as folds:
        number = folds.fileno()
        command = [sys.executable, "-P", "-m", MODULE, address, str(number)]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, env=_environment(config), pass_fds=[number]
        )
    with process:
        watch = threading.Timer(TIMEOUT, process.kill)
        watch.start()
        try:
            yield _Following(process)
        finally:
            watch.cancel()
            assert process.stdin is not None
            process.stdin.close()
            process.wait(60)


def _environment(config: Config, **others: str) -> dict[str, str]:
    names = {"RETOLD_PREFIX": config.prefix, "RETOLD_STATE": str(config.state), "RETOLD_APP": "processors:app"}
    return {**os.environ, **names, **others}


def _read(
    found: ReadFigures, config: Config, address: str, writer: RowProducer, rows: int, reads: int, say: Say
) -> None:
    """One client reads rows while others of them are written."""
    port = 18_080
    words = config.state / "server.log"
    settings = {
        "RETOLD_PREFIX": config.prefix, "RETOLD_STATE": str(config.state), "RETOLD_APP": "processors:app",
        "RETOLD_BROKER": address, "RETOLD_HTTP_PORT": str(port),
    }  # fmt: skip
    command = [str(Path(sys.executable).with_name("retold")), "server"]
    with running(command, settings, words) as server:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        until_ready(client, words)
        stop = threading.Event()
        writing = threading.Thread(target=_write_steadily, args=(writer, rows, stop))
        writing.start()
        try:
            times = sorted(_timed(client, f"/rows/user/u{CHANCE.randrange(rows)}") for _ in range(reads))
            pages = sorted(_timed(client, "/rows/user?_limit=50") for _ in range(reads // 20))
        finally:
            stop.set()
            writing.join()
        for name, of in (("point read", times), ("list of 50", pages)):
            found.add(f"{name}, p50, ms", of[len(of) // 2] * 1000, say)
            found.add(f"{name}, p99, ms", of[len(of) * 99 // 100] * 1000, say)
        found.add("server, MB", memory_of(server.pid), say)
        for child in children_of(server.pid):
            found.add("follower, reading, MB", memory_of(child), say)


def until_ready(client: http.client.HTTPConnection, words: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            client.request("GET", "/-/ready")
            answer = client.getresponse()
            answer.read()
            if answer.status == 200:
                return
        except OSError:
            client.close()
        time.sleep(0.1)
    raise TimeoutError(f"the server is not ready:\n{last_words(words)}")


def _timed(client: http.client.HTTPConnection, path: str) -> float:
    began = time.perf_counter()
    client.request("GET", path)
    answer = client.getresponse()
    answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{path} was answered by {answer.status}; 200 was expected")
    return time.perf_counter() - began


def _write_steadily(writer: RowProducer, rows: int, stop: threading.Event) -> None:
    version, step = 2, WRITES // 20
    while not stop.wait(1 / 20):
        begin = CHANCE.randrange(max(1, rows - step))
        writer.write(range(begin, begin + step), version)
        version += 1


def memory_of(pid: int) -> float:
    """MB of memory that a process has now."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def children_of(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for file in found for child in file.read_text().split()]
