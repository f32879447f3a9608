"""What Kafka's producer was given, and what became of each event: confirmed by the broker, or not delivered."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from threading import Event, Thread, current_thread

from confluent_kafka import KafkaError, Message, Producer

from streams.confirmations import Confirmations
from streams.errors import BrokerError, ClientClosed, OutcomeTimeout
from streams.kafka.clients import OnDelivery
from streams.kafka.words_of_errors import words_of
from streams.prepared_event import PreparedEvent
from streams.program_end import Publishing, tell
from streams.receipt import Receipt
from streams.undelivered import Failure, Failures, Undelivered

log = logging.getLogger("retold.client")

Headers = list[tuple[str, bytes]]
CONFIRM_EVERY = 200
"""Events between two polls for the broker's confirmations."""
AGAIN = "If it is sent again, then under the same id, so that it is handled once"
"""Also after an error: the broker may have what it did not confirm."""
QUIET_ENDS = (SystemExit, GeneratorExit)
"""What ends a block as it was meant to: nobody is shown a note of these."""
ELSEWHERE = (
    "this client was made before this process was forked, and Kafka's client does not work in both: nothing that is published here "
    "would leave. Make a Client in this process"
)
CLOSED = "this client is closed: publish within its block, or before close(), or make a new one"
AT_AN_ERROR = 2.0
"""s that the end of a block by an error waits for the broker."""


class Deliveries(Publishing):
    """Of one producer. Several threads may share it: each is told of its own events, and who waits for all is told of all."""

    def __init__(self, producer: Producer, *, confirm_each: bool = False) -> None:
        """`confirm_each`: every event that is sent is confirmed by its publisher, who alone is told that it failed."""
        self._producer, self._confirm_each = producer, confirm_each
        self._undelivered = Undelivered()
        self._since_confirmed = 0
        self._confirmations = Confirmations(producer.poll)
        self._closed: str | None = None
        """Why nothing is published any more."""
        self._is_told = False
        self.watch()

    def send(self, topic: str, headers: Headers, event: PreparedEvent, receipt: Receipt) -> None:
        """Hand an event to the producer, which sends it in the background. Blocks while its queue is full.

        The receipt learns what became of it.
        """
        self._send(topic, headers, event, partial(self._confirmed, receipt, current_thread()))

    def send_at_once(self, topic: str, headers: Headers, event: PreparedEvent, receipt: Receipt) -> bool:
        """As `send`; False if its queue is full, and nothing was handed over."""
        try:
            self._produce(topic, headers, event, partial(self._confirmed, receipt, current_thread()))
        except BufferError:
            return False
        return True

    def send_unreported(self, topic: str, headers: Headers, event: PreparedEvent) -> None:
        """As `send`, for an event whose publisher only hears of failures: for a producer that reports no more than these."""
        self._send(topic, headers, event, partial(self._ended, event, current_thread()))

    def _send(self, topic: str, headers: Headers, event: PreparedEvent, on_delivery: OnDelivery) -> None:
        while True:
            try:
                self._produce(topic, headers, event, on_delivery)
                break
            except BufferError:
                self._producer.poll(0.1)
        self._since_confirmed += 1
        if self._since_confirmed >= CONFIRM_EVERY:
            self._since_confirmed = 0
            self._producer.poll(0)

    def _produce(self, topic: str, headers: Headers, event: PreparedEvent, on_delivery: OnDelivery) -> None:
        """Raises BufferError."""
        self.refuse_closed()
        self._producer.produce(topic, event.value, event.key.encode(), on_delivery=on_delivery, headers=headers)  # type: ignore[arg-type]  # a list is invariant to mypy; these are pairs of text and bytes

    def serve(self, stop: Event) -> None:
        """Ask for the broker's confirmations until `stop`, for all who wait."""
        self._confirmations.serve(stop)

    def when_told(self, receipt: Receipt, call: Callable[[], object]) -> None:
        """Have `call` called, in some thread, once the broker has confirmed this event, or never will. `serve` is to run."""
        self._confirmations.when_told(receipt, call)

    def confirm(self, receipt: Receipt, timeout: float) -> None:
        """Wait until the broker has confirmed this event.

        Raises BrokerError, which `flush` does not raise again, or OutcomeTimeout.
        """
        self._refuse_elsewhere()
        deadline = time.monotonic() + timeout
        while not receipt.delivered:
            if receipt.error is not None:
                self._undelivered.forget(receipt)
                raise BrokerError(f"{receipt.what} (id {receipt.id}) was not delivered: {receipt.error}. {AGAIN}")
            if time.monotonic() > deadline:
                raise not_confirmed(receipt, timeout)
            self._confirmations.wait(receipt)

    def flush(self, timeout: float) -> None:
        """Wait until the broker has confirmed all. Raises BrokerError if one was not delivered, or not in time."""
        self._refuse_elsewhere()
        left = self._producer.flush(timeout)
        _raise(self._undelivered.of_all())
        if left:
            are = "1 event is" if left == 1 else f"{left} events are"
            raise BrokerError(f"{are} not confirmed after {timeout:.0f} s, and may be later")

    def raise_failures(self) -> None:
        """Raises BrokerError, once, if events of this thread could not be delivered."""
        _raise(self._undelivered.of_this_thread())

    @property
    def is_closed(self) -> bool:
        """Whether nobody is to wait any more, either: it was closed, or this is a process that was forked."""
        return self._closed in (CLOSED, ELSEWHERE)

    def open(self) -> None:
        """Also once more, after `close`. A process that ends, or was forked, stays as it is."""
        if self._closed is CLOSED:
            self._closed = None

    def close(self) -> None:
        self._closed = self._closed or CLOSED

    def refuse_closed(self) -> None:
        """Nothing waits for what leaves now: it would be lost if the program ended. Raises ClientClosed."""
        if self._closed is not None:
            raise ClientClosed(self._closed)

    def refuse_to_wait(self, receipt: Receipt) -> None:
        """Raises ClientClosed where nobody is to wait for an outcome any more."""
        self._refuse_elsewhere()
        if self._closed is CLOSED:
            known = "; the event is published" if receipt.delivered else ""
            raise ClientClosed(f"this client is closed: wait within its block, or before close(), or make a new one{known}")

    def leave(self, error: BaseException | None) -> None:
        """At the end of a publisher's block: wait for all events, or note at its `error` what is not confirmed."""
        if self._is_elsewhere:
            return
        if error is not None and not isinstance(error, QUIET_ENDS):
            self._note_undelivered(error)
            return
        try:
            self.flush(60.0)
        except BrokerError:
            raise
        except BaseException as interrupted:
            self._note_undelivered(interrupted)
            raise

    def _note_undelivered(self, error: BaseException) -> None:
        """Add a note about undelivered events to the exception that ends the publisher's block."""
        lost = self._producer.flush(AT_AN_ERROR) + len(self._undelivered)
        self._is_told = True
        if not lost:
            return
        error.add_note(f"besides, {_were(lost, 'published event')} not confirmed by the broker")
        if isinstance(error, Exception):
            log.warning("%s not confirmed by the broker", _were(lost, "published event"))
        else:  # Ctrl-C, or a task that is cancelled: few programs show its notes
            tell(f"{_were(lost, 'published event')} not confirmed by the broker")

    def end(self, seconds: float) -> None:
        """Perhaps without having left a block: tell what the broker has not confirmed by then."""
        self._closed = "this program ends: what it publishes now would be lost"
        if self._is_told or not (len(self._producer) or len(self._undelivered)):
            return
        lost = self._producer.flush(seconds) + len(self._undelivered)
        if lost:
            tell(
                f"retold: {_were(lost, 'published event')} not confirmed by the broker when this program ended. Publish within "
                "`with Client(…)`, or call flush(), to hear of it in time. " + AGAIN
            )

    def forked(self) -> None:
        self._closed = ELSEWHERE
        self._undelivered = Undelivered()

    @property
    def _is_elsewhere(self) -> bool:
        return self._closed is ELSEWHERE

    def _refuse_elsewhere(self) -> None:
        if self._is_elsewhere:
            raise ClientClosed(ELSEWHERE)

    def _confirmed(self, receipt: Receipt, publisher: Thread, error: KafkaError | None, message: Message) -> None:
        if error is None:
            receipt.partition, receipt.timestamp = message.partition(), message.timestamp()[1]
            receipt.offset = message.offset()  # last: a receipt with an offset is delivered
        else:
            receipt.error = words_of(error)
            if not self._confirm_each:
                self._undelivered.add(publisher, Failure(receipt, error))
        self._confirmations.told(receipt)

    def _ended(self, event: PreparedEvent, publisher: Thread, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self._undelivered.add(publisher, Failure(event, error))


def _raise(failures: Failures) -> None:
    """Raises BrokerError if there are some."""
    if failures.first is None:
        return
    event = failures.first.event
    raise BrokerError(
        f"{_were(failures.number, 'event')} not delivered; the first is {event.event_type} of {event.key!r}, id "
        f"{event.id} ({words_of(failures.first.error)}). Publish them again with their ids: what did arrive is not handled twice"
    )


def not_confirmed(receipt: Receipt, timeout: float) -> OutcomeTimeout:
    return OutcomeTimeout(
        f"{receipt.what} (id {receipt.id}) is not confirmed by Kafka after {timeout:g} s, and may still arrive. {AGAIN}"
    )


def _were(count: int, what: str) -> str:
    """`1 event was`, `2 events were`."""
    return f"{count} {what} was" if count == 1 else f"{count} {what}s were"
