"""Checks functions' parameters against how they are called: otherwise the first event or request would fail."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from streams.app import App
from streams.checks.source_code import Breach, function_of, location_of
from streams.gateway import Gateway
from streams.view import View

LAMBDA = "<lambda>"


def misfits(app: App) -> Iterator[Breach]:
    """A breach for every function of an application that cannot be called as it will be."""
    for namespace in app.namespaces:
        for data, handler in namespace.handlers.items():
            yield from _arguments(f"the handler of {data.event_type}", handler, "the row and the event")
    for gateway in app.gateways:
        yield from _gateway(gateway)
    for projection in app.projections:
        for data, (key, fold) in projection.folds_by.items():
            subject = f"the projection {projection.name}, folding {data.event_type},"
            yield from _arguments(f"the key of {subject}", key, "the event")
            yield from _arguments(subject, fold, "the row and the event")
    for view in app.views:
        yield from _view(view)


def _arguments(subject: str, function: Callable[..., Any], given: str) -> Iterator[Breach]:
    """`given` names the arguments of the call, with "and" between."""
    signature = _signature(function)
    if signature is not None and not _binds(signature, len(given.split(" and "))):
        yield _breach(function, f"{subject} takes {_shown(signature)}, and is called with {given}: let it take these")


def _gateway(gateway: Gateway[Any]) -> Iterator[Breach]:
    subject, call = f"the gateway of {gateway.data.event_type}", gateway.call
    yield from _arguments(subject, call, "the event")
    if not _is_awaited(call):
        yield _breach(call, f"{subject} is no async function, and its answer is awaited: write `async def`")


def _is_awaited(call: Callable[..., Any]) -> bool:
    """Whether the call is async, by its definition or annotation; a lambda, which cannot be annotated, is accepted."""
    plain = function_of(call)
    if plain is None or plain.__code__.co_name == LAMBDA:
        return True
    if inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(plain):
        return True
    hint = _hints(plain).get("return")
    kind = typing.get_origin(hint) or hint
    return isinstance(kind, type) and issubclass(kind, Awaitable)


def _view(view: View) -> Iterator[Breach]:
    signature, subject = _signature(view.answer), f"the view {view.path}"
    names = [part[1:-1] for part in view.path.strip("/").split("/") if part.startswith("{")]
    if signature is None:
        return
    if not _binds(signature, 1, *names):
        called = ", ".join(["tables", *names])
        message = (
            f"{subject} takes {_shown(signature)}, and is called with ({called}): name its parameters as its path does"
        )
        yield _breach(view.answer, message)
    hints = _hints(function_of(view.answer))
    for name in names:
        if name in signature.parameters and name in hints and not _takes_text(hints[name]):
            kind = getattr(hints[name], "__name__", hints[name])
            message = (
                f"{subject} takes {name} as {kind}, and a name of a path is text: annotate it as str and convert it"
            )
            yield _breach(view.answer, message)


def _signature(function: Callable[..., Any]) -> inspect.Signature | None:
    """The signature; None if Python does not know it. A wrapper has its own, since the wrapper is called."""
    try:
        return inspect.signature(function, follow_wrapped=False)
    except (TypeError, ValueError):
        return None


def _binds(signature: inspect.Signature, count: int, *names: str) -> bool:
    """Whether it can be called with `count` positional arguments and these names."""
    try:
        signature.bind(*[None] * count, **dict.fromkeys(names))
    except TypeError:
        return False
    return True


def _shown(signature: inspect.Signature) -> str:
    """The signature without annotations, such as `(row, event)`."""
    bare = [each.replace(annotation=inspect.Parameter.empty) for each in signature.parameters.values()]
    return str(inspect.Signature(bare))


def _hints(function: types.FunctionType | None) -> dict[str, Any]:
    """Resolved annotations; none if one of their names does not exist at run time."""
    try:
        return typing.get_type_hints(function) if function else {}
    except (NameError, TypeError, AttributeError):
        return {}


def _takes_text(hint: Any) -> bool:
    """False only for an annotation that excludes a text: `int`, `list[str]`, `int | None`."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_takes_text(part) for part in typing.get_args(hint))
    kind = origin or hint
    try:
        return kind is Any or not isinstance(kind, type) or issubclass(str, kind)
    except TypeError:  # a protocol, which Python cannot compare at run time
        return True


def _breach(function: Callable[..., Any], message: str) -> Breach:
    return Breach(*location_of(function), "BadSignature", message)
