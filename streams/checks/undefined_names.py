"""Names that a function uses and nobody defines: Python finds them when the event is there, and parks it."""

from __future__ import annotations

import builtins
import dis
import functools
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

from streams.app import App
from streams.checks.source_code import Breach, ReachedFunction, function_of, reached_functions


def undefined_names(app: App) -> Iterator[Breach]:
    """Of every function of an application, and of what it may call."""
    for subject, function in _functions(app):
        plain = function_of(function)
        for part in reached_functions(plain) if plain is not None else []:
            for line, name in _undefined_in(part):
                yield Breach(part.file, line, "NameError", f"{subject} uses {name}, which is not defined: import or correct it")


@functools.lru_cache(maxsize=4096)
def _undefined_in(part: ReachedFunction) -> tuple[tuple[int, str], ...]:
    """Line and name of each, in order; the same whoever calls the function."""
    defined = part.function.__globals__
    found = sorted(set(_global_names(part.function.__code__)))
    return tuple((line, name) for line, name in found if name not in defined and not hasattr(builtins, name))


def _functions(app: App) -> Iterator[tuple[str, Callable[..., Any]]]:
    for namespace in app.namespaces:
        for data, handler in namespace.handlers.items():
            yield f"the handler of {data.event_type}", handler
    for gateway in app.gateways:
        yield f"the gateway of {gateway.data.event_type}", gateway.call
    for projection in app.projections:
        for data, functions in projection.folds_by.items():
            for function in functions:
                yield f"the projection {projection.name}, folding {data.event_type},", function
    for view in app.views:
        yield f"the view {view.path}", view.answer


def _global_names(code: CodeType) -> Iterator[tuple[int, str]]:
    """Line and name of each global that the code, or a function inside it, reads and does not write itself."""
    instructions = list(dis.get_instructions(code))
    written = {it.argval for it in instructions if it.opname == "STORE_GLOBAL"}
    for it in instructions:
        if it.opname in ("LOAD_GLOBAL", "LOAD_NAME") and it.argval not in written:
            line = it.positions.lineno if it.positions is not None else None
            yield line or code.co_firstlineno, it.argval
    for constant in code.co_consts:
        if isinstance(constant, CodeType) and not _is_class(constant):
            yield from _global_names(constant)


def _is_class(code: CodeType) -> bool:
    """A class body has names of its own, which are read in the same way."""
    return "__qualname__" in code.co_names
