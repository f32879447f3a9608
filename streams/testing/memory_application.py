"""An application in memory: its namespaces' inboxes and images, its gateways, and the time it is."""

from __future__ import annotations

from datetime import datetime

from streams.app import App
from streams.codec import AvroCodec
from streams.data import EventData, namespace_of
from streams.engine.batch import CallAnswer, CallGivenUp
from streams.engine.changes import Changes, PendingCall
from streams.engine.engine import Engine
from streams.engine.pending import FiringLimit
from streams.engine.projector import Projector
from streams.engine.records import NO_OFFSET, EmittedRecord, Headers
from streams.engine.times import from_micros, to_micros
from streams.outcome import Emission, Scheduled
from streams.testing.codecs import foreign_codec
from streams.testing.journal import Journal
from streams.testing.results import FailedCall, Step
from streams.testing.space import Space
from streams.testing.world_io import ask

ALL = FiringLimit(2**63, 2**63)


class MemoryApplication:
    """Each namespace has one partition. `now` is the time it is."""

    def __init__(self, app: App, codec: AvroCodec, seen: Journal, now: datetime) -> None:
        self.app, self._seen, self.now = app, seen, now
        self._foreign: AvroCodec | None = None
        self._gateways = {gateway.data: gateway for gateway in app.gateways}
        self.projecting = Projector(app.projections, codec)
        self.spaces = {part.name: Space(Engine(app, part.name, codec)) for part in app.namespaces}
        self.arrivals = 0

    def space(self, event_type: str) -> Space:
        """The namespace of an event's name, or of this name. Raises DefinitionError."""
        return self.spaces[self.app.namespace(namespace_of(event_type)).name]

    def publish(self, namespace: str, key: bytes | None, value: bytes | None, headers: Headers | None = None) -> int:
        """Put a record into an inbox; gives its offset."""
        space = self.space(namespace)
        self.arrivals += 1
        return space.put(self.arrivals, key, value, headers, to_micros(self.now))

    def settle(self) -> None:
        """Handle what waits in inboxes, in the order of arrival, until nothing is left."""
        while ready := [space for space in self.spaces.values() if space.ready()]:
            self.take(min(ready, key=lambda space: space.inbox[0][0]))

    def fire_until(self, end: int) -> None:
        """Fire what is due by `end` (µs), from one due time to the next; each settles before the next."""
        while (at := min((at for space in self._free() if (at := _next_due(space)) is not None), default=end + 1)) <= end:
            due = [space for space in self._free() if (first := _next_due(space)) is not None and first <= at]
            if any(space.inbox for space in due):  # the clock fires only where an inbox is read to its end
                self.settle()
                continue
            self.now = max(self.now, from_micros(at))
            now = to_micros(self.now)
            for space in due:
                if (changes := space.fire(at, now)) is not None:
                    self._made_true(space, Step(space.name, now, None, changes, at))
            self.settle()

    def _free(self) -> list[Space]:
        return [space for space in self.spaces.values() if space.blocked is None]

    def _make_true(self, space: Space, changes: Changes) -> None:
        """Apply changes that come from no inbox record, and deliver their emissions."""
        space.image.apply(changes)
        self._seen.note(changes)
        for emitted in changes.emitted:
            self._deliver(emitted)

    def take(self, space: Space, offset: int = NO_OFFSET) -> tuple[Changes, list[Emission]]:
        """Handle the first record of an inbox, and deliver its emissions and calls.

        Returns what the record at `offset` emitted, and not a timer before it.
        """
        now = to_micros(self.now)
        record, changes = space.take(now)
        return changes, self._made_true(space, Step(space.name, now, record, changes), offset)

    def _made_true(self, space: Space, step: Step, offset: int = NO_OFFSET) -> list[Emission]:
        """Note and fold what was handled, and deliver its emissions and calls."""
        changes = step.changes
        if changes.handled:
            self._seen.steps.append(step)
        self._seen.note(changes)
        for accepted in changes.accepted:
            self.projecting.fold(accepted)
        return self._let_go(space, changes, offset)

    def _let_go(self, space: Space, changes: Changes, offset: int) -> list[Emission]:
        """Deliver emissions to inboxes and call gateways; timers wait in the image. Returns what the record at `offset` led to."""
        own = [handled for handled in changes.results if handled.offset == offset]
        gone = [emission for handled in own for emission in handled.emissions]
        gone.sort(key=lambda it: isinstance(it, Scheduled))
        for emitted in changes.emitted:
            self._deliver(emitted)
        for reference, call in changes.calls.items():
            if reference not in space.image.calls:
                continue  # answered in the same step, or behind one of its key that was just given up
            answered = self._call(space, call)
            if call.offset == offset:
                gone += answered
        return gone

    def _deliver(self, emitted: EmittedRecord) -> None:
        if emitted.namespace in self.spaces:
            self.publish(emitted.namespace, emitted.key, emitted.value, emitted.headers)
        else:
            self._foreign = self._foreign or foreign_codec(self.app)
            self._seen.outside.append(self._foreign.decode(emitted.value))

    def _call(self, space: Space, call: PendingCall) -> list[EventData]:
        """Call the gateway and publish its answer; a failed call is parked with its key, for an operator."""
        request = call.event.data
        batch = space.engine.begin(space.image, to_micros(self.now))
        self._seen.calls.append(request)
        given: list[EventData] = []
        try:
            answer = ask(self._gateways[type(request)], call.event)
            batch.answer(CallAnswer(call, answer))
            given.append(answer)
        except KeyboardInterrupt:  # Ctrl-C
            raise
        except BaseException as error:  # noqa: BLE001 - the outside world may fail in any way
            reason = f"{type(error).__name__}: {error}"
            self._seen.calls_failed.append(FailedCall(request, reason))
            batch.answer(CallGivenUp(call, reason))
        self._make_true(space, batch.changes)
        return given


def _next_due(space: Space) -> int | None:
    """When the next timer fires, in µs since 1970, leaving out those of parked keys."""
    return next((timer.at for timer in space.image.due.until(ALL) if timer.owner not in space.image.parked), None)
