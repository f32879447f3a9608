"""One run of one contestant: start it, watch it commit, read what it left, stop it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka.admin import AdminClient

from ops.bench import measure, topic
from ops.bench.child import running
from ops.bench.contestant import Contestant, environment
from ops.bench.plan import WARM_UP, WARM_UPS
from ops.bench.watch import CommitWatch, WrongResult, watch_words
from ops.bench.work import Expected, Row, fill, records

ROWS_SECONDS = 12
"""How long rows may come after the last log record: more than any contestant's commit interval."""


@dataclass(frozen=True)
class Inbox:
    """A topic with events, and what must come of them."""

    topic: str
    expected: Expected

    @property
    def events(self) -> int:
        return self.expected.count


def filled(contestant: Contestant, broker: str, prefix: str, events: int) -> Inbox:
    """A new inbox."""
    admin = AdminClient({"bootstrap.servers": broker, **topic.QUIET})
    contestant.prepare(admin, prefix)
    inbox = Inbox(prefix + "bench", Expected())
    fill(broker, inbox.topic, records(events, inbox.expected))
    if (there := sum(topic.stable_offsets(admin, [inbox.topic]).values())) != events:
        raise RuntimeError(f"{inbox.topic} holds {there:,} of {events:,} events")
    return inbox


@dataclass
class Run:
    """`prefix` begins every name that this run uses, so that runs share nothing but the broker and, some of them, the inbox."""

    contestant: Contestant
    prefix: str
    inbox: Inbox
    broker: str
    folder: Path
    seconds: float
    """How long one that writes nothing is watched."""

    @property
    def log(self) -> str:
        return self.prefix + "bench-log"

    def go(self) -> measure.Window:
        """Raises GaveUp, WrongResult or TooFewSteps."""
        self.folder.mkdir(parents=True)
        words = self.folder / "output.txt"
        if not self.contestant.own_inbox and self.contestant.writes:
            topic.create(AdminClient({"bootstrap.servers": self.broker, **topic.QUIET}), self.log)
        told = environment(self.prefix, self.contestant.name, self.broker, self.folder / "state")
        told |= {"BENCH_INBOX": self.inbox.topic, "BENCH_EVENTS": str(self.inbox.events)} | dict(self.contestant.settings)
        with running(self.contestant.command, told, words) as child:
            if not self.contestant.writes:
                points = watch_words(self.contestant.name, child, words, self.seconds)
                return measure.window(points, points[-1].events + 1)
            watch = CommitWatch(self.broker, [self.log], self.inbox.events)
            points, content = watch.go(self.contestant.name, child, words)
            self._check_log(content)
            self._check_rows()
        return measure.window(points, self.inbox.events, WARM_UPS.get(self.contestant.name, WARM_UP))

    def _check_log(self, content: topic.LogContent) -> None:
        expected = self.inbox.expected
        if (content.count, content.checksum) != (expected.count, expected.checksum):
            raise WrongResult(
                f"{self.contestant.name}: the log {self.log} holds {content.count} records of "
                f"{expected.count} events; some are not there, or there twice"
            )
        if content.without_headers:
            raise WrongResult(f"{self.contestant.name}: records of the log {self.log} lack headers that their events have")

    def _check_rows(self) -> None:
        """Waits for the last commit: some write their table later than their log."""
        expected = self.inbox.expected
        rows: dict[str, Row] = {}
        reader = topic.Reader(self.broker, [self.contestant.table(self.prefix, self.inbox.topic)])
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


def first_difference(found: dict[str, Row], expected: dict[str, Row]) -> str:
    """One key that differs, with both rows."""
    for key in sorted(expected.keys() | found.keys()):
        if found.get(key) != expected.get(key):
            return f"{key!r} is {found.get(key)}, expected {expected.get(key)}"
    return "none differs"
