"""Publishing from a script: validated before it leaves, in order per key, confirmed by the broker, never dropped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from streams.app import App
from streams.codec import codec_of
from streams.config import Config, load
from streams.data import EventData
from streams.deliveries import Deliveries, Headers
from streams.engine.attributes import time_text
from streams.kafka.clients import PROMPT, Clients
from streams.kafka.outcomes import OutcomeReader
from streams.localbroker.choose import found
from streams.prepared_event import PreparedEvent, encode, new_id, prepare, refuse_larger
from streams.receipt import PublishOutcome, Receipt
from streams.routes import Route, Routes


class Client:
    """Publishes events of an application: `with Client(app()) as client: ...`. Leaving the block waits until all are delivered.

    Several threads may share a client: each thread's events keep their order per key, and `wait` takes turns. A thread hears of
    its own events that could not be delivered when it publishes the next one. Whoever waits for all events, by `flush` or at the
    end of the block, hears of all that nobody has heard of, also of threads that have ended.

    Args:
        app: The application whose events it publishes.
        broker: Kafka's address as `host:port`, several with commas between. None: RETOLD_BROKER or `broker` in
            `[tool.retold]`, else the broker that this project runs.
        config: The settings. None: those of the project around the current folder.
        source: Who publishes, unless `publish` says otherwise: the events' `source`.
        confirm_each: Each event is waited for with `confirm`. What is not delivered is raised there, and by no later call: for a
            program that publishes for several others, of whom each should hear of its own events alone.

    Raises:
        BrokerUnavailable: No broker is found, or none answers, after 10 s at most.
        ConfigError: A setting is not usable.

    """

    def __init__(
        self, app: App, broker: str | None = None, *, config: Config | None = None, source: str = "retold/client",
        confirm_each: bool = False,
    ) -> None:  # fmt: skip
        config = config or load()
        self._config = replace(config, broker=broker) if broker else config
        self._clients = Clients.of(self._config, found(self._config))
        self._source = source
        self._codec = codec_of(app)
        self._limit = self._config.max_event_bytes
        self._routes = Routes(app, self._clients, self._config.prefix, self._codec)
        self._deliveries = Deliveries(self._clients.producer(source, linger=PROMPT), confirm_each=confirm_each)
        self._outcomes: OutcomeReader | None = None
        self._turn = threading.RLock()

    def publish(
        self,
        data: EventData,
        *,
        id: str | None = None,
        time: datetime | None = None,
        expected_version: int | None = None,
        source: str | None = None,
        traceparent: str | None = None,
    ) -> Receipt:
        """Check an event and hand it to the Kafka client, which sends it in the background. Blocks while the queue is full.

        `flush`, or leaving the block, waits for the broker's confirmation; `confirm` and `wait` do so for one event.

        Args:
            data: The event's data.
            id: The event's id; None: a new one, so each call is another event. The same event under an id that was handled
                before is a duplicate and changes nothing, whatever its time; another event of that key is quarantined.
            time: When it happened, with a zone, at most a day ahead of the clock here; None: now.
            expected_version: The version that its row must have, else it is rejected; 0: there must be no row. None: any.
            source: Who publishes it; None: the client's `source`. Not `retold/APPLICATION/NAMESPACE`, which workers write.
            traceparent: The trace that it belongs to, as in W3C's Trace Context; what it leads to belongs to it too.

        Returns:
            The receipt, which learns where the event is once the broker has confirmed it.

        Raises:
            InvalidEvent: A field, the key, an attribute or the size is wrong, or the application does not handle the event.
            BrokerError: An earlier event of this thread could not be delivered, or there is no inbox. This event did not leave.
            ClientClosed: The client was closed, or its block is over. This event did not leave.

        """
        self._deliveries.refuse_closed()
        self._deliveries.raise_failures()
        route = self._routes.of(type(data))
        event = self._prepared(data, self._value(data), id, time, expected_version, source, traceparent)
        receipt, headers = _receipt_of(route, event)
        self._deliveries.send(route.topic, headers, event, receipt)
        return receipt

    def flush(self, timeout: float = 60.0) -> None:
        """Wait until the broker has confirmed every event that was published.

        Args:
            timeout: Seconds to wait.

        Raises:
            BrokerError: An event was not delivered, or not in time. Publish it again under its id: it is handled once.

        """
        self._deliveries.flush(timeout)

    def confirm(self, receipt: Receipt, timeout: float = 10.0) -> None:
        """Wait until the broker has confirmed this event. A failure that is raised here is not raised again by `flush`.

        Args:
            receipt: What `publish` returned.
            timeout: Seconds to wait.

        Raises:
            BrokerError: It was refused or given up. Publish it again under its id: if it is there all the same, it is handled once.
            OutcomeTimeout: It is not confirmed in time, and may still arrive.

        """
        self._deliveries.confirm(receipt, timeout)

    def wait(self, receipt: Receipt, timeout: float = 10.0) -> PublishOutcome:
        """Wait until a worker has handled this event, and return its outcome.

        Args:
            receipt: What `publish` returned.
            timeout: Seconds to wait, for the broker and the worker together.

        Returns:
            The outcome, also for a rejected or a parked event: `raise_for_outcome` turns it into an error.

        Raises:
            BrokerError: It was not delivered, or Kafka refused to say what became of it.
            OutcomeTimeout: Nothing is known in time; the message says what is. It may still be handled.
            ClientClosed: The client was closed, or its block is over; perhaps in another thread, meanwhile.

        """
        self._deliveries.refuse_to_wait(receipt)
        deadline = time.monotonic() + timeout
        self.confirm(receipt, timeout)
        with self._turn:
            self._deliveries.refuse_to_wait(receipt)
            if self._outcomes is None:
                self._outcomes = OutcomeReader(self._clients, self._config.prefix, lambda: self._deliveries.is_closed)
            return self._outcomes.wait(receipt, deadline)

    def close(self) -> None:
        """Close the client, without waiting for what is not delivered: `flush` first. Leaving the block does both."""
        self._deliveries.close()
        with self._turn:  # whoever waits in another thread gives up, and is not left with a consumer that is closed
            if self._outcomes is not None:
                self._outcomes.close()
                self._outcomes = None

    def __enter__(self) -> Self:
        self._deliveries.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self._deliveries.leave(error)
        finally:
            self.close()

    def _value(self, data: EventData, content: bytes | None = None) -> bytes:
        """The event, encoded. Raises InvalidEvent."""
        if content is None:
            return encode(self._codec, data, self._limit)
        refuse_larger(data, content, self._limit)
        return content

    def _prepared(
        self, data: EventData, value: bytes, id: str | None, time: datetime | None, expected_version: int | None,
        source: str | None, traceparent: str | None,
    ) -> PreparedEvent:  # fmt: skip
        source = self._source if source is None else source
        return prepare(data, value, new_id() if id is None else id, source, time, expected_version, traceparent)


def _receipt_of(route: Route, event: PreparedEvent) -> tuple[Receipt, Headers]:
    """With the headers of its record."""
    headers = [*route.headers, *event.attributes]
    if event.time is None:
        headers.append(("ce_time", time_text(datetime.now(UTC))))
    return Receipt(route.namespace, route.event_type, event.key, event.id), headers


class LoopClient(Client):
    """A client for a program that publishes for many others in an event loop, which must never block.

    While its block runs, a thread asks for the broker's confirmations: no thread waits for one event.
    """

    def publish_at_once(
        self,
        data: EventData,
        *,
        id: str | None = None,
        time: datetime | None = None,
        expected_version: int | None = None,
        source: str | None = None,
        traceparent: str | None = None,
        content: bytes | None = None,
    ) -> Receipt | None:
        """As `publish`, but it never blocks: None if it would have to, and nothing was published.

        `content` is what the application's codec has made of `data`; None: it is asked.
        So it is for the first event of a type, since the broker has to be asked for its inbox, and while the queue is full.
        """
        self._deliveries.refuse_closed()
        self._deliveries.raise_failures()
        route = self._routes.known(type(data))
        if route is None:
            return None
        value = self._value(data, content)
        event = self._prepared(data, value, id, time, expected_version, source, traceparent)
        receipt, headers = _receipt_of(route, event)
        return receipt if self._deliveries.send_at_once(route.topic, headers, event, receipt) else None

    def when_told(self, receipt: Receipt, call: Callable[[], object]) -> None:
        """Have `call` called once, in any thread, when `confirm` would not block. To be asked by one thread."""
        self._deliveries.when_told(receipt, call)

    def __enter__(self) -> Self:
        self._stop = threading.Event()
        self._confirming = threading.Thread(target=self._deliveries.serve, args=(self._stop,), name="confirm", daemon=True)
        self._confirming.start()
        return super().__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._confirming.join()
        super().__exit__(kind, error, at)
