"""Where events of each type go, and what their records have in common. It is looked up once for each type."""

from __future__ import annotations

from typing import NamedTuple

from streams.app import App
from streams.codec import AvroCodec
from streams.data import EventData, namespace_of
from streams.deliveries import Headers
from streams.engine.envelope import CONTENT_TYPE
from streams.errors import BrokerError, InvalidEvent
from streams.kafka.clients import Clients
from streams.kafka.schemas_topic import publish_schemas
from streams.kafka.topics import describe, topic_names


class Route(NamedTuple):
    """What all events of one type have in common."""

    namespace: str
    event_type: str
    topic: str
    headers: Headers


class Routes:
    """Of an application's events, in one broker's topics, whose names begin with `prefix`."""

    def __init__(self, app: App, clients: Clients, prefix: str, codec: AvroCodec) -> None:
        self._known, self._app_name = app.event_types(), app.name
        self._clients, self._prefix, self._codec = clients, prefix, codec
        self._routes: dict[type[EventData], Route] = {}

    def known(self, cls: type[EventData]) -> Route | None:
        """None: it was not looked up yet."""
        return self._routes.get(cls)

    def of(self, cls: type[EventData]) -> Route:
        """Raises InvalidEvent for an event that the application does not handle, BrokerError if there is no inbox."""
        return self._routes.get(cls) or self._route(cls)

    def _route(self, cls: type[EventData]) -> Route:
        if cls not in self._known.values():
            name = getattr(cls, "event_type", None) or f"a value of type {cls.__name__}"
            known = ", ".join(sorted(self._known)) or "none"
            raise InvalidEvent(f"the application {self._app_name!r} handles no event {name}; it handles: {known}")
        namespace = namespace_of(cls.event_type)
        topic = topic_names(self._prefix, namespace).inbox
        if topic not in describe(self._clients.admin(), [topic]):
            raise BrokerError(
                f"the topic {topic} is missing: start a worker, or make it with `retold topics --create`"
            )
        if not self._routes:
            publish_schemas(self._clients, self._prefix, self._codec)
        headers = [
            ("ce_specversion", b"1.0"),
            ("ce_type", cls.event_type.encode()),
            ("content-type", CONTENT_TYPE),
        ]
        route = self._routes[cls] = Route(namespace, cls.event_type, topic, headers)
        return route
