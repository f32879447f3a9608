"""What the runs found: a line for each, and the figures of all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.injector import Happened
from tests.chaos.pauses import Pause, nobody_there, percentile, with_somebody_there
from tests.chaos.plan import Fault, Plan

SHOWN = 4
"""Pauses."""


@dataclass
class SeedResult:
    """Of one run. `settled`: how many s after the last fault all was handled. `hung` says what was not; empty if all was."""

    plan: Plan
    happened: list[Happened] = field(default_factory=list)
    not_run: list[Fault] = field(default_factory=list)
    """Faults that cannot happen on this machine."""
    began: float = 0.0
    """When the first event was published, in s since 1970."""
    published: int = 0
    events: int = 0
    lost: int = 0
    doubled: int = 0
    misordered: int = 0
    unequal: int = 0
    hung: str = ""
    settled: float = 0.0
    seconds: float = 0.0
    pauses: list[Pause] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    """Of each fault that happened: how long an event had to wait at most, in s."""
    differences: list[str] = field(default_factory=list)
    """Rows that a server has otherwise than their tables."""
    worker_ends: list[tuple[str, int]] = field(default_factory=list)
    """Workers and servers that ended by themselves, with their exit codes."""
    broker_ends: int = 0
    """How often the broker ended by itself, since its disk was full."""
    failures: list[str] = field(default_factory=list)

    @property
    def longest_pause(self) -> float:
        return self.pauses[0].seconds if self.pauses else 0.0

    @property
    def longest_unexplained(self) -> float:
        """The longest time of a pause in which the broker and a worker were there."""
        spans = nobody_there(self.happened, self.plan.workers)
        return max((with_somebody_there(it, spans) for it in self.pauses), default=0.0)

    def pause_lines(self) -> Iterator[str]:
        """The longest ones, from the first event on."""
        spans = nobody_there(self.happened, self.plan.workers)
        for it in sorted(self.pauses, key=lambda it: -with_somebody_there(it, spans))[:SHOWN]:
            when = f"from {it.began - self.began:.1f} s to {it.ended - self.began:.1f} s"
            yield f"{it.place[0]}-{it.place[1]} paused {when}, with somebody there for {with_somebody_there(it, spans):.1f} s"

    @property
    def failed(self) -> bool:
        return bool(self.hung or self.failures)

    def line(self) -> str:
        said = "failed" if self.failed else "as it should be"
        return (
            f"seed {self.plan.seed}: {self.plan.application}, {len(self.happened)} faults, {self.events:,} events, "
            f"longest pause {self.longest_pause:.1f} s ({self.longest_unexplained:.1f} s with somebody there), "
            f"settled after {self.settled:.1f} s, {self.seconds:.0f} s in all: {said}"
        )


def totals(results: Sequence[SeedResult]) -> dict[str, Any]:
    """The figures of all runs, as the last line of `--json`."""
    return {
        "seeds": len(results),
        "faults": sum(len(it.happened) for it in results),
        "events": sum(it.events for it in results),
        "published": sum(it.published for it in results),
        "lost": sum(it.lost for it in results),
        "doubled": sum(it.doubled for it in results),
        "misordered": sum(it.misordered for it in results),
        "unequal": sum(it.unequal + len(it.differences) for it in results),
        "hung": sum(bool(it.hung) for it in results),
        "longest_pause_s": round(max((it.longest_pause for it in results), default=0.0), 2),
        "longest_pause_with_somebody_there_s": round(max((it.longest_unexplained for it in results), default=0.0), 2),
        "settled_s": {"p50": _share(0.5, [it.settled for it in results]), "p99": _share(0.99, [it.settled for it in results])},
        "seconds": round(sum(it.seconds for it in results), 1),
        "failed": [it.plan.seed for it in results if it.failed],
        "broker_ends": sum(it.broker_ends for it in results),
        "not_run": sorted({fault.kind for it in results for fault in it.not_run}),
        "kinds": by_kind(results),
    }


def by_kind(results: Sequence[SeedResult]) -> dict[str, dict[str, float]]:
    """Of each kind of fault: how often it happened, and the longest wait of an event that was published during it."""
    waits: dict[str, list[float]] = {}
    for it in results:
        for happened, wait in zip(it.happened, it.waits, strict=False):  # none where the run was hung
            waits.setdefault(happened.fault.kind, []).append(wait)
    return {
        kind: {"count": len(found), "p50_s": _share(0.5, found), "p99_s": _share(0.99, found), "longest_s": round(max(found), 2)}
        for kind, found in sorted(waits.items())
    }


def kind_lines(kinds: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    """For a person to read, of what `by_kind` gives."""
    yield f"{'waits in s':36} {'times':>6} {'p50':>8} {'p99':>8} {'longest':>8}"
    for kind, it in kinds.items():
        yield f"{kind:36} {it['count']:6.0f} {it['p50_s']:8.2f} {it['p99_s']:8.2f} {it['longest_s']:8.2f}"


def _share(share: float, values: Sequence[float]) -> float:
    return round(percentile(values, share), 2)
