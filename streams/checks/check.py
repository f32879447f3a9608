"""Lists the breaches of one application and of its schema files (law 1)."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

from streams.app import App
from streams.checks.emission_rules import undeclared_answers, undeclared_emissions
from streams.checks.field_names import unknown_fields
from streams.checks.outcome_rules import wrong_outcomes
from streams.checks.purity import idle_imports, impurities
from streams.checks.signatures import misfits
from streams.checks.source_code import (
    Breach,
    Scope,
    class_location,
    forget,
    function_of,
    location_of,
    reached_functions,
    tree_of,
)
from streams.checks.undefined_names import undefined_names
from streams.data import Record
from streams.namespace import EVENT_TYPE, Namespace
from streams.projection import Projection


def check(app: App, schemas: Mapping[str, str] | None = None) -> list[Breach]:
    """Every breach of law 1 that can be found by reading, sorted by file and line.

    `schemas` has the names that schema files define, with their files: `user.signup` is an event, `user.row` a row. None: there
    are no files, as in a deployed application, and the classes have their schemas.
    """
    forget()
    found = [
        *misfits(app),
        *undefined_names(app),
        *unknown_fields(app),
        *_handlers(app),
        *_gateways(app),
        *_projections(app),
        *_imports(app),
        *_unhandled(app),
        *_classes(app, schemas),
    ]
    if schemas is not None:
        found += _files(app, schemas)
    return sorted(set(found))


def _handlers(app: App) -> Iterator[Breach]:
    for namespace in app.namespaces:
        for data, handler in namespace.handlers.items():
            subject = f"the handler of {data.event_type}"
            function = function_of(handler)
            if function is None:
                yield Breach("<unknown>", 1, "ImpureHandler", f"{subject} is {handler!r}, whose source cannot be read")
                continue
            reached = reached_functions(function)
            if not reached[0].scopes:
                file, line = location_of(handler)
                yield Breach(file, line, "ImpureHandler", f"{subject} has no source to read: write it in a file")
            yield from impurities(subject, reached)
            yield from undeclared_emissions(data.event_type, reached, namespace.emits[data])
            yield from wrong_outcomes(data.event_type, handler)


def _gateways(app: App) -> Iterator[Breach]:
    for gateway in app.gateways:
        yield from undeclared_answers(gateway)


def _projections(app: App) -> Iterator[Breach]:
    for projection in app.projections:
        for data, functions in projection.folds_by.items():
            for function in (function_of(function) for function in functions):
                if function is not None:
                    subject = f"the projection {projection.name}, folding {data.event_type},"
                    yield from impurities(subject, reached_functions(function))


def _imports(app: App) -> Iterator[Breach]:
    """Impure imports in the modules of handlers."""
    functions = [function_of(handler) for namespace in app.namespaces for handler in namespace.handlers.values()]
    known = [function for function in functions if function is not None]
    reached = dict.fromkeys(part for function in known for part in reached_functions(function))
    scopes_in: dict[str, list[Scope]] = {function.__module__: [] for function in known}
    for part in reached:
        if (found := scopes_in.get(part.function.__module__)) is not None:
            found += part.scopes
    for name, scopes in sorted(scopes_in.items()):
        module = sys.modules.get(name)
        for line, source, why in idle_imports(tree_of(module), scopes):
            file = getattr(module, "__file__", None) or name
            message = f"the handlers' module {name} imports {source}, which depends on {why}: remove it"
            yield Breach(file, line, "ImpureHandler", message)


def _unhandled(app: App) -> Iterator[Breach]:
    """Events that are emitted or answered, but have no handler here."""
    known = app.event_types()
    for namespace in app.namespaces:
        for data, emits in namespace.emits.items():
            file, line = location_of(namespace.handlers[data])
            for emitted in emits:
                name = emitted.event_type
                if not EVENT_TYPE.fullmatch(name):
                    yield Breach(file, line, "BadName", f"{data.event_type} emits {name!r}, which is no event's name")
                elif name not in known:
                    yield _nobody(file, line, f"{data.event_type} emits {name}", app)
    for gateway in app.gateways:
        file, line = location_of(gateway.call)
        subject = f"the gateway of {gateway.data.event_type}"
        for answer in gateway.answers:
            if answer.event_type not in known:
                yield _nobody(file, line, f"{subject} answers {answer.event_type}", app)
        if gateway.undo is not None and gateway.undo.event_type not in known:
            yield _nobody(file, line, f"{subject} is undone by {gateway.undo.event_type}", app)


def _nobody(file: str, line: int, what: str, app: App) -> Breach:
    message = f"{what}, which no namespace and no gateway of {app.name} handles: write its handler, or list its namespace in App"
    return Breach(file, line, "MissingHandler", message)


def _classes(app: App, schemas: Mapping[str, str] | None) -> Iterator[Breach]:
    """Event and row classes without a schema."""
    for name, data in app.event_types().items():
        yield from _from_schema(data, name, schemas)
        if data.key_field not in data.__struct_fields__:
            file, line = class_location(data)
            yield Breach(file, line, "BadName", f"the key of {name} is {data.key_field!r}, which is none of its fields")
    for part in tables_of(app):
        yield from _from_schema(part.row_type, row_name(part), schemas)


def row_name(part: Namespace[Any] | Projection[Any]) -> str:
    """The name of a table's row schema."""
    return f"{part.name.replace('-', '_')}.row"


def tables_of(app: App) -> list[Namespace[Any] | Projection[Any]]:
    return [*app.namespaces, *app.projections]


def _from_schema(cls: type[Record], name: str, schemas: Mapping[str, str] | None) -> Iterator[Breach]:
    path = f"schemas/{name.removesuffix('.row').replace('.', '/')}.avsc"
    file, line = class_location(cls)
    if not cls.schemas:
        message = f"{cls.__name__} of {name} has no schema: write {path}, then run `retold schemas generate`"
        yield Breach(file, line, "MissingSchema", message)
    elif schemas is not None and name not in schemas:
        message = f"{cls.__name__} of {name} has no file in the schema folder: expected {path}"
        yield Breach(file, line, "MissingSchema", message)


def _files(app: App, schemas: Mapping[str, str]) -> Iterator[Breach]:
    """Schema files with a wrong name, or without a handler or a table."""
    events = app.event_types()
    rows = {row_name(part) for part in tables_of(app)}
    for name, file in schemas.items():
        if not EVENT_TYPE.fullmatch(name):
            message = f"{name!r} is not named <namespace>.<name> in lower-case letters, digits and _, a letter first"
            yield Breach(file, 1, "BadName", message)
        elif name.endswith(".row") and name not in rows:
            message = f"this is the schema of {name.removesuffix('.row')}'s rows, and {app.name} has no such table"
            yield Breach(file, 1, "MissingHandler", message)
        elif not name.endswith(".row") and name not in events:
            yield _nobody(file, 1, f"this is the schema of {name}", app)
