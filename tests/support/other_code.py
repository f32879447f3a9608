"""Applications with one handler changed, as a pull request changes it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from msgspec.structs import replace

from streams import App, Event, Namespace, Outcome, Rejected, Scheduled
from streams.data import EventData

Handler = Callable[[Any, Event[Any]], Outcome[Any]]
Change = Callable[[Handler], Handler]
"""Of a handler, another one."""


def with_change(app: App, event: type[EventData], change: Change) -> App:
    """The application in which the handler of one event is changed; it may emit all that its namespace does."""
    namespaces = [_changed(space, event, change) if event in space.handlers else space for space in app.namespaces]
    return App(
        name=app.name, namespaces=namespaces, gateways=app.gateways, projections=app.projections, views=app.views
    )


def _changed(space: Namespace[Any], changed: type[EventData], change: Change) -> Namespace[Any]:
    made: Namespace[Any] = Namespace(space.name, row=space.row_type)
    for event, handler in space.handlers.items():
        made.handles(event, emits=list(space.emits[event]))(change(handler) if event is changed else handler)
    return made


def row_with(**fields: Callable[[Any], Any]) -> Change:
    """Other values in the row that is left, each made of the right one."""

    def change(handler: Handler) -> Handler:
        def changed(row: Any, event: Event[Any]) -> Outcome[Any]:
            outcome = handler(row, event)
            if outcome.row is None:
                return outcome
            return Outcome(replace(outcome.row, **_made(outcome.row, fields)), emit=outcome.emit)

        return changed

    return change


def _made(row: Any, fields: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    return {name: function(getattr(row, name)) for name, function in fields.items()}


def stays(handler: Handler) -> Handler:
    """The row is forgotten: it stays as it was."""
    return lambda row, event: Outcome(row, emit=handler(row, event).emit)


def silent(handler: Handler) -> Handler:
    """Nothing is emitted, also of a rejection."""

    def changed(row: Any, event: Event[Any]) -> Outcome[Any]:
        try:
            return Outcome(handler(row, event).row)
        except Rejected as no:
            raise Rejected(str(no.reason)) from None

    return changed


def emitting(function: Callable[[Any], Any]) -> Change:
    """Each emission is another one."""

    def change(handler: Handler) -> Handler:
        def changed(row: Any, event: Event[Any]) -> Outcome[Any]:
            outcome = handler(row, event)
            return Outcome(outcome.row, emit=[function(it) for it in outcome.emit])

        return changed

    return change


def twice(handler: Handler) -> Handler:
    """What is emitted is emitted twice."""
    return lambda row, event: Outcome((outcome := handler(row, event)).row, emit=[*outcome.emit, *outcome.emit])


def lenient(handler: Handler) -> Handler:
    """What was rejected is accepted, and nothing comes of it."""

    def changed(row: Any, event: Event[Any]) -> Outcome[Any]:
        try:
            return handler(row, event)
        except Rejected as no:
            return Outcome(row, emit=no.emit)

    return changed


def strict(handler: Handler) -> Handler:
    """All is rejected."""

    def changed(row: Any, event: Event[Any]) -> Outcome[Any]:
        raise Rejected("not today")

    return changed


def stricter(handler: Handler) -> Handler:
    """What was accepted is rejected, and what was rejected is so as it was."""

    def changed(row: Any, event: Event[Any]) -> Outcome[Any]:
        handler(row, event)
        raise Rejected("not today")

    return changed


def refusing(keys: Collection[str]) -> Change:
    """A stricter fix: what is of these keys is rejected."""

    def change(handler: Handler) -> Handler:
        def changed(row: Any, event: Event[Any]) -> Outcome[Any]:
            if event.key in keys:
                raise Rejected("not today")
            return handler(row, event)

        return changed

    return change


def otherwise_said(handler: Handler) -> Handler:
    """A rejection has another reason."""

    def changed(row: Any, event: Event[Any]) -> Outcome[Any]:
        try:
            return handler(row, event)
        except Rejected as no:
            raise Rejected(f"no: {no.reason}", emit=no.emit) from None

    return changed


def broken(handler: Handler) -> Handler:
    """It raises for each event that there is a row for, or none."""

    def changed(row: Any, event: Event[Any]) -> Outcome[Any]:
        outcome = handler(row, event)
        raise ZeroDivisionError(f"a bug with {outcome.row}")

    return changed


# --- the same by other means


def as_tuple(handler: Handler) -> Handler:
    """Emissions in a tuple."""
    return lambda row, event: Outcome((outcome := handler(row, event)).row, emit=tuple(outcome.emit))


def rebuilt(handler: Handler) -> Handler:
    """The row made anew, by its constructor."""

    def changed(row: Any, event: Event[Any]) -> Outcome[Any]:
        outcome = handler(row, event)
        made = outcome.row
        values = {} if made is None else {name: getattr(made, name) for name in made.__struct_fields__}
        return Outcome(None if made is None else type(made)(**values), emit=outcome.emit)

    return changed


def reordered(handler: Handler) -> Handler:
    """Emissions of different types and keys in another order: no key hears of it in another one."""

    def changed(row: Any, event: Event[Any]) -> Outcome[Any]:
        outcome = handler(row, event)
        groups: dict[tuple[str, str], list[Any]] = {}
        for it in outcome.emit:
            data = it.data if isinstance(it, Scheduled) else it
            groups.setdefault((data.event_type, data.key), []).append(it)
        return Outcome(outcome.row, emit=[it for group in reversed(list(groups.values())) for it in group])

    return changed


def checked_first(handler: Handler) -> Handler:
    """The decision is made twice, as a function that checks first may do."""

    def changed(row: Any, event: Event[Any]) -> Outcome[Any]:
        handler(row, event)
        return handler(row, event)

    return changed


REFACTORINGS = [as_tuple, rebuilt, reordered, checked_first]


def without_handler(app: App, *events: type[EventData]) -> App:
    """The application without the handlers of these events, and without a namespace that has no other."""
    spaces: list[Namespace[Any]] = []
    for space in app.namespaces:
        made: Namespace[Any] = Namespace(space.name, row=space.row_type)
        for event, handler in space.handlers.items():
            if event not in events:
                made.handles(event, emits=list(space.emits[event]))(handler)
        if made.handlers:
            spaces.append(made)
    return App(name=app.name, namespaces=spaces, gateways=app.gateways)
