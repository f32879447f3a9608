"""retold: publish a named event; its one handler folds it into a table you can query; the event log keeps it for ever."""

from streams.app import App
from streams.event import Event
from streams.gateway import Gateway
from streams.namespace import Namespace
from streams.outcome import Outcome, Rejected, Scheduled, required
from streams.projection import Projection
from streams.view import Tables, View

__all__ = [
    "App",
    "Event",
    "Gateway",
    "Namespace",
    "Outcome",
    "Projection",
    "Rejected",
    "Scheduled",
    "Tables",
    "View",
    "required",
]
