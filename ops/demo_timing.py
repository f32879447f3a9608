"""How long each part of the demonstration took, and how many a second that is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from processors.events import EmailBounced, EmailSend, EmailSent
from streams.cli.output.screen import plural, table

ANSWERS = (EmailSent.event_type, EmailBounced.event_type)


@dataclass(frozen=True)
class Phase:
    """`count` is how many `unit`s it dealt with; None for a start, which has no rate."""

    name: str
    seconds: float
    count: int | None = None
    unit: str = ""

    @property
    def key(self) -> str:
        """Its name in JSON."""
        return self.name.lower().replace(" ", "_")

    @property
    def per_second(self) -> float | None:
        """None where there is nothing to divide, or no time to divide by."""
        return self.count / self.seconds if self.count and self.seconds > 0 else None

    def as_json(self) -> dict[str, object]:
        found: dict[str, object] = {"seconds": round(self.seconds, 3)}
        if self.count is not None:
            rate = self.per_second
            found |= {"count": self.count, "per_second": None if rate is None else round(rate, 1)}
        return found


class Span:
    """From the first start to the last end."""

    def __init__(self) -> None:
        self.ends = 0
        self._first: datetime | None = None
        self._last: datetime | None = None

    def start(self, time: datetime) -> None:
        self._first = time if self._first is None else min(self._first, time)

    def end(self, time: datetime) -> None:
        self.ends += 1
        self._last = time if self._last is None else max(self._last, time)

    @property
    def seconds(self) -> float:
        """0 if nothing has both started and ended."""
        if self._first is None or self._last is None:
            return 0.0
        return max(0.0, (self._last - self._first).total_seconds())


class LogTimes:
    """What the event logs say of times: when events were handled, when mails were asked for and when they were answered."""

    def __init__(self) -> None:
        self._handling, self._mails = Span(), Span()

    def add(self, event_type: str, recorded: datetime, happened: Callable[[], datetime]) -> None:
        """`happened` gives the event's own time: an answer's is the gateway's clock; it is handled a transaction later."""
        self._handling.start(recorded)
        self._handling.end(recorded)
        if event_type == EmailSend.event_type:
            self._mails.start(recorded)
        elif event_type in ANSWERS:
            self._mails.end(happened())

    def phases(self) -> list[Phase]:
        return [
            Phase("handling", self._handling.seconds, self._handling.ends, "event"),
            Phase("mails", self._mails.seconds, self._mails.ends, "mail"),
        ]


def show(phases: Iterable[Phase], seconds: float) -> None:
    """`seconds` is all of it: phases overlap, and processes start and end besides."""
    rows = [
        (
            phase.name,
            "" if phase.count is None else plural(phase.count, phase.unit),
            f"{phase.seconds:.1f}",
            "" if phase.per_second is None else f"{phase.per_second:,.0f}",
        )
        for phase in phases
    ]
    columns = ("what", "how many", "seconds", "per second")
    table(columns, [*rows, ("in all", "", f"{seconds:.1f}", "")], title="How long it took", right=columns[2:])
