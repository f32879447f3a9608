"""What needs an operator's attention in a namespace, in sentences."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from streams.cli.output.screen import plural
from streams.engine.changes import ImportClock
from streams.engine.readable import harmless
from streams.engine.records import HANDLER, SCHEMA, SLOW
from streams.engine.times import from_micros
from streams.history.correction.correction_calls import OPEN, CorrectionCall
from streams.kafka.alarms import FOREIGN, GOES_ON
from streams.kafka.blocked import blocked_partitions, what_to_do
from streams.kafka.corrections_topic import APPLYING, CorrectionState
from streams.kafka.deleted_records import remedy
from streams.kafka.status import BlockedPartition, CopyStatus, NamespaceEnd, NamespaceStatus, PartitionStatus
from streams.kafka.task_reports import BLOCKED, LAST, NO_WORKER, RUNNING, STARTING, key_of
from streams.namespace import Namespace

NAMED = 10
"""Deleted or foreign records of a namespace that have a sentence of their own."""
UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))


def import_clocks(spaces: Iterable[NamespaceStatus]) -> Iterator[str]:
    """A sentence for each import whose clock counts in some namespace."""
    clocks: dict[str, ImportClock] = {}
    for name, clock in (named for space in spaces for named in space.imports.items()):
        clocks[name] = min(clock, clocks.get(name, clock), key=lambda it: it.at)
    for name, clock in sorted(clocks.items()):
        by = f" by {harmless(clock.who)}" if clock.who else ""
        shown = harmless(name)
        yield (
            f"The import {shown}, begun {from_micros(clock.since):%Y-%m-%d %H:%M} UTC{by}, has its own clock, at "
            f"{from_micros(clock.at):%Y-%m-%d %H:%M:%S}: timers that were overdue when they were scheduled wait for it. It ends "
            f"with its publisher; if that died, publish the file again, or end it: retold publish --release {shlex.quote(shown)}"
        )


def other_generation(space: Namespace[Any], kept: Iterable[int]) -> Iterator[str]:
    """A sentence if workers keep other rows of a namespace than the code here shows."""
    others = sorted({*kept} - {space.generation})
    if others:
        yield (
            f"The code here has rows of generation {space.generation} of {space.name}, and workers keep generation "
            f"{' and '.join(map(str, others))}: rows of generation {space.generation} are as of when that was taken over, or built."
        )


def calls_to_see_to(calls: Iterable[CorrectionCall]) -> Iterator[str]:
    """A sentence if corrections have left calls of gateways to a person."""
    if count := sum(it.state == OPEN for it in calls):
        yield f"Corrections have left {plural(count, 'call')} of gateways to a person: `retold correct open` lists them."


def correcting(states: Iterable[CorrectionState]) -> Iterator[str]:
    """A sentence for each correction that is not applied to its end."""
    for it in states:
        if it.state == APPLYING:
            yield (
                f"The past is being corrected by {it.by} ({harmless(it.why)[:200]}): rows that {it.correction} has not set yet "
                "are as they were. If it was stopped, apply its plan again; `retold correct list` says when it is applied."
            )


def attention(space: NamespaceStatus, now: datetime) -> Iterator[str]:
    """Each sentence names what is unusual, and where there is one, the command for it."""
    if space.missing is not None:
        yield f"{space.name} cannot be handled: {space.missing}. {space.missing.do}."
    if space.ended is not None:
        yield from _ended(space, space.ended, now)
    elif any(part.owner is None for part in space.partitions):
        wait = "1 event waits" if space.lag == 1 else f"{space.lag:,} events wait"
        lag = f", and {wait}" if space.lag else ""
        yield (
            f"Some partitions of {space.name} have no worker{lag}: if none is just restarting, start one with `retold run` or "
            f"`retold worker {space.name}`.{_last_workers(space)}"
        )
    yield from _lost_or_foreign(space)
    if space.counters.derived_rejected:
        rejected = plural(space.counters.derived_rejected, "event")
        was = "was" if space.counters.derived_rejected == 1 else "were"
        yield f"{rejected} of {space.name} with a cause {was} rejected; no publisher was notified."
    if space.parked or space.quarantined:
        yield _set_aside(space)
    if space.calls or space.timers:
        yield f"Pending in {space.name}: {plural(space.calls, 'gateway call')}, {plural(space.timers, 'timer')}."
    if space.producers_replaced:
        yield (
            f"Workers of {space.name} have replaced their Kafka producer {plural(space.producers_replaced, 'time')} since they "
            "started, because a transaction could not be completed or the broker did not answer. No events are lost; if the "
            "number grows, check the network and the broker."
        )
    yield from _partition_states(space, now)
    yield from _warming(space)
    slow = {it.partition for it in blocked_partitions(space) if it.cause == SLOW}
    for waits in space.waiting:
        if waits.partition not in slow:
            yield blocked_at(space, waits, now)


def _last_workers(space: NamespaceStatus) -> str:
    """A sentence about those that had the partitions without a worker, as far as they are known."""
    without = [it.state_why for it in space.partitions if it.owner is None]
    lasts = sorted({why.removeprefix(LAST) for why in without if why.startswith(LAST)})
    if not lasts:
        return ""
    names = f"{', '.join(lasts[:NAMED])}{', and others' if len(lasts) > NAMED else ''}"
    return f" The last that had them: {names}. If such a process is there, it was stopped, or has lost its group; see its log."


def _lost_or_foreign(space: NamespaceStatus) -> Iterator[str]:
    """Of its topics: what was deleted, and what no worker wrote."""
    for found, what in ((space.deleted, "partitions"), (space.foreign, "records")):
        yield from (f"{it}." for it in found[:NAMED])
        if len(found) > NAMED:
            yield f"{len(found) - NAMED:,} more {what} of {space.name} are like these; `--json` has all."
    if space.deleted:
        yield remedy(space.deleted)
    if space.foreign:
        yield f"{FOREIGN}."


def _ended(space: NamespaceStatus, end: NamespaceEnd, now: datetime) -> Iterator[str]:
    """The reason, what to do, and the last traceback."""
    wait = "1 event waits" if space.lag == 1 else f"{space.lag:,} events wait"
    if end.waits:
        since, why = _at(end.since, now, "since"), end.why.rstrip(". ")
        yield f"{space.name} stands still in a worker{since}, and {wait}: {why}. {GOES_ON}"
        return
    yield (
        f"A worker ended {space.name}{_at(end.since, now, 'at')}, and {wait}: {end.why.rstrip('. ')}. When the cause is mended, "
        f"start it again with `retold worker {space.name}`{'. The last traceback:' if end.trace else '.'}"
    )
    if end.trace:
        yield end.trace


def _set_aside(space: NamespaceStatus) -> str:
    """How many events are parked and quarantined; a kind of which there is none is not named."""
    kinds = [(space.parked, "parked"), (space.quarantined, "quarantined")]
    (count, kind), *more = [(count, kind) for count, kind in kinds if count]
    be = "is" if count == 1 else "are"
    also = "".join(f", and {count:,} {'is' if count == 1 else 'are'} {kind}" for count, kind in more)
    return f"{plural(count, 'event')} of {space.name} {be} {kind}{also}: see `retold parked list {space.name}`."


def blocked_at(space: NamespaceStatus, waits: BlockedPartition, now: datetime) -> str:
    """A record that blocks its partition; also since when, if the partition's worker reports that it is blocked."""
    since = _blocked_since(space, waits.partition, now)
    return (
        f"{waits.topic}-{waits.partition} is blocked at offset {waits.offset}{since}, schema {waits.schema_id}: {waits.reason}. "
        f"{what_to_do(space.name, waits)}"
    )


def _partition_states(space: NamespaceStatus, now: datetime) -> Iterator[str]:
    """One sentence for each partition that does not run, except those that another sentence reports.

    These are partitions without a worker, and blocked ones whose record is known (`blocked_at`).
    """
    blocked = {it.partition: it for it in blocked_partitions(space)}
    waiting = {it.partition for it in space.waiting}
    starting = [it.partition for it in space.partitions if it.state == STARTING]
    for part in space.partitions:
        found = blocked.get(part.partition) if part.state == BLOCKED else None
        elsewhere = found is not None and found.cause in (SCHEMA, HANDLER)
        if part.state not in (None, RUNNING, NO_WORKER, STARTING) and not elsewhere:
            why = f": {part.state_why}" if part.state_why else ""
            yield f"{key_of(space.name, part.partition)} has been {part.state}{_since(part, now)}{why}."
            if found is not None:
                yield found.do
        elif part.state == RUNNING and part.state_why and part.partition not in waiting:
            yield f"{key_of(space.name, part.partition)}: {part.state_why}."
    if starting:
        *others, last = (key_of(space.name, number) for number in starting)
        names = f"{', '.join(others)} and {last} are" if others else f"{last} is"
        yield f"{names} starting: {'their workers have' if others else 'its worker has'} not reported yet."


def _warming(space: NamespaceStatus) -> Iterator[str]:
    """A sentence for each worker that reads its copies before it joins the group."""
    reading: dict[str, list[CopyStatus]] = {}
    for it in (copy for part in space.partitions for copy in part.copies if not copy.joined):
        reading.setdefault(it.worker, []).append(it)
    for worker, copies in reading.items():
        done, total = sum(it.done for it in copies), sum(it.total for it in copies)
        yield (
            f"The worker {harmless(worker)} reads copies of {plural(len(copies), 'partition')} before it joins: "
            f"{done:,} of {total:,} records are read."
        )


def _blocked_since(space: NamespaceStatus, partition: int, now: datetime) -> str:
    """Empty if no worker reports that the partition is blocked."""
    found = [it for it in space.partitions if it.partition == partition and it.state == BLOCKED]
    return _since(found[0], now) if found else ""


def _since(part: PartitionStatus, now: datetime) -> str:
    """`` since 2026-02-03T04:05:06Z (5 minutes ago)``, or nothing if it is not known."""
    if part.state_since is None:
        return ""
    return _at(part.state_since, now, "since")


def _at(micros: int, now: datetime, word: str) -> str:
    at = from_micros(micros)
    return f" {word} {at:%Y-%m-%dT%H:%M:%SZ} ({_ago((now - at).total_seconds())})"


def _ago(seconds: float) -> str:
    """In the largest unit of which one has passed. The clock that it is from may be ahead of ours."""
    for unit, length in UNITS:
        if seconds >= length:
            return f"{plural(int(seconds // length), unit)} ago"
    return "just now"
