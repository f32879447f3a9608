"""A municipality confirms that it has received applications for permits; the past of a real one is in tests/data/permits.tsv.gz.

The clerks of that past skipped steps now and then. What the handlers refuse is a choice of this test application.
"""

from __future__ import annotations

from datetime import timedelta

from msgspec.structs import replace

from streams import App, Event, Namespace, Outcome, Projection, Rejected, Scheduled, Tables, View, required
from tests.applications.permits.events import (
    ClerkRow,
    ClerkWork,
    PermitLapse,
    PermitReceive,
    PermitRow,
    PermitStep,
    PerStepRow,
)

permit = Namespace("permit", row=PermitRow)
clerk = Namespace("clerk", row=ClerkRow)
per_step = Projection("per_step", row=PerStepRow)

CLOSE_WITHIN = timedelta(days=56)
DETERMINE, SEND, CLOSE = "T04", "T05", "T10"


@permit.handles(PermitReceive, emits=[ClerkWork, PermitLapse])
def receive(row: PermitRow | None, event: Event[PermitReceive]) -> Outcome[PermitRow]:
    it = event.data
    if row is not None:
        raise Rejected("this application was already received")
    new = PermitRow(
        clerk=it.by, channel=it.channel, received=event.time, status="received", done=(), closed=False, late=False
    )
    lapse = Scheduled(PermitLapse(permit=it.permit), at=event.time + CLOSE_WITHIN)
    return Outcome(new, emit=[ClerkWork(clerk=it.by, permit=it.permit, what="receive"), lapse])


@permit.handles(PermitStep, emits=[ClerkWork])
def step(row: PermitRow | None, event: Event[PermitStep]) -> Outcome[PermitRow]:
    """One that is closed at last stays late: the mistake that tests of `retold shrink` find."""
    it = event.data
    row = required(row, "no such application was received")
    work = [ClerkWork(clerk=it.by, permit=it.permit, what="step")]
    if it.step == DETERMINE:
        row = replace(row, status="determined")
    elif it.step == SEND:
        if row.status == "received":
            raise Rejected("this confirmation is not determined")
        row = replace(row, status="sent")
    elif it.step == CLOSE and not row.closed:
        row = replace(row, closed=True)
        work.append(ClerkWork(clerk=row.clerk, permit=it.permit, what="close"))
    return Outcome(replace(row, done=(*row.done, it.step)), emit=work)


@permit.handles(PermitLapse, emits=[ClerkWork])
def lapse(row: PermitRow | None, event: Event[PermitLapse]) -> Outcome[PermitRow]:
    row = required(row, "no such application was received")
    if row.closed:
        return Outcome(row)
    return Outcome(replace(row, late=True), emit=[ClerkWork(clerk=row.clerk, permit=event.key, what="late")])


@clerk.handles(ClerkWork)
def work(row: ClerkRow | None, event: Event[ClerkWork]) -> Outcome[ClerkRow]:
    row = row or ClerkRow(open=0, steps=0, late=0, last="")
    match event.data.what:
        case "receive":
            return Outcome(replace(row, open=row.open + 1))
        case "close":
            return Outcome(replace(row, open=row.open - 1))
        case "late":
            return Outcome(replace(row, late=row.late + 1))
    return Outcome(replace(row, steps=row.steps + 1, last=event.data.permit))


@per_step.folds(PermitStep, key=lambda event: event.data.step)
def count_step(row: PerStepRow | None, event: Event[PermitStep]) -> PerStepRow:
    return PerStepRow(count=(row.count if row else 0) + 1, last=event.key)


def late_permits(tables: Tables) -> list[str]:
    return sorted(key for key, row in tables.of(permit).items() if row.late)


def app() -> App:
    return App(
        name="permits",
        namespaces=[permit, clerk],
        projections=[per_step],
        views=[View("late", late_permits)],
    )
