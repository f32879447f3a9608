"""What a handler returns, as far as its source says it: an Outcome, and neither a row nor nothing."""

from __future__ import annotations

import ast
import typing
from collections.abc import Callable, Iterator
from inspect import isgeneratorfunction as is_generator
from types import FunctionType
from typing import Any

import msgspec

from streams.checks.source_code import Breach, FunctionNames, Scope, chain_of, function_of, scopes_of
from streams.data import Record
from streams.outcome import Outcome, required

VALUES = (
    *(ast.Constant, ast.List, ast.Tuple, ast.Dict, ast.Set, ast.JoinedStr, ast.Compare, ast.ListComp, ast.SetComp),
    *(ast.DictComp, ast.GeneratorExp, ast.Lambda, ast.BinOp, ast.UnaryOp),
)
"""Expressions that are never an Outcome."""
SAME_KIND = (msgspec.structs.replace, required)
"""Functions that return what they are given first, or another of its kind."""
DEPTH = 8
Truth = bool | None
"""None: unknown, or either."""


def wrong_outcomes(event_type: str, handler: Callable[..., Any]) -> Iterator[Breach]:
    """Every return of something that is surely no Outcome. A handler inside a wrapper is not read: that may change it."""
    function = function_of(handler)
    if function is None or function is not handler:
        return
    file, line = function.__code__.co_filename, function.__code__.co_firstlineno
    expected = "a handler returns Outcome(row, emit=[…])"
    if (hint := _hint(function)) is not None:
        yield Breach(file, line, "BadSignature", f"the handler of {event_type} is annotated to return {hint}; {expected}")
    for scope in scopes_of(function):
        if is_generator(function):
            returned = "a generator, since it has a yield"
            yield Breach(file, line, "BadSignature", f"the handler of {event_type} returns {returned}; {expected}")
            continue
        if (end := _open_end(scope)) is not None:
            yield Breach(file, end, "BadSignature", f"the handler of {event_type} returns nothing if it ends here; {expected}")
        reader = _Reader(scope, FunctionNames(function))
        for at, value in _returned(scope):
            if (what := reader.no_outcome(value)) is not None:
                yield Breach(file, at, "BadSignature", f"the handler of {event_type} returns {what}; {expected}")


def _hint(function: FunctionType) -> str | None:
    """The annotated class, if it is surely no Outcome."""
    try:
        hint = typing.get_type_hints(function).get("return")
    except (NameError, TypeError, AttributeError):
        return None
    if hint is type(None):
        return "None"
    kind = typing.get_origin(hint) or hint
    if isinstance(kind, type) and issubclass(kind, Record):
        return kind.__name__
    return None


def _returned(scope: Scope) -> Iterator[tuple[int, ast.expr | None]]:
    """Line and value of each return of the function itself, and not of those inside it."""
    if isinstance(scope, ast.Lambda):
        yield scope.lineno, scope.body
        return
    todo: list[ast.AST] = list(scope.body)
    while todo:
        node = todo.pop(0)
        if isinstance(node, ast.Return):
            yield node.lineno, node.value
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            todo += ast.iter_child_nodes(node)


def _open_end(scope: Scope) -> int | None:
    """The line of a statement after which the function may end without a return, if there is one."""
    return None if isinstance(scope, ast.Lambda) else _open(scope.body)


def _open(block: list[ast.stmt]) -> int | None:
    """The line of the statement after which a block may end. What only a person can judge counts as no end."""
    last = block[-1]
    match last:
        case ast.If(body=body, orelse=other):
            if len(other) == 1 and isinstance(other[0], ast.If) and not other[0].orelse:
                other = other[0].body  # whether a chain of them without an else is all that there is is not known
            return _open(body) or (_open(other) if other else last.lineno)
        case ast.With(body=body):
            return _open(body)
        case ast.Match(cases=cases):
            ends = (end for case in cases if (end := _open(case.body)) is not None)
            return next(ends, None)  # whether the cases are all that there are is not known
        case ast.Try(body=body, handlers=handlers, orelse=other, finalbody=final) | ast.TryStar(
            body=body, handlers=handlers, orelse=other, finalbody=final
        ):
            if final and _open(final) is None:
                return None
            return next((end for part in (other or body, *(it.body for it in handlers)) if (end := _open(part))), None)
        case ast.For() | ast.AsyncFor() | ast.While() | ast.Return() | ast.Raise() | ast.Continue() | ast.Break():
            return None
        case ast.Assert() | ast.Expr():  # such as a call that always raises, or the dots of a stub
            return None
    return last.lineno


class _Reader:
    def __init__(self, scope: Scope, names: FunctionNames) -> None:
        self._names = names
        given = [it.arg for it in (*scope.args.posonlyargs, *scope.args.args)]
        self._row = given[0] if given else None
        self._event = given[1] if len(given) > 1 else None
        self._bound = _bound(scope)

    def no_outcome(self, value: ast.expr | None, depth: int = DEPTH, only: Truth = None) -> str | None:
        """What it is, in words, if it is surely no Outcome in at least one case; of the cases in which it is true, or false."""
        if only is not None and _truth(value) not in (None, only):
            return None  # there is no such case
        match value:
            case None | ast.Constant(value=None):
                return "nothing"
            case ast.IfExp(body=body, orelse=other):
                return self.no_outcome(body, depth, only) or self.no_outcome(other, depth, only)
            case ast.BoolOp(op=op, values=values):
                return self._of_operands(values, isinstance(op, ast.Or), depth, only)
            case ast.NamedExpr(value=inner):
                return self.no_outcome(inner, depth, only)
            case ast.Name(id=name):
                return self._of_name(name, depth, only)
            case ast.Attribute() if (chain := chain_of(value)) and chain[0] in {self._row, self._event} - self._bound.keys():
                return f"a part of the row or the event ({'.'.join(chain)})"
            case ast.Call(func=called, args=given):
                return None if only is False else self._of_call(called, given, depth)
            case _ if isinstance(value, VALUES):
                return ast.unparse(value)[:80]
        return None

    def _of_operands(self, values: list[ast.expr], decides: bool, depth: int, only: Truth) -> str | None:
        """The value of `or` is its first operand that is true, that of `and` the first that is false; else the last.

        `decides` is the truth of an operand that ends it: of a case of the other truth, only the last is the value.
        """
        *before, last = values
        candidates = [] if only is (not decides) else [(it, decides) for it in before]
        found = (self.no_outcome(it, depth, truth) for it, truth in [*candidates, (last, only)])
        return next((what for what in found if what is not None), None)

    def _of_name(self, name: str, depth: int, only: Truth) -> str | None:
        values = self._bound.get(name, [])
        if depth <= 0 or UNREADABLE in values:
            return None
        if name == self._row and not values:
            return f"the row itself ({name})"
        if name == self._event and not values:
            return f"the event itself ({name})"
        whats = [self.no_outcome(it, depth - 1, only) for it in values if it is not UNREADABLE]
        return whats[-1] if whats and None not in whats else None

    def _of_call(self, called: ast.expr, given: list[ast.expr], depth: int) -> str | None:
        chain = chain_of(called)
        found = None if chain is None else self._names.resolve(chain)
        if isinstance(found, type) and issubclass(found, BaseException):
            return f"an exception ({found.__name__}), which must be raised"
        if isinstance(found, type) and not issubclass(found, Outcome):
            return f"a row or an event ({found.__name__})" if issubclass(found, Record) else None
        if any(found is it for it in SAME_KIND) and given and depth > 0:
            return self.no_outcome(given[0], depth - 1)
        return None


def _truth(value: ast.expr | None) -> Truth:
    """Whether an expression is true, if its form says so."""
    match value:
        case None:
            return False
        case ast.Constant(value=constant):
            return bool(constant)
        case ast.List(elts=parts) | ast.Tuple(elts=parts) | ast.Set(elts=parts) | ast.Dict(values=parts) if not parts:
            return False
        case ast.List(elts=parts) | ast.Tuple(elts=parts) if not all(isinstance(it, ast.Starred) for it in parts):
            return True
        case ast.Lambda() | ast.GeneratorExp():
            return True
    return None


UNREADABLE = ast.Pass()
"""In place of a value that is bound by a loop, an import and the like."""


def _bound(scope: Scope) -> dict[str, list[Any]]:
    """The values that a function gives to each of its names."""
    found: dict[str, list[Any]] = {}
    body: list[ast.AST] = list(scope.body) if isinstance(scope.body, list) else [scope.body]
    named: set[int] = set()
    nodes = [node for part in body for node in ast.walk(part)]
    for node in nodes:
        match node:
            case ast.Assign(targets=[ast.Name() as target], value=value) | ast.NamedExpr(target=target, value=value):
                found.setdefault(target.id, []).append(value)
                named.add(id(target))
            case ast.AnnAssign(target=ast.Name() as target, value=value) if value is not None:
                found.setdefault(target.id, []).append(value)
                named.add(id(target))
    for node in nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in named:
            found.setdefault(node.id, []).append(UNREADABLE)
        elif isinstance(node, ast.MatchAs | ast.MatchStar) and node.name:
            found.setdefault(node.name, []).append(UNREADABLE)
    return found
