"""Who looks after what is parked in a seeded run: retries it, rejects it, or answers for a gateway; and says some things twice."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

from confluent_kafka import murmur2

from streams import App
from streams.codec import AvroCodec
from streams.data import EventData
from streams.engine import control
from streams.engine.control import OperatorCommand
from streams.engine.envelope import ParkedHeader, parked_header
from streams.engine.records import QUARANTINED, UNANSWERED, QueuePosition
from streams.kafka.topics import topic_names
from tests.applications.shop.events import PaymentCharge, PaymentCharged, PaymentRefund, PaymentRefunded
from tests.simulator.broker import MemoryBroker

NAME = "an operator"


class Head(NamedTuple):
    """The first event of a parked key."""

    namespace: str
    key: str
    position: QueuePosition
    header: ParkedHeader
    value: bytes


class Operators:
    """`dice` decide. `rejected` has the places of all events that were told to be rejected."""

    def __init__(self, app: App, broker: MemoryBroker, codec: AvroCodec, dice: random.Random) -> None:
        self._app, self._broker, self._codec, self._dice = app, broker, codec, dice
        self.rejected: set[tuple[str, str, QueuePosition]] = set()
        self.sent = 0

    def heads(self) -> list[Head]:
        """Of each parked key, as the topics say it now."""
        return [head for space in self._app.namespaces for head in self._heads(space.name)]

    def act(self) -> str:
        """Give some commands, in words; empty if nothing is parked."""
        heads = self.heads()
        some = self._dice.sample(heads, min(len(heads), self._dice.randint(1, 3)))
        return ", ".join(self._give(head, self._dice.choice(["retry", "retry", "reject", "answer"])) for head in some)

    def let_go(self) -> bool:
        """Retry all; what a gateway does not answer to, answer or reject. False if nothing is parked."""
        heads = self.heads()
        for head in heads:
            self._give(head, "retry" if head.header.status != UNANSWERED else self._dice.choice(["answer", "reject"]))
        return bool(heads)

    def _give(self, head: Head, command: str) -> str:
        """A command, and often once more, as one does who heard no answer."""
        value = b""
        if command == "answer":
            answer = _answer(self._codec.decode(head.value)) if head.header.status == UNANSWERED else None
            command, value = ("retry", b"") if answer is None else (command, self._codec.encode(answer))
        if command == "reject":
            self.rejected.add((head.namespace, head.key, head.position))
        said = OperatorCommand(command, head.key, head.position.offset, NAME, "no", value, head.position.timer)  # type: ignore[arg-type]  # one of them
        inbox = topic_names("", head.namespace).inbox
        at = int(murmur2(head.key.encode(), len(self._broker.topics[inbox])))
        for _ in range(self._dice.choice([1, 1, 2])):
            self.sent += 1
            self._broker.append((inbox, at), head.key.encode(), control.encode(said), None, None)
        return f"{command} {head.namespace} {head.key} {head.position}"

    def _heads(self, namespace: str) -> Iterator[Head]:
        found: dict[str, Head] = {}
        for position, header, value in aside_of(self._broker, namespace):
            if header.status == QUARANTINED or header.key is None:
                continue
            known = found.get(header.key)
            if known is None or position.order < known.position.order:
                found[header.key] = Head(namespace, header.key, position, header, value)
        yield from found.values()


def aside_of(broker: MemoryBroker, namespace: str) -> Iterator[tuple[QueuePosition, ParkedHeader, bytes]]:
    """What is set aside in a namespace now."""
    for partition in broker.topics[topic_names("", namespace).parked]:
        kept: dict[bytes, tuple[QueuePosition, ParkedHeader, bytes]] = {}
        for _, it in partition.committed():
            key = it.key or b""
            kept.pop(key, None)
            if it.value is not None:
                offset, _, timer = key.decode().partition("-")
                kept[key] = QueuePosition(int(offset), int(timer or 0)), parked_header(it.headers), it.value
        yield from kept.values()


def _answer(asked: EventData) -> EventData | None:
    match asked:
        case PaymentCharge():
            return PaymentCharged(order=asked.order, receipt="by hand")
        case PaymentRefund():
            return PaymentRefunded(order=asked.order, receipt=asked.receipt)
    return None
