"""Publishing prepared events, such as those of a file: only failures are reported, which takes less CPU than a Client."""

from __future__ import annotations

from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from streams.app import App
from streams.codec import AvroCodec
from streams.config import Config
from streams.deliveries import Deliveries
from streams.engine.attributes import time_text
from streams.kafka.clients import Clients
from streams.localbroker.choose import found
from streams.prepared_event import PreparedEvent
from streams.routes import Routes


class PreparedPublisher:
    """Publishes events of an application, in order per key; `codec` has its schemas. Leaving its block waits for the broker.

    Raises BrokerUnavailable if no broker is found, or none answers, after 10 s at most.
    """

    def __init__(self, app: App, codec: AvroCodec, config: Config, client_id: str) -> None:
        clients = Clients.of(config, found(config))
        self._routes = Routes(app, clients, config.prefix, codec)
        self._deliveries = Deliveries(clients.producer(client_id, report_successes=False))

    def publish(self, event: PreparedEvent) -> None:
        """Hand an event to the Kafka client, which sends it in the background. Blocks while the queue is full.

        Raises InvalidEvent if the application does not handle the event; BrokerError if an earlier event could not be delivered,
        or the namespace has no inbox. This event did not leave.
        """
        self._deliveries.raise_failures()
        route = self._routes.of(event.event_class)
        headers = [*route.headers, *event.attributes]
        if event.time is None:
            headers.append(("ce_time", time_text(datetime.now(UTC))))
        self._deliveries.send_unreported(route.topic, headers, event)

    def flush(self, timeout: float = 60.0) -> None:
        """Wait until the broker has confirmed every event, `timeout` s at most. Raises BrokerError if it does not."""
        self._deliveries.flush(timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._deliveries.leave(error)
