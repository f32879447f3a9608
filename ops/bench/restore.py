"""How fast a worker restores partitions of a table with as many events in its log: in rows a second and in CPU.

`python -m ops.bench.restore ADDRESS PREFIX FOLDER PARTITION…` restores these partitions at once, and writes one JSON object.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from confluent_kafka import murmur2

import processors
from ops.bench.branch_memory import resident
from ops.bench.child import ROOT
from ops.bench.read_model import PARTITIONS, TRANSACTION, Say, produce, row, settings_of
from processors.events import UserSignup
from streams.cli.process.collector import WHILE_A_BATCH_LIVES, spare_the_collector
from streams.codec import codec_of
from streams.config import Config
from streams.engine import marker
from streams.engine.envelope import VERSION_HEADER, LogHeader, pack
from streams.engine.image import Image
from streams.engine.marker import Marker
from streams.engine.records import Counters
from streams.kafka.cancellable_steps import never_cancelled
from streams.kafka.clients import Clients
from streams.kafka.topics import ensure
from streams.worker.partition_restore import described_restorer
from streams.worker.restore_progress import RestoreProgress

ROUNDS = 3


def measure(address: str, folder: Path, rows: int, say: Say) -> dict[str, float]:
    """The best of some rounds, each in a process of its own. `rows` are those of all partitions."""
    config = settings_of(folder, f"benchrestore{time.time_ns() // 1_000_000}-")
    write(Clients.of(config, address), config, rows)
    found: dict[str, float] = {}
    for count in (1, 2):
        goes = [_restored(address, config, range(count)) for _ in range(ROUNDS)]
        name = "1 partition" if count == 1 else f"{count} partitions at once"
        figures = {
            "rows/s": max(go["rows"] / go["seconds"] for go in goes),
            "µs of CPU a row": min(go["cpu"] / go["rows"] * 1e6 for go in goes),
            "MB for 1,000,000 rows": min(go["mb"] / go["rows"] * 1e6 for go in goes),
        }
        for what, value in figures.items():
            found[f"{name}: {what}"] = round(value, 2)
            say(f"restore: {name}: {what}: {value:,.1f}")
    return found


def write(clients: Clients, config: Config, rows: int) -> None:
    """Tables and logs of the demonstration's users, as workers write them; nothing is in the inbox."""
    app = processors.app()
    ensure(clients.admin(), config, [space.name for space in app.namespaces])
    producer, codec = clients.producer("bench"), codec_of(app)
    table, log = f"{config.prefix}user-table", f"{config.prefix}user-log"
    last, transaction = [0] * PARTITIONS, [list[int]() for _ in range(PARTITIONS)]

    def end(at: int) -> None:
        first, last[at] = last[at] + 1, last[at] + len(transaction[at])
        head = Marker(
            first=first, last=last[at], inbox_next=0, recorded=0, application=app.name, topic_ids={},
            partitions=PARTITIONS, transactional_id="bench", counters=Counters(),
        )  # fmt: skip
        produce(producer, table, marker.encode(head), marker.KEY, at, [])
        for sequence, number in enumerate(transaction[at], first):
            key, event = f"u{number}", UserSignup(user=f"u{number}", email=f"u{number}@example.org")
            produce(producer, log, codec.encode(event), f"{key}@{sequence}".encode(), at, _headers(number, sequence))
            produce(producer, table, codec.encode_row(row(number, 1)), key.encode(), at, [(VERSION_HEADER, b"%d" % sequence)])
        transaction[at].clear()

    for number in range(rows):
        at = int(murmur2(b"u%d" % number, PARTITIONS))
        transaction[at].append(number)
        if len(transaction[at]) == TRANSACTION:
            end(at)
    for at in range(PARTITIONS):
        end(at)
    producer.flush(60)


def _headers(number: int, sequence: int) -> list[tuple[str, bytes]]:
    return [
        ("ce_specversion", b"1.0"), ("ce_id", b"0198c0de-0000-4000-8000-%012d" % number), ("ce_type", b"user.signup"),
        ("ce_source", b"bench"), ("ce_time", b"2026-01-01T00:00:00+00:00"),
        pack(LogHeader(sequence, number * 1000, number, "accepted", "f" * 64)),
    ]  # fmt: skip


def _restored(address: str, config: Config, partitions: Sequence[int]) -> Any:
    words = [address, config.prefix, str(config.state), *map(str, partitions)]
    done = subprocess.run(
        [sys.executable, "-m", "ops.bench.restore", *words], cwd=ROOT, capture_output=True, text=True, check=False, timeout=600
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-500:])
    return json.loads(done.stdout)


def main(address: str, prefix: str, folder: str, *partitions: str) -> None:
    spare_the_collector(WHILE_A_BATCH_LIVES)  # as a worker does
    app, config = processors.app(), settings_of(Path(folder), prefix)
    restorer = described_restorer(app, config, Clients.of(config, address), codec_of(app), "user")
    images: list[Image] = []

    def restore(partition: int) -> None:
        steps = restorer.restore(partition, never_cancelled, RestoreProgress(partition))
        while True:
            try:
                time.sleep(next(steps))
            except StopIteration as end:
                images.append(end.value.image)
                return

    before, cpu, began = resident(), time.process_time(), time.monotonic()
    threads = [threading.Thread(target=restore, args=(int(number),)) for number in partitions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    rows = sum(len(image.rows) for image in images)
    print(json.dumps({"rows": rows, "seconds": seconds, "cpu": cpu, "mb": (resident() - before) / 1024}))


if __name__ == "__main__":
    main(*sys.argv[1:])
