"""Watches a process at its work, from outside: what its logs hold and the CPU it uses, or what it says itself."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka.admin import AdminClient

from ops.bench import measure, topic
from ops.bench.child import last_words
from ops.bench.measure import Point, Sample
from streams.errors import how_ended

POLL_SECONDS = 0.02
"""How finely commits are seen; a window is seconds long."""
QUIET_SECONDS = 0.5
"""Logs are read when they have not grown for so long, so that reading them does not disturb who writes."""
START_SECONDS, STALL_SECONDS = 90.0, 40.0
"""How long a contestant may take to its first commit, and from one to the next. It is never given up while it goes on."""
TICKS = os.sysconf("SC_CLK_TCK")


class WrongResult(RuntimeError):
    """A contestant ended with another result than the work has: its speed means nothing."""


class GaveUp(RuntimeError):
    """A contestant ended, or did not go on with its work. Says how far it was, and its last words."""


def cpu_seconds(pid: int) -> float:
    """What the process has used so far, all threads; 0 if it has ended."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(words[11]) + int(words[12])) / TICKS


@dataclass
class Patience:
    """Says whether a process still works: it runs, and it went on lately."""

    name: str
    child: subprocess.Popen[bytes]
    words: Path
    total: int
    done: int = -1
    began: float = field(default_factory=time.monotonic)
    went_on: float | None = None

    def see(self, done: int) -> None:
        """Raises GaveUp."""
        now = time.monotonic()
        if done > self.done and done:
            self.done, self.went_on = done, now
        since = now - (self.went_on or self.began)
        ended = self.child.poll()
        if ended is None and since < (STALL_SECONDS if self.went_on else START_SECONDS):
            return
        how = how_ended(ended) if ended is not None else f"did not go on for {since:.0f} s"
        load = os.getloadavg()[0]
        raise GaveUp(
            f"{self.name} {how}, {now - self.began:.0f} s after its start, when {max(0, self.done):,} of {self.total:,} events "
            f"were done (load {load:.1f}). Its last words:\n{last_words(self.words)}"
        )


@dataclass
class CommitWatch:
    """Watches `logs` until they hold `total` records in all."""

    broker: str
    logs: Sequence[str]
    total: int

    def go(self, name: str, child: subprocess.Popen[bytes], words: Path) -> tuple[list[Point], topic.LogContent]:
        """Raises GaveUp. More records than expected are for the caller to find."""
        admin = AdminClient({"bootstrap.servers": self.broker, **topic.QUIET})
        samples: list[Sample] = []
        content = topic.LogContent()
        reader = topic.Reader(self.broker, self.logs)
        patience = Patience(name, child, words, self.total)
        grew = time.monotonic()
        try:
            while content.count < self.total:
                time.sleep(POLL_SECONDS)
                samples.append(Sample(time.monotonic(), topic.stable_offsets(admin, self.logs), cpu_seconds(child.pid)))
                now = samples[-1]
                if len(samples) < 2 or now.stable != samples[-2].stable:
                    grew = now.seconds
                seen = sum(now.stable.values())
                patience.see(seen)
                if seen >= self.total and now.seconds - grew >= QUIET_SECONDS:
                    content.take(reader.to_the_end())
                    grew = time.monotonic()
        finally:
            reader.close()
        return measure.counted(samples, content.offsets), content


def watch_words(name: str, child: subprocess.Popen[bytes], words: Path, seconds: float) -> list[Point]:
    """One that writes nothing says `<seconds> <events> <CPU seconds>` after each batch; for `seconds` after the first of these.

    Raises GaveUp.
    """
    patience = Patience(name, child, words, 0)
    points: list[Point] = []
    while len(points) < 2 or points[-1].seconds - points[0].seconds < seconds:
        time.sleep(0.1)
        lines = words.read_text().rpartition("\n")[0].splitlines()
        found = [Point(float(at), int(count), float(cpu)) for at, count, cpu in map(str.split, lines)]
        points = [point for point in found if point.events]  # before the first, its client still connects
        patience.see(points[-1].events if points else 0)
    return points
