"""Keywords of `replace(row, …)` and of rows' and events' constructors that name no field: Python finds them with the event."""

from __future__ import annotations

import ast
import copy
import dataclasses
import functools
from collections.abc import Iterator
from types import FunctionType
from typing import Any

import msgspec

from streams.app import App
from streams.checks.source_code import (
    UNKNOWN,
    Breach,
    FunctionNames,
    ReachedFunction,
    Scope,
    chain_of,
    function_of,
    reached_functions,
    walk,
)
from streams.data import Record
from streams.errors import did_you_mean
from streams.outcome import required

Wrong = tuple[int, str, type[Record]]
"""The line, the field that is given, and the class that does not have it."""
REPLACE = (msgspec.structs.replace, dataclasses.replace, getattr(copy, "replace", UNKNOWN))


def unknown_fields(app: App) -> Iterator[Breach]:
    """Only where the class is certain: it is named, or the row is the handler's own, or `required` of it."""
    for namespace in app.namespaces:
        for data, handler in namespace.handlers.items():
            if (plain := function_of(handler)) is not None:
                yield from _of_handler(f"the handler of {data.event_type}", plain, namespace.row_type)


def _of_handler(subject: str, handler: FunctionType, row_type: type[Record]) -> Iterator[Breach]:
    for part in reached_functions(handler):
        wrong = [*_wrong_in_constructors(part), *(_wrong_in_replace(part, row_type) if part.function is handler else ())]
        for line, field, cls in wrong:
            near, fields = did_you_mean(field, cls.__struct_fields__), ", ".join(cls.__struct_fields__)
            message = f"{subject} gives {cls.__name__} the field {field!r}{near}; it has {fields}"
            yield Breach(part.file, line, "UnknownField", message)


@functools.lru_cache(maxsize=4096)
def _wrong_in_constructors(part: ReachedFunction) -> tuple[Wrong, ...]:
    """The same whoever calls the function."""
    found: list[Wrong] = []
    for call in _calls(part):
        called = _resolved(call.func, part.names)
        if isinstance(called, type) and issubclass(called, Record):
            found += _wrong(call, called)
    return tuple(found)


def _wrong_in_replace(part: ReachedFunction, row_type: type[Record]) -> Iterator[Wrong]:
    for scope in part.scopes:
        rows = _rows(scope, part.names)
        for call in _calls(part):
            called = _resolved(call.func, part.names)
            is_replace = called is not UNKNOWN and any(called is it for it in REPLACE)
            if is_replace and call.args and _is_row(call.args[0], part.names, rows):
                yield from _wrong(call, row_type)


def _calls(part: ReachedFunction) -> Iterator[ast.Call]:
    return (node for scope in part.scopes for node in walk(scope) if isinstance(node, ast.Call))


def _wrong(call: ast.Call, cls: type[Record]) -> Iterator[Wrong]:
    for word in call.keywords:
        if word.arg is not None and word.arg not in cls.__struct_fields__:
            yield word.value.lineno, word.arg, cls


def _rows(scope: Scope, names: FunctionNames) -> set[str]:
    """Names that hold the handler's row wherever they are read: each is bound once."""
    bound: dict[str, int] = {}
    for node in walk(scope):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            bound[node.id] = bound.get(node.id, 0) + 1
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ExceptHandler | ast.Match):
            return set()  # names may be bound in other ways there
    parameters = [*scope.args.posonlyargs, *scope.args.args]
    found = {parameters[0].arg} - bound.keys() if parameters else set()
    for node in walk(scope):
        if not isinstance(node, ast.Assign) or len(node.targets) != 1 or not isinstance(node.value, ast.Call):
            continue
        target = node.targets[0]
        if isinstance(target, ast.Name) and bound[target.id] == 1 and _is_row(node.value, names, found):
            found.add(target.id)
    return found


def _is_row(value: ast.expr, names: FunctionNames, rows: set[str]) -> bool:
    """Whether it is a name of the row, or `required` of one."""
    if isinstance(value, ast.Call) and value.args and _resolved(value.func, names) is required:
        value = value.args[0]
    return isinstance(value, ast.Name) and value.id in rows


def _resolved(node: ast.expr, names: FunctionNames) -> Any:
    chain = chain_of(node)
    return UNKNOWN if chain is None else names.resolve(chain)
