"""Handling: a batch of one partition's inbox in, changes out. Live work, World and folds call this one engine.

The order at the door is rule 10's: strip, decode and validate, right partition?, duplicate?, key parked?, expected
version, handler.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from streams.app import App
from streams.data import EventData, Record, namespace_of
from streams.engine.envelope import EnvelopeReader
from streams.engine.image import WINDOW, Image
from streams.engine.records import Batch, Call, Changes, Codec, InboxRecord
from streams.engine.turn import NO_ORDERS, Turn
from streams.errors import DefinitionError, InvalidEvent
from streams.event import Event
from streams.outcome import Outcome


@dataclass(frozen=True)
class Limits:
    """Sizes in bytes; `window` in log records of a partition."""

    event_bytes: int = 1024 * 1024
    row_bytes: int = 1024 * 1024
    window: int = WINDOW


@dataclass(frozen=True)
class Inbox:
    """Where the records come from. `place` gives the partition of a key; None: there is one partition."""

    topic: str
    topic_id: str = ""
    place: Callable[[bytes], int] | None = None


@dataclass(frozen=True)
class Rule:
    """How one event is handled. Without a handler it is a gateway's: accepted, and then called."""

    event_type: str
    handler: Callable[[Any, Event[Any]], Outcome[Any]] | None
    emits: frozenset[type[EventData]]


class Engine:
    """One namespace's."""

    def __init__(
        self,
        app: App,
        namespace: str,
        codec: Codec,
        *,
        limits: Limits | None = None,
        inbox: Inbox | None = None,
    ) -> None:
        self.app, self.codec = app, codec
        self.namespace = app.namespace(namespace)
        self.limits = limits or Limits()
        self.inbox = inbox or Inbox(namespace)
        self.source = f"retold/{app.name}/{namespace}"
        self.row_type: type[Record] = self.namespace.row_type
        self.envelopes = EnvelopeReader()
        self.rules = self._rules()

    def _rules(self) -> dict[type[EventData], Rule]:
        space = self.namespace
        rules = {
            data: Rule(data.event_type, handler, frozenset(space.emits[data]))
            for data, handler in space.handlers.items()
        }
        for gateway in self.app.gateways:
            if namespace_of(gateway.data.event_type) == space.name:
                rules[gateway.data] = Rule(gateway.data.event_type, None, frozenset())
        return rules

    def image(self, partition: int = 0) -> Image:
        """An empty one."""
        return Image(partition, window=self.limits.window)

    def handle(self, image: Image, records: Batch, now: int) -> Changes:
        """What these records do to `image` at `now` (µs since 1970). The image stays as it is: `image.apply(changes)`.

        Stops before a record whose schema or handler is not known yet (`changes.blocked`).
        """
        turn = self.begin(image, now)
        turn.take_all(records)
        return turn.changes

    def begin(self, image: Image, now: int, orders: Mapping[int, str] = NO_ORDERS) -> Turn:
        """For who hands the records over piece by piece: `take_all`, and `changes` at the end.

        `orders` are reasons by inbox offset: a record there that must wait is quarantined instead.
        """
        return Turn(self, image, now, orders)

    def refuse(self, image: Image, record: InboxRecord, reason: str, now: int) -> Changes:
        """Quarantine one record by reference, unread: no transaction can hold it."""
        turn = Turn(self, image, now)
        turn.refuse(record, reason)
        return turn.changes

    def answer_value(self, call: Call, answer: EventData) -> bytes:
        """The answer's bytes. Raises InvalidEvent unless the gateway declares it, and it is about the request's key."""
        request = call.event
        allowed = next((it.answers for it in self.app.gateways if it.data is type(request.data)), ())
        subject = f"the gateway of {request.data.event_type}"
        if type(answer) not in allowed:
            names = ", ".join(it.event_type for it in allowed) or "nothing"
            raise InvalidEvent(f"{subject} answered {type(answer).__name__}; it declares: {names}")
        value = self.codec.encode(answer)  # before its key is looked at: nobody has checked that it is a text
        if answer.key != request.key:
            raise InvalidEvent(
                f"{subject} was asked about {request.key[:100]!r} and answered about {answer.key[:100]!r}: an answer "
                "belongs to the request's key"
            )
        if len(value) > self.limits.event_bytes:
            raise InvalidEvent(
                f"{subject} answered {answer.event_type}, which holds {len(value)} bytes; an event may hold "
                f"{self.limits.event_bytes}"
            )
        return value

    def decide(self, rule: Rule, row: Record | None, event: Event[Any]) -> Outcome[Any]:
        """The handler's outcome, its row not frozen yet. Raises Rejected, or whatever the handler raised."""
        if rule.handler is None:
            return Outcome(row)
        outcome = rule.handler(row, event)
        if type(outcome) is not Outcome:
            raise DefinitionError(
                f"the handler of {rule.event_type} returned {type(outcome).__name__}; expected Outcome(row, emit=[…])"
            )
        if outcome.row is not None and type(outcome.row) is not self.row_type:
            raise DefinitionError(
                f"the handler of {rule.event_type} gave a row of {type(outcome.row).__name__}; "
                f"the rows of {self.namespace.name} are {self.row_type.__name__}"
            )
        return outcome
