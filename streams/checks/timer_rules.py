"""Advice on timers: those of another namespace, which no promise of order covers, and those that recur."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from streams.app import App
from streams.checks.source_code import ReachedFunction, chain_of, function_of, reached_functions, walk
from streams.data import EventData, namespace_of
from streams.outcome import Scheduled


def timer_advice(app: App) -> list[str]:
    """Sentences about handlers, found by reading their source. None of them is a breach."""
    found = dict[str, None]()
    for namespace in app.namespaces:
        for data, handler in namespace.handlers.items():
            function = function_of(handler)
            if function is None:
                continue
            for scheduled in _scheduled(reached_functions(function)):
                found.update(dict.fromkeys(_advice(data, scheduled)))
    return list(found)


def _advice(data: type[EventData], scheduled: type[EventData]) -> Iterator[str]:
    if namespace_of(scheduled.event_type) != namespace_of(data.event_type):
        yield (
            f"{data.event_type} schedules {scheduled.event_type} of another namespace, where its order among other events depends "
            f"on when it arrives. If the order matters, schedule an event of {namespace_of(data.event_type)} under the same key, "
            "and let its handler emit"
        )
    if scheduled is data:
        yield (
            f"{data.event_type} schedules itself again: an import of old events fires it for each time that has passed. Make sure "
            "that this is meant, and that it ends"
        )


def _scheduled(reached: Iterable[ReachedFunction]) -> Iterator[type[EventData]]:
    """The classes of events that are built within `Scheduled(…)`."""
    for part in reached:
        for scope in part.scopes:
            built = {  # by a name of the function's own, as in `later = OrderExpire(…)`
                node.targets[0].id: node.value
                for node in walk(scope)
                if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
            }
            for node in walk(scope):
                if isinstance(node, ast.Call) and _named(part, node.func) is Scheduled:
                    given = [*node.args[:1], *(it.value for it in node.keywords if it.arg == "data")]
                    for each in given:
                        made = built.get(each.id) if isinstance(each, ast.Name) else each
                        event = _named(part, made.func) if isinstance(made, ast.Call) else None
                        if isinstance(event, type) and issubclass(event, EventData) and hasattr(event, "event_type"):
                            yield event


def _named(part: ReachedFunction, node: ast.expr) -> object:
    chain = chain_of(node)
    return None if chain is None else part.names.resolve(chain)
