"""Checks declared emissions and answers: the event classes that a handler builds against those that it declares."""

from __future__ import annotations

import ast
import functools
import typing
from collections.abc import Iterable, Iterator
from types import FunctionType

from streams.checks.source_code import Breach, ReachedFunction, chain_of, function_of, reached_functions, walk
from streams.data import EventData
from streams.gateway import Gateway


def built_in(reached: Iterable[ReachedFunction]) -> Iterator[tuple[type[EventData], str, int]]:
    """The event classes that functions build, with the file and line of each call."""
    for part in reached:
        for found, line in _built_in(part):
            yield found, part.file, line


@functools.lru_cache(maxsize=4096)
def _built_in(part: ReachedFunction) -> tuple[tuple[type[EventData], int], ...]:
    """The same whoever calls the function."""
    calls = (node for scope in part.scopes for node in walk(scope) if isinstance(node, ast.Call))
    named = ((part.names.resolve(chain), call.lineno) for call in calls if (chain := chain_of(call.func)) is not None)
    return tuple((found, line) for found, line in named if _is_event(found))


def undeclared_emissions(
    event_type: str, reached: Iterable[ReachedFunction], declared: tuple[type[EventData], ...]
) -> Iterator[Breach]:
    for built, file, line in built_in(reached):
        if built not in declared:
            yield Breach(
                file,
                line,
                "UndeclaredEmission",
                f"the handler of {event_type} builds {built.event_type}, which it does not declare: "
                f"add {built.__name__} to its emits=[…]",
            )


def undeclared_answers(gateway: Gateway[typing.Any]) -> Iterator[Breach]:
    """Undeclared answers, found by the call's return annotation and by what it builds."""
    call = function_of(gateway.call)
    if call is None:
        return
    name = gateway.data.event_type
    file, line = call.__code__.co_filename, call.__code__.co_firstlineno
    promised = [(answer, file, line) for answer in _promised(call)]
    reported: set[type[EventData]] = set()
    for answer, file, line in (*promised, *built_in(reached_functions(call))):
        if answer not in gateway.answers and answer not in reported:
            reported.add(answer)
            yield Breach(
                file,
                line,
                "UndeclaredEmission",
                f"the gateway of {name} answers {answer.event_type}, which it does not declare: "
                f"add {answer.__name__} to its answers=[…]",
            )


def _promised(call: FunctionType) -> list[type[EventData]]:
    """The event classes in the return annotation."""
    try:
        hint = typing.get_type_hints(call).get("return")
    except (NameError, TypeError, AttributeError):
        return []
    parts = typing.get_args(hint) or (hint,)
    return [part for part in parts if _is_event(part)]


def _is_event(found: object) -> typing.TypeGuard[type[EventData]]:
    return isinstance(found, type) and issubclass(found, EventData) and hasattr(found, "event_type")
