"""retold: publish a named event; its one handler folds it into a table you can query; the event log keeps it for ever."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streams.app import App
    from streams.client import Client
    from streams.event import Event
    from streams.gateway import Gateway
    from streams.history.history import History
    from streams.namespace import Namespace
    from streams.outcome import Outcome, Rejected, Scheduled, required
    from streams.projection import Projection
    from streams.view import Tables, View

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


_MODULES = {
    "App": "app",
    "Client": "client",
    "Event": "event",
    "Gateway": "gateway",
    "History": "history.history",
    "Namespace": "namespace",
    "Outcome": "outcome",
    "Projection": "projection",
    "Rejected": "outcome",
    "Scheduled": "outcome",
    "Tables": "view",
    "View": "view",
    "required": "outcome",
}


def __getattr__(name: str) -> Any:
    """Each is loaded when it is asked for: handlers and their tests need no Kafka, and the command hears Ctrl-C from its start."""
    if name not in _MODULES:
        raise AttributeError(f"module 'streams' has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"streams.{_MODULES[name]}"), name)
    return found
