"""What a rebuild takes, and what a worker that handles events meanwhile pays for it, in CPU: by turns with and without a builder.

`python -m ops.bench.rebuild ADDRESS PREFIX FOLDER GENERATION` builds the rows of that generation, and writes one JSON object.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from ops.bench.application import app as first
from ops.bench.child import ROOT, last_words, running
from ops.bench.events import BenchRow, BenchSignup
from ops.bench.read_model import Say, settings_of
from ops.bench.watch import cpu_seconds
from streams import App, Client, Event, Namespace, Outcome
from streams.code_digest import code_of
from streams.codec import codec_of
from streams.config import Config
from streams.kafka.cancellable_steps import never_cancelled
from streams.kafka.clients import Clients
from streams.kafka.table_generations import read_generations
from streams.kafka.topics import describe, topic_names
from streams.worker.builder_assembly import builder_of

KEYS, RATE, ROUNDS = 20_000, 400, 3
"""Users; events a second while it is built; turns without a builder, and as many with one."""
LONGEST = 300.0
"""s that the worker has to start, and to handle what there is."""
NAMESPACE = "bench"
Figures = dict[str, float]


def app(generation: int) -> App:
    """That of the worker, whose rows are of another generation, and other ones."""
    bench = Namespace(NAMESPACE, row=BenchRow, generation=generation)

    @bench.handles(BenchSignup)
    def signup(row: BenchRow | None, event: Event[BenchSignup]) -> Outcome[BenchRow]:
        new = event.data
        return Outcome(BenchRow(email=new.email, plan=new.plan, n=row.n + generation if row else generation))

    return App(name=first().name, namespaces=[bench])


class SignUps:
    """Publishes them, and knows how many were handled."""

    def __init__(self, address: str, config: Config) -> None:
        self.config, self.clients = config, Clients.of(config, address)
        self._client = Client(first(), address, config=config)
        self.count = 0

    def publish(self, count: int) -> None:
        for _ in range(count):
            user = f"u{self.count * 7919 % KEYS}"
            data = BenchSignup(user=user, email=f"{user}@example.org", name=user, plan="free", at=self.count, credits=1)
            self._client.publish(data, id=f"signup-{self.count}")
            self.count += 1

    @contextmanager
    def going_on(self) -> Iterator[None]:
        over = threading.Event()

        def go_on() -> None:
            while not over.wait(0.05):
                self.publish(RATE // 20)

        thread = threading.Thread(target=go_on)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def handled(self) -> int:
        return sum(it.handled for it in read_generations(self.clients, self.config.prefix, NAMESPACE, 1))

    def close(self) -> None:
        self._client.close()


def measure(address: str, folder: Path, events: int, window: float, say: Say) -> Figures:
    """`events` lie in the log when the first generation is built; each turn without a builder lasts `window` s."""
    folder.mkdir(parents=True, exist_ok=True)
    config = settings_of(folder / "state", f"benchrebuild{time.time_ns() // 1_000_000}-")
    told = {
        "RETOLD_APP": "ops.bench.application:app", "RETOLD_SCHEMAS": "ops/bench/schemas", "RETOLD_BROKER": address,
        "RETOLD_PREFIX": config.prefix, "RETOLD_STATE": str(folder / "worker"), "RETOLD_PARTITIONS": str(config.partitions),
    }  # fmt: skip
    words = folder / "worker.txt"
    with running((sys.executable, "-m", "streams.cli", "worker"), told, words) as worker:
        _await_topics(worker, words, address, config)
        sign_ups = SignUps(address, config)
        try:
            sign_ups.publish(events)
            _await_handled(worker, words, sign_ups)
            return _turns(worker.pid, sign_ups, address, config, window, say)
        finally:
            sign_ups.close()


def _turns(worker: int, sign_ups: SignUps, address: str, config: Config, window: float, say: Say) -> Figures:
    alone, beside, built = list[float](), list[float](), list[Any]()
    for number in range(ROUNDS):
        alone.append(_paid(worker, sign_ups, lambda: time.sleep(window)))
        beside.append(_paid(worker, sign_ups, lambda generation=2 + number: built.append(_built(address, config, generation))))
    figures = {
        "events/s beside live load": median(it["events"] / it["seconds"] for it in built),
        "µs of CPU an event that is built": median(it["cpu"] / it["events"] * 1e6 for it in built),
        "µs of CPU an event of the worker, alone": median(alone),
        "µs of CPU an event of the worker, beside a builder": median(beside),
    }
    for what, value in figures.items():
        say(f"rebuild: {what}: {value:,.1f}")
    return {what: round(value, 2) for what, value in figures.items()}


def _paid(worker: int, sign_ups: SignUps, do: Callable[[], object]) -> float:
    """µs of CPU of the worker for each event that it handles meanwhile."""
    with sign_ups.going_on():
        handled, cpu = sign_ups.handled(), cpu_seconds(worker)
        do()
        cpu = cpu_seconds(worker) - cpu
        return cpu / (sign_ups.handled() - handled) * 1e6


def _built(address: str, config: Config, generation: int) -> Any:
    words = [address, config.prefix, str(config.state), str(generation)]
    done = subprocess.run(
        [sys.executable, "-m", "ops.bench.rebuild", *words], cwd=ROOT, capture_output=True, text=True, check=False, timeout=600
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-500:])
    return json.loads(done.stdout)


def _await_topics(worker: subprocess.Popen[bytes], words: Path, address: str, config: Config) -> None:
    admin, table = Clients.of(config, address).admin(), topic_names(config.prefix, NAMESPACE).table
    _await(worker, words, lambda: table in describe(admin, [table]), "the worker has made no topics")


def _await_handled(worker: subprocess.Popen[bytes], words: Path, sign_ups: SignUps) -> None:
    _await(worker, words, lambda: sign_ups.handled() == sign_ups.count, "the worker has not handled what there is")


def _await(worker: subprocess.Popen[bytes], words: Path, done: Callable[[], bool], what: str) -> None:
    """Raises TimeoutError."""
    began = time.monotonic()
    while not done():
        if worker.poll() is not None or time.monotonic() - began > LONGEST:
            raise TimeoutError(f"{what} after {time.monotonic() - began:.0f} s:\n{last_words(words)}")
        time.sleep(0.5)


def main(address: str, prefix: str, folder: str, generation: str) -> None:
    it, config = app(int(generation)), settings_of(Path(folder), prefix)
    codec, cpu, began = codec_of(it), time.process_time(), time.monotonic()
    builder = builder_of(it, config, Clients.of(config, address), codec, NAMESPACE, code_of(it, codec) + generation)
    steps = builder.follow(never_cancelled)
    for pause in steps:
        if builder.has_caught_up:
            break
        time.sleep(pause)
    steps.close()
    events = sum(state.sequence for state in builder.states())
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    print(json.dumps({"events": events, "seconds": seconds, "cpu": cpu, "cores": os.cpu_count()}))


if __name__ == "__main__":
    main(*sys.argv[1:])
