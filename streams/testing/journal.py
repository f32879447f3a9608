"""What a World has seen: calls, rejections, and what was set aside."""

from __future__ import annotations

from streams.codec import AvroCodec
from streams.data import EventData
from streams.engine.changes import Changes, SetAsideRecord
from streams.engine.readable import harmless
from streams.engine.records import PARKED, REJECTED
from streams.testing.results import FailedCall, Step, Unhandled


class Journal:
    """Lists that grow, in order. World says what each is."""

    def __init__(self, codec: AvroCodec) -> None:
        self.calls: list[EventData] = []
        self.calls_failed: list[FailedCall] = []
        self.rejections: list[tuple[EventData, str]] = []
        self.parked: list[Unhandled] = []
        self.quarantined: list[Unhandled] = []
        self.outside: list[EventData] = []
        self.steps: list[Step] = []
        self._events_parked: list[Unhandled] = []
        """As `parked`, without requests whose gateway failed."""
        self._codec = codec

    def note(self, changes: Changes) -> None:
        for handled in changes.log:
            if handled.outcome == REJECTED and handled.event is not None:
                self.rejections.append((handled.event.data, handled.reason or ""))
        for aside in changes.set_aside:
            unhandled = self._unhandled(aside)
            (self.quarantined if aside.entity is None else self.parked).append(unhandled)
            if aside.header.status == PARKED:
                self._events_parked.append(unhandled)

    def _unhandled(self, aside: SetAsideRecord) -> Unhandled:
        header = aside.header
        data = None if aside.entity is None else self._codec.decode(aside.value)
        return Unhandled(data, aside.entity, header.reason, header.detail, aside.value)

    def count_parked(self, parked: str) -> int:
        """How many events were parked. Raises ValueError for another word than these."""
        if parked not in ("raise", "allow"):
            raise ValueError(f'parked is {parked!r}; "raise" or "allow" was expected')
        return len(self._events_parked)

    def assert_none_parked(self, before: int, parked: str) -> None:
        """Raises AssertionError with the first event that was parked since there were `before`."""
        new = self._events_parked[before:]
        if parked == "allow" or not new:
            return
        first = new[0]
        detail = first.detail or next((it.detail for it in self.parked if it.key == first.key and it.detail), "")
        what = f"{first.data.event_type} of {first.key!r}" if first.data is not None else f"an event of {first.key!r}"
        more = f", and {len(new) - 1} more" if len(new) > 1 else ""
        text = (
            f"{what} was parked{more}: {first.reason}. If the test expects that, settle(parked=\"allow\") and advance(…, "
            f"parked=\"allow\") let it pass.\n{detail}"
        )
        raise AssertionError(harmless(text.rstrip()))  # pytest writes it to a terminal as it is
