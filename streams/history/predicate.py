"""A condition about a row, as somebody types it: `status == 'paid' and total > 100`.

It looks like Python and is read by Python's parser, but only what is listed here is interpreted, and nothing is called: it can
neither reach anything outside of its row, nor take long.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from streams.data import Record
from streams.engine.readable import named
from streams.errors import InvalidEvent, did_you_mean
from streams.eventfiles.numbers import time
from streams.syntax import parse

LONGEST, MOST_PARTS = 1_000, 200
"""Characters, and parts of the tree."""
ROW = "row"
"""The row as a whole, which is None where there is none."""
WHAT_IS_UNDERSTOOD = (
    "a field of the row, text, numbers, true and false, None, lists of these; == != < <= > >=, in, not in, is None, and, or, not; "
    "a.b of a part, and a['key'] of a map or a list"
)

Value = Callable[[Any], Any]
"""Of a part of the condition, for a row."""
COMPARISONS: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: lambda one, other: bool(one == other),
    ast.NotEq: lambda one, other: bool(one != other),
    ast.Lt: lambda one, other: bool(one < other),
    ast.LtE: lambda one, other: bool(one <= other),
    ast.Gt: lambda one, other: bool(one > other),
    ast.GtE: lambda one, other: bool(one >= other),
    ast.In: lambda one, other: one in other,
    ast.NotIn: lambda one, other: one not in other,
    ast.Is: lambda one, other: one is other,
    ast.IsNot: lambda one, other: one is not other,
}
NAMED = {"true": True, "false": False, "null": None}
"""As JSON writes them; as Python does, they are no names."""
DEEPEST = 300
"""Levels of a condition: what is deeper, Python may not be able to read again."""


class PredicateFailed(Exception):
    """A condition cannot be evaluated for a row; the text says why, without the event."""


class Predicate:
    """`holds` says whether it is so for a row. Where there is no row it does not hold, unless it asks for `row` itself."""

    def __init__(self, text: str, row_type: type[Record]) -> None:
        """Raises InvalidEvent for what is not understood, with the fields that there are."""
        self.text = text
        self._fields = row_type.__struct_fields__
        self._parts = 0
        self.asks_for_row = False
        self.fields: list[str] = []
        """Those fields that it looks at, in the order in which they are named."""
        self._value = self._read(self._parsed(text))

    def holds(self, row: Record | None) -> bool:
        """Raises PredicateFailed."""
        if row is None and not self.asks_for_row:
            return False
        try:
            return bool(self._value(row))
        except PredicateFailed:
            raise
        except Exception as error:
            raise PredicateFailed(f"{type(error).__name__}: {error!s:.200}") from error

    def _parsed(self, text: str) -> ast.expr:
        if len(text) > LONGEST:
            raise self._refusal(f"is {len(text)} characters long; {LONGEST:,} are read at most")
        try:
            module = parse(text.strip())
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            why = error.msg if isinstance(error, SyntaxError) else "it is nested too deeply, or holds what is no text"
            raise self._refusal(f"cannot be read: {why}") from None
        if len(module.body) != 1 or not isinstance(module.body[0], ast.Expr):
            raise self._refusal("is no condition")
        if _depth(module) > DEEPEST:
            raise self._refusal("is nested too deeply")
        return module.body[0].value

    def _refusal(self, why: str) -> InvalidEvent:
        return InvalidEvent(
            f"the condition {named(self.text)!r} {why}. The fields of the row are {', '.join(self._fields)}; understood are "
            f"{WHAT_IS_UNDERSTOOD}"
        )

    def _read(self, node: ast.expr) -> Value:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise self._refusal(f"has more than {MOST_PARTS} parts")
        match node:
            case ast.Constant(value=str() | int() | float() | None) if not isinstance(node.value, complex):
                value = node.value
                return lambda _: value
            case ast.Name(id=name):
                return self._named(name)
            case ast.Attribute(value=inner, attr=name):
                return self._part(self._read(inner), name)
            case ast.Subscript(value=inner, slice=ast.Constant(value=str() | int() as at)):
                return self._item(self._read(inner), at)
            case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
                values = [self._read(item) for item in items]
                return lambda row: [value(row) for value in values]
        return self._combined(node)

    def _combined(self, node: ast.expr) -> Value:
        match node:
            case ast.UnaryOp(op=ast.Not(), operand=inner):
                denied = self._read(inner)
                return lambda row: not denied(row)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
                return lambda _: -number
            case ast.BoolOp(op=ast.And(), values=parts):
                each = [self._read(part) for part in parts]
                return lambda row: all(part(row) for part in each)
            case ast.BoolOp(op=ast.Or(), values=parts):
                each = [self._read(part) for part in parts]
                return lambda row: any(part(row) for part in each)
            case ast.Compare(left=left, ops=ops, comparators=others):
                for op, other in zip(ops, others, strict=True):
                    self._check_identity(op, other)
                sides = [self._read(side) for side in (left, *others)]
                return self._compared(sides, [COMPARISONS[type(op)] for op in ops])
        raise self._refusal(f"holds {named(ast.unparse(node))!r}, which is not understood")

    def _check_identity(self, op: ast.cmpop, other: ast.expr) -> None:
        """Other values may be the same object or not, as Python pleases."""
        if isinstance(op, ast.Is | ast.IsNot) and not (
            (isinstance(other, ast.Constant) and (other.value is None or isinstance(other.value, bool)))
            or (isinstance(other, ast.Name) and other.id in NAMED)
        ):
            raise self._refusal("asks with `is` for something else than None, true or false; == was expected")

    def _named(self, name: str) -> Value:
        if name in self._fields:
            if name not in self.fields:
                self.fields.append(name)
            return lambda row: None if row is None else getattr(row, name)
        if name == ROW:
            self.asks_for_row = True
            return lambda row: row
        if name in NAMED:
            value = NAMED[name]
            return lambda _: value
        raise self._refusal(f"asks for {named(name)!r}, which is no field of it{did_you_mean(name, self._fields)}")

    def _part(self, inner: Value, name: str) -> Value:
        def part(row: Any) -> Any:
            of = inner(row)
            if isinstance(of, msgspec.Struct):
                if name in of.__struct_fields__:
                    return getattr(of, name)
                raise PredicateFailed(f"there is no {name!r} in it; there are {', '.join(of.__struct_fields__)}")
            if of is None and row is None:
                return None
            raise PredicateFailed(f"{_short(of)} has no part {name!r}")

        if name.startswith("_"):
            raise self._refusal(f"asks for {named(name)!r}, which is no field")
        return part

    def _item(self, inner: Value, at: str | int) -> Value:
        def item(row: Any) -> Any:
            of = inner(row)
            if isinstance(of, Mapping):
                return of.get(at)
            if isinstance(of, tuple | list) and isinstance(at, int):
                return of[at] if -len(of) <= at < len(of) else None
            if of is None:
                return None
            raise PredicateFailed(f"{_short(of)} is no map and no list, so it has no {at!r}")

        return item

    def _compared(self, sides: list[Value], comparisons: list[Callable[[Any, Any], bool]]) -> Value:
        def compared(row: Any) -> bool:
            one = sides[0](row)
            for side, comparison in zip(sides[1:], comparisons, strict=True):
                other = side(row)
                mine, theirs = _alike(one, other)
                try:
                    if not comparison(mine, theirs):
                        return False
                except TypeError:
                    raise PredicateFailed(f"{_short(one)} and {_short(other)} cannot be compared in this way") from None
                one = other
            return True

        return compared


def _alike(one: Any, other: Any) -> tuple[Any, Any]:
    """A time that is compared with a text is compared with the time that this says."""
    if isinstance(one, datetime) and isinstance(other, str):
        return one, _time(other)
    if isinstance(one, str) and isinstance(other, datetime):
        return _time(one), other
    return one, other


def _time(text: str) -> datetime:
    try:
        return time(text)
    except ValueError:
        raise PredicateFailed(
            f"{named(text)!r} is compared with a time; a time with a zone, such as 2026-01-31T12:00:00Z, was expected"
        ) from None


def _short(value: Any) -> str:
    return f"{value!r:.80}"


def _depth(node: ast.AST) -> int:
    """Counted level by level, since a recursion might end before it."""
    depth, level = 0, [node]
    while level:
        depth, level = depth + 1, [child for each in level for child in ast.iter_child_nodes(each)]
    return depth
