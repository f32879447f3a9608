"""An application that leans on timers: of a key itself, again and again, and of other keys in another namespace."""

from __future__ import annotations

from datetime import timedelta

from msgspec.structs import replace

from streams import App, Event, Namespace, Outcome, Rejected, Scheduled
from streams.outcome import Emission
from tests.applications.timed.events import AlarmRing, AlarmRow, AlarmTouch, BellRing, BellRow

HOUR = timedelta(hours=1)

alarm = Namespace("alarm", row=AlarmRow)
bell = Namespace("bell", row=BellRow)


@alarm.handles(AlarmTouch, emits=[AlarmRing, BellRing])
def touch(row: AlarmRow | None, event: Event[AlarmTouch]) -> Outcome[AlarmRow]:
    """What is rung later depends on the order in which a key is touched and rung."""
    row, it = row or AlarmRow(), event.data
    if it.number % 7 == 3 and row.total > 20:
        raise Rejected("too much")
    if it.number == 99:
        raise ZeroDivisionError("a bug")
    emit: list[Emission] = []
    if it.after:
        ring = AlarmRing(name=it.name, number=it.number, again=it.number % 3)
        emit.append(Scheduled(ring, at=event.time + it.after * HOUR))
    if it.other:
        emit.append(Scheduled(BellRing(name=it.other, number=it.number), at=event.time + it.after * HOUR))
    trace = f"{row.trace}t{it.number}"
    return Outcome(replace(row, total=row.total + it.number, touched=row.touched + 1, trace=trace), emit=emit)


@alarm.handles(AlarmRing, emits=[AlarmRing, BellRing])
def ring(row: AlarmRow | None, event: Event[AlarmRing]) -> Outcome[AlarmRow]:
    """It adds how often the key was touched before it rang."""
    row, it = row or AlarmRow(), event.data
    if it.number == 13:
        raise ZeroDivisionError("a bug")
    emit: list[Emission] = [BellRing(name=it.name, number=it.number)]
    if it.again:
        again = AlarmRing(name=it.name, number=it.number, again=it.again - 1)
        emit.append(Scheduled(again, at=event.time + HOUR))
    return Outcome(replace(row, rung=row.rung + row.touched, trace=f"{row.trace}r{it.number}"), emit=emit)


@bell.handles(BellRing)
def bell_rings(row: BellRow | None, event: Event[BellRing]) -> Outcome[BellRow]:
    """A sum, which is the same in any order."""
    return Outcome(BellRow(rung=(0 if row is None else row.rung) + event.data.number))


def app() -> App:
    return App(name="timed", namespaces=[alarm, bell])
