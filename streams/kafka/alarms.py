"""What in an application's status needs somebody, and how soon: for health checks, metrics and `retold status --check`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from streams.app import App
from streams.engine.times import to_micros
from streams.kafka.blocked import CAUSES, Blocked, blocked_partitions
from streams.kafka.deleted_records import remedy
from streams.kafka.open_transactions import sentence
from streams.kafka.status import NamespaceStatus, PartitionStatus, Status
from streams.kafka.task_reports import BLOCKED, key_of

Severity = Literal["good", "warn", "bad"]
LAG_WARN, LAG_BAD = 5.0, 30.0
"""s for which the oldest unhandled record may wait."""
UNOWNED_BAD = 30.0
"""s for which a partition may have no worker: a worker that restarts is back by then."""
BLOCKED_BAD = 60.0
KEYS_BAD, PARKED_BAD = 20, 3600.0
TIMER_BAD, CALL_BAD = 60.0, 900.0
AHEAD_WARN = 60.0
"""s by which the clock of a worker may be ahead."""
SHOWN = 3
"""Blocked partitions that are named with their reasons."""
BUSY = (
    "If a worker owns the partition, its process or a handler may hang, or it has too much to do: see its log, and the "
    "stacks of its threads with `kill -USR1`."
)
FOREIGN = (
    "No worker starts on that partition: find out who writes there, and end its right to; docs/troubleshooting.md says how to go on"
)
GOES_ON = "Once its rows are built, it goes on by itself."
"""Of a namespace that waits: not where other code is to be deployed, as the reason says then."""
NOTHING: Mapping[str, int] = MappingProxyType({})
HELD_BAD = 30.0
"""s for which a transaction may stay open."""


@dataclass(frozen=True, slots=True)
class Check:
    """`detail` is a sentence about what is wrong, `do` one about what to do; both are empty if it is good."""

    name: str
    state: Severity
    detail: str = ""
    do: str = ""


def worst(checks: list[Check]) -> Severity:
    states = {check.state for check in checks}
    return "bad" if "bad" in states else "warn" if "warn" in states else "good"


def seconds_since(micros: int | None, now: int) -> float:
    """`now` and `micros` in µs since 1970. 0 if it is not known; the clock that it is from may be ahead of ours."""
    return 0.0 if micros is None else max(0.0, (now - micros) / 1e6)


def checks(
    found: Status, now: int, unowned: Mapping[tuple[str, int], float] | None = None, here: Mapping[str, int] = NOTHING
) -> list[Check]:
    """One or more for each namespace. `now` in µs since 1970; `unowned`: for how long (s) partitions have had no worker.

    Without `unowned`, a partition that has none is bad at once: who asks once cannot know since when. `here` has by namespace the
    generation of rows that the code of who asks has.
    """
    of_spaces = [it for space in found.namespaces for it in _of_namespace(space, now, unowned)]
    return [*of_spaces, *_generations(found, here), _settings(found), _held(found, now)]


def generations_of(app: App) -> Mapping[str, int]:
    """Of the rows that the code of an application has, by namespace."""
    return {space.name: space.generation for space in app.namespaces}


def _generations(found: Status, here: Mapping[str, int]) -> Iterator[Check]:
    """Whether workers keep the rows that the code here has: else what it shows of them is old, and it corrects nothing."""
    for space in found.namespaces:
        if (ours := here.get(space.name)) is not None:
            others = [str(it) for it in space.generations if it != ours]
            name, kept = f"{space.name}.generation", " and ".join(others)
            yield Check(
                name, "warn", f"Workers keep rows of generation {kept} of {space.name}, and the code here has generation {ours}.",
                "Deploy the same code to workers and servers, workers first.",
            ) if others else Check(name, "good")  # fmt: skip


def _of_namespace(
    space: NamespaceStatus, now: int, unowned: Mapping[tuple[str, int], float] | None
) -> Iterator[Check]:
    if space.ended is not None:
        why = space.ended.why.rstrip(". ")
        do = GOES_ON if space.ended.waits else f"Mend it, then start `retold worker {space.name}`."
        yield Check(f"{space.name}.ended", "bad", f"{why}.", do)
    yield _workers(space, unowned)
    blocked = blocked_partitions(space)
    yield _lag(space, now, blocked)
    for cause in CAUSES:
        yield _blocked(space, now, cause, [it for it in blocked if it.cause == cause])
    yield _parked(space, now)
    yield _timers(space, now)
    yield _calls(space, now)
    yield _clock(space, now)
    yield _deleted(space)
    yield _foreign(space)


def _workers(space: NamespaceStatus, unowned: Mapping[tuple[str, int], float] | None) -> Check:
    name = f"{space.name}.workers"
    do = f"Unless one is just restarting, start a worker: `retold worker {space.name}`; the log of the last one says why it ended."
    if space.missing is not None:
        return Check(name, "bad", f"{space.name} cannot be handled: {space.missing}.", f"{space.missing.do}.")
    alone = [it.partition for it in space.partitions if it.owner is None]
    if not alone:
        return Check(name, "good")
    long = unowned is None or any(unowned.get((space.name, number), 0.0) >= UNOWNED_BAD for number in alone)
    which = ", ".join(key_of(space.name, number) for number in alone)
    return Check(name, "bad" if long else "warn", f"No worker owns {which}.", do)


def _lag(space: NamespaceStatus, now: int, blocked: Sequence[Blocked]) -> Check:
    name = f"{space.name}.lag"
    oldest = min((it for it in space.partitions if it.oldest is not None), key=lambda it: it.oldest or 0, default=None)
    if oldest is None:
        return Check(name, "good")
    seconds = seconds_since(oldest.oldest, now)
    if seconds <= LAG_WARN:
        return Check(name, "good")
    at = f"{key_of(space.name, oldest.partition)}@{oldest.oldest_offset}"
    do = next((it.do for it in blocked if it.partition == oldest.partition), BUSY)
    return Check(
        name, "bad" if seconds > LAG_BAD else "warn",
        f"The record at {at} has waited for {seconds:.0f} s and is not handled; {_owner(oldest)}.", do,
    )  # fmt: skip


def _owner(part: PartitionStatus) -> str:
    return "no worker owns the partition" if part.owner is None else f"its partition is {part.state or 'owned'}"


def _blocked(space: NamespaceStatus, now: int, cause: str, found: Sequence[Blocked]) -> Check:
    """Those that are `found` to be blocked by this cause."""
    name = f"{space.name}.blocked.{cause}"
    if not found:
        return Check(name, "good")
    parts = {it.partition: it for it in space.partitions}
    since = max(blocked_for(parts[it.partition], now) for it in found)
    shown = [f"{key_of(space.name, it.partition)} cannot go on: {it.why}" for it in found[:SHOWN]]
    more = [f"{len(found) - SHOWN} more partitions neither"] if len(found) > SHOWN else []
    return Check(name, "bad" if since > BLOCKED_BAD else "warn", f"{'; '.join(shown + more)}.", found[0].do)


def blocked_for(part: PartitionStatus, now: int) -> float:
    """S since a blocked partition has stood at its record, as its worker reports it, or since the record came."""
    return max(seconds_since(part.state_since if part.state == BLOCKED else None, now), seconds_since(part.oldest, now))


def _parked(space: NamespaceStatus, now: int) -> Check:
    name = f"{space.name}.parked"
    if not space.parked and not space.quarantined:
        return Check(name, "good")
    old = seconds_since(space.parked_oldest, now)
    bad = space.parked_keys > KEYS_BAD or old > PARKED_BAD
    detail = f"{space.name} has " + " and ".join(_kinds_set_aside(space, old)) + "."
    return Check(name, "bad" if bad else "warn", detail, f"`retold parked list {space.name}` shows them.")


def _kinds_set_aside(space: NamespaceStatus, oldest: float) -> Iterator[str]:
    """`oldest` in s. Quarantined records have no age here: no command takes one out, so it would be bad for ever."""
    if space.parked:
        events, keys = "event" if space.parked == 1 else "events", "key" if space.parked_keys == 1 else "keys"
        yield (
            f"{space.parked:,} parked {events} of {space.parked_keys:,} {keys} ({space.unanswered:,} of them requests that no "
            f"gateway answered; the oldest is {oldest:,.0f} s old)"
        )
    if space.quarantined:
        one = space.quarantined == 1
        yield f"{space.quarantined:,} quarantined {'record, which blocks' if one else 'records, which block'} nothing"


def _timers(space: NamespaceStatus, now: int) -> Check:
    name, late = f"{space.name}.timers", seconds_since(space.timer_due, now)
    waits = any(part.oldest is not None for part in space.partitions)  # timers fire at an inbox's end, and lag has its own check
    if late <= TIMER_BAD or waits:
        return Check(name, "good")
    return Check(name, "bad", f"A timer of {space.name} is {late:,.0f} s overdue.", "See the worker's log.")


def _calls(space: NamespaceStatus, now: int) -> Check:
    name, asked = f"{space.name}.calls", seconds_since(space.call_asked, now)
    if asked <= CALL_BAD:
        return Check(name, "good")
    return Check(
        name, "bad", f"A call of a gateway of {space.name} has had no answer for {asked:,.0f} s.",
        "See the worker's log, and whether the service that the gateway calls works.",
    )  # fmt: skip


def _clock(space: NamespaceStatus, now: int) -> Check:
    """Recorded times never go back, so the newest events of a partition may be known later than they happen."""
    name = f"{space.name}.clock"
    last = max(space.partitions, key=lambda it: it.recorded, default=None)
    if last is None or (ahead := (last.recorded - now) / 1e6) <= AHEAD_WARN:
        return Check(name, "good")
    return Check(
        name, "warn",
        f"The last event of {key_of(space.name, last.partition)} was recorded {ahead:,.0f} s ahead of the clock here: that of a "
        "worker is, or was, ahead, or this one is behind.",
        "Set the clocks (NTP). Until they have caught up, questions about the past do not tell all of the newest events.",
    )  # fmt: skip


def _deleted(space: NamespaceStatus) -> Check:
    name = f"{space.name}.deleted"
    if not space.deleted:
        return Check(name, "good")
    shown = [str(it) for it in space.deleted[:SHOWN]]
    more = [f"{len(space.deleted) - SHOWN} more partitions begin later, too"] if len(space.deleted) > SHOWN else []
    return Check(name, "bad", f"{'; '.join(shown + more)}.", remedy(space.deleted))


def _foreign(space: NamespaceStatus) -> Check:
    name = f"{space.name}.foreign"
    if not space.foreign:
        return Check(name, "good")
    more = f" Records beside it that do not read: {len(space.foreign) - 1}." if len(space.foreign) > 1 else ""
    return Check(name, "bad", f"{space.foreign[0]}.{more}", f"{FOREIGN}.")


def _settings(found: Status) -> Check:
    if not found.wrong_settings:
        return Check("settings", "good")
    first, *others = found.wrong_settings
    more = f" Other settings that are wrong: {len(others)}; `retold topics` shows them." if others else ""
    return Check("settings", "bad", f"{first[0].upper()}{first[1:]}.{more}", "Until it is set, Kafka may delete what is needed.")


def _held(found: Status, now: int) -> Check:
    """Each has been open for longer than is normal."""
    held = [(it.hangs or (it.since is not None and seconds_since(to_micros(it.since), now) > HELD_BAD), it)
            for it in found.open_transactions]  # fmt: skip
    if not held:
        return Check("transactions", "good")
    bad, worst_of_them = max(held, key=lambda it: it[0])
    told = sentence(worst_of_them, found.broker, found.prefix)
    return Check("transactions", "bad" if bad else "warn", told, "The sentence says what ends it.")
