"""A run of a worker of ours that is not in the race: several logs, and no rows to compare."""

from __future__ import annotations

from pathlib import Path

from confluent_kafka.admin import AdminClient

from ops.bench import measure, topic
from ops.bench.child import running
from ops.bench.contestant import Contestant, environment
from ops.bench.watch import CommitWatch, WrongResult


class WorkerRun:
    """A worker at work in topics with one prefix."""

    def __init__(self, contestant: Contestant, prefix: str, broker: str, folder: Path) -> None:
        self.contestant, self.prefix, self.broker, self.folder = contestant, prefix, broker, folder
        folder.mkdir(parents=True)
        self.admin = AdminClient({"bootstrap.servers": broker, **topic.QUIET})

    def go(self, expected: dict[str, int]) -> measure.Window:
        """Until its logs have so many records. Raises GaveUp, WrongResult or TooFewSteps."""
        logs = {f"{self.prefix}{namespace}-log": count for namespace, count in expected.items()}
        words, total = self.folder / "output.txt", sum(expected.values())
        told = environment(self.prefix, "worker", self.broker, self.folder / "state") | dict(self.contestant.settings)
        with running(self.contestant.command, told, words) as child:
            points, content = CommitWatch(self.broker, list(logs), total).go(self.contestant.name, child, words)
        for log, count in logs.items():
            if content.of(log) != count:
                raise WrongResult(f"{self.contestant.name}: the log {log} holds {content.of(log):,} records; expected {count:,}")
        return measure.window(points, total)

    def keys(self) -> int:
        """How many rows its table has."""
        reader = topic.Reader(self.broker, [self.contestant.table(self.prefix, "")])
        try:
            return len({message.key() for message in reader.to_the_end() if message.key()[:1] not in (b"\x00", b"\x01")})
        finally:
            reader.close()
