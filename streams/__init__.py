"""retold: publish a named event; its one handler folds it into a table you can query; the event log keeps it for ever."""

from typing import TYPE_CHECKING, Any

from streams.app import App
from streams.event import Event
from streams.gateway import Gateway
from streams.namespace import Namespace
from streams.outcome import Outcome, Rejected, Scheduled, required
from streams.projection import Projection
from streams.view import Tables, View

if TYPE_CHECKING:
    from streams.client import Client
    from streams.history.history import History

__all__ = [
    "App",
    "Client",
    "Event",
    "Gateway",
    "History",
    "Namespace",
    "Outcome",
    "Projection",
    "Rejected",
    "Scheduled",
    "Tables",
    "View",
    "required",
]


def __getattr__(name: str) -> Any:
    """`Client` and `History` are loaded when they are asked for: handlers and their tests need no Kafka, and start sooner."""
    if name == "Client":
        from streams.client import Client

        return Client
    if name == "History":
        from streams.history.history import History

        return History
    raise AttributeError(f"module 'streams' has no attribute {name!r}")
