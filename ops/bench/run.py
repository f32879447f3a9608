"""One run of one contestant: fill its inbox, start it, watch it commit, read what it left, stop it."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka.admin import AdminClient

from ops.bench import measure, topic
from ops.bench.child import last_words, running
from ops.bench.contestant import Contestant, environment
from ops.bench.work import Expected, Row, fill
from streams.errors import how_ended

POLL_SECONDS = 0.02
"""How finely commits are seen; a window is seconds long."""

ROWS_SECONDS = 12
"""How long rows may come after the last log record: more than any contestant's commit interval."""


class WrongResult(RuntimeError):
    """A contestant ended with another result than the work has: its speed means nothing."""


class GaveUp(RuntimeError):
    """A contestant ended, or did not complete the work in its time."""


@dataclass
class Run:
    """`prefix` begins every name that this run uses, so that runs share nothing but the broker."""

    contestant: Contestant
    prefix: str
    events: int
    broker: str
    folder: Path
    limit: float = 45
    window: measure.Window | None = None
    points: list[measure.Point] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self.words = self.folder / "output.txt"
        self.log = self.prefix + "bench-log"
        self.admin = AdminClient({"bootstrap.servers": self.broker})

    def go(self) -> measure.Window:
        """Raises GaveUp, WrongResult or TooFewSteps."""
        self.contestant.prepare(self.admin, self.prefix)
        inbox = self.prefix + "bench"
        expected = fill(self.broker, inbox, self.events)
        if (there := sum(topic.stable_offsets(self.admin, inbox).values())) != self.events:
            raise GaveUp(f"{inbox} holds {there} of {self.events} events")
        told = environment(self.prefix, self.contestant.name, self.broker, self.folder / "state")
        with running(self.contestant.command, told, self.words) as child:
            if self.contestant.writes:
                self._watch_commits(child, expected)
                self._check_rows(expected)
            else:
                self._watch_words(child)
        self.window = measure.window(self.points, self.events)
        return self.window

    def _watch_words(self, child: subprocess.Popen[bytes]) -> None:
        """The one that writes nothing says `<seconds> <events>` after each batch."""
        deadline = time.monotonic() + self.limit
        while not self.points or self.points[-1][1] < self.events:
            self._still_running(child, deadline)
            time.sleep(0.1)
            lines = self.words.read_text().rpartition("\n")[0].splitlines()
            self.points = [(float(at), int(count)) for at, count in map(str.split, lines)]

    def _watch_commits(self, child: subprocess.Popen[bytes], expected: Expected) -> None:
        """The log is read only when its stable offsets say that all may be there, so reading disturbs nothing."""
        samples: list[tuple[float, dict[int, int]]] = []
        content = topic.LogContent()
        reader = topic.Reader(self.broker, self.log)
        deadline = time.monotonic() + self.limit
        try:
            while content.count < self.events:
                self._still_running(child, deadline)
                time.sleep(POLL_SECONDS)
                samples.append((time.monotonic(), topic.stable_offsets(self.admin, self.log)))
                if sum(samples[-1][1].values()) >= self.events:
                    content.take(reader.to_the_end())
        finally:
            reader.close()
        if (content.count, content.checksum) != (expected.count, expected.checksum):
            raise WrongResult(
                f"{self.contestant.name}: the log {self.log} holds {content.count} records of "
                f"{expected.count} events; some are not there, or there twice"
            )
        self.points = measure.counted(samples, content.offsets)

    def _check_rows(self, expected: Expected) -> None:
        """Waits for the last commit: some write their table later than their log."""
        rows: dict[str, Row] = {}
        reader = topic.Reader(self.broker, self.contestant.table(self.prefix))
        deadline = time.monotonic() + ROWS_SECONDS
        try:
            while rows != expected.rows and time.monotonic() < deadline:
                for message in reader.to_the_end():
                    if message.value() and (found := self.contestant.row(message.key(), message.value())):
                        rows[found[0]] = found[1]
        finally:
            reader.close()
        if rows != expected.rows:
            raise WrongResult(
                f"{self.contestant.name}: {len(rows)} rows with {sum(row['n'] for row in rows.values())} events; "
                f"expected {len(expected.rows)} with {expected.count}: {first_difference(rows, expected.rows)}"
            )

    def _still_running(self, child: subprocess.Popen[bytes], deadline: float) -> None:
        ended = child.poll()
        if ended is None and time.monotonic() < deadline:
            return
        how = how_ended(ended) if ended is not None else f"was not done after {self.limit:.0f} s"
        raise GaveUp(f"{self.contestant.name} {how}. Its last words:\n{last_words(self.words)}")


def first_difference(found: dict[str, Row], expected: dict[str, Row]) -> str:
    """One key that differs, with both rows."""
    for key in sorted(expected.keys() | found.keys()):
        if found.get(key) != expected.get(key):
            return f"{key!r} is {found.get(key)}, expected {expected.get(key)}"
    return "none differs"
