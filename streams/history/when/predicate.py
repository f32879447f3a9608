"""A condition about a row, as somebody types it: `status == 'paid' and total > 100`.

It looks like Python and is read by Python's parser, but only what is listed here is interpreted, and nothing is called: it can
neither reach anything outside of its row, nor take long.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import pairwise
from typing import Any

import msgspec

from streams.data import Record
from streams.engine.readable import named
from streams.errors import InvalidEvent, did_you_mean
from streams.history.when.predicate_types import (
    Part,
    Value,
    constant,
    item_type,
    part_type,
    refused_comparison,
    row_type_of,
    time_of,
    with_times,
    written_list,
)
from streams.schemas.avro import AvroType
from streams.syntax import parse

LONGEST, MOST_PARTS = 1_000, 200
"""Characters, and parts of the tree."""
ROW = "row"
"""The row as a whole, which is None where there is none."""
WHAT_IS_UNDERSTOOD = (
    "a field of the row, text, numbers, true and false, None, lists of these; == != < <= > >=, in, not in, is None, and, or, not; "
    "a.b of a part, and a['key'] of a map or a list"
)

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
TRUE_OR_FALSE = AvroType("boolean")
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
        self._source, self._parts = text.strip(), 0
        self.asks_for_row = False
        self.fields: list[str] = []
        """Those fields that it looks at, in the order in which they are named."""
        self._row_type = row_type_of(row_type)
        record = None if self._row_type is None else self._row_type.record
        self._types: Mapping[str, AvroType] = {} if record is None else {field.name: field.type for field in record.fields}
        self._value = self._read(self._parsed(text)).value

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
            module = parse(self._source)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            why = error.msg if isinstance(error, SyntaxError) else "it is nested too deeply, or holds what is no text"
            raise self._refusal(f"cannot be read: {why}") from None
        if len(module.body) != 1 or not isinstance(module.body[0], ast.Expr):
            raise self._refusal("is no condition")
        if _depth(module) > DEEPEST:
            raise self._refusal("is nested too deeply")
        return module.body[0].value

    def _refusal(self, why: str, *, is_understood: bool = False) -> InvalidEvent:
        understood = "" if is_understood else f"; understood are {WHAT_IS_UNDERSTOOD}"
        fields = ", ".join(self._fields)
        return InvalidEvent(f"the condition {named(self.text)!r} {why}. The fields of the row are {fields}{understood}")

    def _read(self, node: ast.expr) -> Part:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise self._refusal(f"has more than {MOST_PARTS} parts")
        text = ast.get_source_segment(self._source, node) or ast.unparse(node)
        match node:
            case ast.Constant(value=str() | int() | float() | None) if not isinstance(node.value, complex):
                return constant(text, node.value)
            case ast.Name(id=name):
                return self._named(name)
            case ast.Attribute(value=inner, attr=name):
                return self._part(text, self._read(inner), name)
            case ast.Subscript(value=inner, slice=ast.Constant(value=str() | int() as at)):
                return self._item(text, self._read(inner), at)
            case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
                return written_list(text, map(self._read, items))
        return self._combined(text, node)

    def _combined(self, text: str, node: ast.expr) -> Part:
        match node:
            case ast.UnaryOp(op=ast.Not(), operand=inner):
                denied = self._read(inner).value
                return Part(text, lambda row: not denied(row), TRUE_OR_FALSE)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
                return constant(text, -number)
            case ast.BoolOp(op=ast.And(), values=parts):
                each = [self._read(part).value for part in parts]
                return Part(text, lambda row: all(part(row) for part in each), TRUE_OR_FALSE)
            case ast.BoolOp(op=ast.Or(), values=parts):
                each = [self._read(part).value for part in parts]
                return Part(text, lambda row: any(part(row) for part in each), TRUE_OR_FALSE)
            case ast.Compare(left=left, ops=ops, comparators=others):
                for op, other in zip(ops, others, strict=True):
                    self._check_identity(op, other)
                sides = [self._read(side) for side in (left, *others)]
                for op, (one, other_side) in zip(ops, pairwise(sides), strict=True):
                    if wrong := refused_comparison(op, one, other_side):
                        raise self._refusal(wrong, is_understood=True)
                values = [side.value for side in with_times(sides)]
                return Part(text, _compared(values, [COMPARISONS[type(op)] for op in ops]), TRUE_OR_FALSE)
        raise self._refusal(f"holds {named(ast.unparse(node))!r}, which is not understood")

    def _check_identity(self, op: ast.cmpop, other: ast.expr) -> None:
        """Other values may be the same object or not, as Python pleases."""
        if isinstance(op, ast.Is | ast.IsNot) and not (
            (isinstance(other, ast.Constant) and (other.value is None or isinstance(other.value, bool)))
            or (isinstance(other, ast.Name) and other.id in NAMED)
        ):
            raise self._refusal("asks with `is` for something else than None, true or false; == was expected")

    def _named(self, name: str) -> Part:
        if name in self._fields:
            if name not in self.fields:
                self.fields.append(name)
            return Part(name, lambda row: None if row is None else getattr(row, name), self._types.get(name))
        if name == ROW:
            self.asks_for_row = True
            return Part(name, lambda row: row, self._row_type)
        if name in NAMED:
            return constant(name, NAMED[name])
        raise self._refusal(f"asks for {named(name)!r}, which is no field of it{did_you_mean(name, self._fields)}")

    def _part(self, text: str, of: Part, name: str) -> Part:
        def part(row: Any) -> Any:
            value = of.value(row)
            if isinstance(value, msgspec.Struct) and name in value.__struct_fields__:
                return getattr(value, name)
            if value is None and row is None:
                return None
            raise PredicateFailed(f"{named(of.text)} is {_short(value)}, which has no {name!r}")

        if name.startswith("_"):
            raise self._refusal(f"asks for {named(name)!r}, which is no field")
        kind, wrong = part_type(of, name)
        if wrong:
            raise self._refusal(wrong, is_understood=True)
        return Part(text, part, kind)

    def _item(self, text: str, of: Part, at: str | int) -> Part:
        def item(row: Any) -> Any:
            value = of.value(row)
            if isinstance(value, Mapping):
                return value.get(at)
            if isinstance(value, tuple | list) and isinstance(at, int):
                return value[at] if -len(value) <= at < len(value) else None
            if value is None:
                return None
            raise PredicateFailed(f"{named(of.text)} is {_short(value)}, no map and no list, so it has no {at!r}")

        kind, wrong = item_type(of, at)
        if wrong:
            raise self._refusal(wrong, is_understood=True)
        return Part(text, item, kind)


def _compared(sides: list[Value], comparisons: list[Callable[[Any, Any], bool]]) -> Value:
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
    found = time_of(text)
    if found is None:
        raise PredicateFailed(
            f"{named(text)!r} is compared with a time; a time with a zone, such as 2026-01-31T12:00:00Z, was expected"
        )
    return found


def _short(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else f"{value!r:.80}"


def _depth(node: ast.AST) -> int:
    """Counted level by level, since a recursion might end before it."""
    depth, level = 0, [node]
    while level:
        depth, level = depth + 1, [child for each in level for child in ast.iter_child_nodes(each)]
    return depth
