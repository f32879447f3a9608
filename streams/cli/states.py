"""What partitions do that do not just run, in sentences for a person."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from streams.cli.screen import plural
from streams.engine.envelope import from_micros
from streams.kafka.status import NamespaceStatus, PartitionStatus
from streams.kafka.task_reports import BLOCKED, NO_WORKER, RUNNING, STARTING, key_of

UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


def sentences(space: NamespaceStatus, now: datetime) -> Iterator[str]:
    """One for each partition that does not run, but for those of which another sentence of `retold status` speaks.

    These are partitions without a worker, and blocked ones whose record is known (`waits_text`).
    """
    waiting = {it.partition for it in space.waiting}
    starting = [it.partition for it in space.partitions if it.state == STARTING]
    for part in space.partitions:
        elsewhere = part.partition in waiting and part.state == BLOCKED
        if part.state not in (None, RUNNING, NO_WORKER, STARTING) and not elsewhere:
            why = f": {part.state_why}" if part.state_why else ""
            yield f"{key_of(space.name, part.partition)} has been {part.state}{since_text(part, now)}{why}."
    if starting:
        *others, last = (key_of(space.name, number) for number in starting)
        names = f"{', '.join(others)} and {last} are" if others else f"{last} is"
        yield f"{names} starting: {'their workers have' if others else 'its worker has'} not reported yet."


def blocked_since(space: NamespaceStatus, partition: int, now: datetime) -> str:
    """For the sentence about a record that waits; empty if no worker says that its partition is blocked."""
    found = [it for it in space.partitions if it.partition == partition and it.state == BLOCKED]
    return since_text(found[0], now) if found else ""


def since_text(part: PartitionStatus, now: datetime) -> str:
    """`` since 2026-02-03T04:05:06Z (5 minutes ago)``, or nothing if it is not known."""
    if part.state_since is None:
        return ""
    since = from_micros(part.state_since)
    return f" since {since:%Y-%m-%dT%H:%M:%SZ} ({_ago((now - since).total_seconds())})"


def _ago(seconds: float) -> str:
    """In the largest unit of which one has passed. The clock that it is from may be ahead of ours."""
    for unit, length in UNITS:
        if seconds >= length:
            return f"{plural(int(seconds // length), unit)} ago"
    return "just now"
