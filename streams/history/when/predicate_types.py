"""What a condition may compare, by the schema of the row: what can never hold is a mistake, and refused before anything is read."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from streams.data import Record
from streams.engine.readable import named
from streams.errors import did_you_mean
from streams.eventfiles.numbers import time
from streams.schemas.avro import AvroType, parse

Value = Callable[[Any], Any]
"""Of a part of a condition, for a row."""
TEXT, NUMBER, TRUTH, TIME, NOTHING, LIST, MAP, RECORD = "text", "number", "truth", "time", "null", "list", "map", "record"
KINDS: Mapping[str, str] = {
    "string": TEXT, "enum": TEXT, "int": NUMBER, "long": NUMBER, "float": NUMBER, "double": NUMBER, "boolean": TRUTH,
    "timestamp-micros": TIME, "timestamp-millis": TIME, "array": LIST, "map": MAP, "record": RECORD, "bytes": "bytes",
    NOTHING: NOTHING,
}  # fmt: skip
"""By the kind of an Avro type."""
CALLED: Mapping[str, str] = {
    TEXT: "a text", NUMBER: "a number", TRUTH: "true or false", TIME: "a time", LIST: "a list", MAP: "a map", RECORD: "a record",
}  # fmt: skip
ORDERED = (ast.Lt, ast.LtE, ast.Gt, ast.GtE)
UNORDERED = frozenset({MAP, RECORD, NOTHING})
SYMBOLS = 10
"""Of an enum that are named."""


class Part(NamedTuple):
    """A part of a condition as it is written, what it is for a row, and its type; None: that is not known.

    A `constant` one has its value in `is_`. A list that is written has `items`.
    """

    text: str
    value: Value
    type: AvroType | None
    constant: bool = False
    is_: Any = None
    items: tuple[Part, ...] | None = None

    @property
    def kind(self) -> str | None:
        return None if self.type is None else KINDS.get(self.type.kind)

    @property
    def is_what(self) -> str:
        """For a sentence, behind the text."""
        if self.constant:
            return CALLED.get(self.kind or "", self.text)
        if self.type is not None and self.type.kind == "enum":
            some = self.type.symbols[:SYMBOLS]
            return f"one of {', '.join(some)}{'' if len(some) == len(self.type.symbols) else ', …'}"
        return CALLED.get(self.kind or "", self.kind or "not known")


def row_type_of(row_type: type[Record]) -> AvroType | None:
    """None for a class without a schema."""
    return AvroType("record", nullable=True, record=parse(row_type.schemas[-1], written=True)) if row_type.schemas else None


def constant(text: str, value: Any) -> Part:
    """A value that is written in a condition."""
    kinds = {str: "string", bool: "boolean", int: "long", float: "double"}
    return Part(text, lambda _: value, AvroType(kinds.get(type(value), NOTHING)), constant=True, is_=value)


def part_type(of: Part, name: str) -> tuple[AvroType | None, str]:
    """The type of `of.name`; and what is wrong with it, or nothing."""
    if of.type is None:
        return None, ""
    if of.type.record is None:
        such = f", such as {of.text} >= '2026-01-31T00:00:00Z'" if of.kind == TIME else ""
        compared = f"; it is compared as a whole{such}" if of.kind in (TIME, TEXT, NUMBER, TRUTH) else ""
        return None, f"asks for {named(name)!r} of {named(of.text)}, which is {of.is_what} and has no parts{compared}"
    types = {field.name: field.type for field in of.type.record.fields}
    if name not in types:
        return None, (
            f"asks for {named(name)!r} of {named(of.text)}, which has no such field{did_you_mean(name, types)}; it has "
            f"{', '.join(types)}"
        )
    return types[name], ""


def item_type(of: Part, at: str | int) -> tuple[AvroType | None, str]:
    """The type of `of[at]`; and what is wrong with it, or nothing."""
    if of.type is None:
        return None, ""
    if of.kind == MAP and isinstance(at, str):
        return of.type.item, ""
    if of.kind == LIST and isinstance(at, int):
        return of.type.item, ""
    keys = {MAP: "whose keys are texts", LIST: "whose places are numbers"}.get(of.kind or "", "which is no map and no list")
    return None, f"asks for {at!r} in {named(of.text)}, {keys}"


def refused_comparison(operator: ast.cmpop, one: Part, other: Part) -> str:
    """What is wrong with a comparison that can never hold, or fails for every row; nothing if it may hold."""
    if isinstance(operator, ast.Is | ast.IsNot):
        return ""
    if isinstance(operator, ast.In | ast.NotIn):
        return _refused_member(one, other)
    if one.type is None or other.type is None:
        return ""
    if isinstance(operator, ORDERED):
        bad = next((it for it in (one, other) if it.kind in UNORDERED), None)
        if bad is not None:
            return f"asks what is less or more, and {named(bad.text)} is {'nothing' if bad.kind == NOTHING else bad.is_what}"
    return _unlike(one, other, in_order=isinstance(operator, ORDERED))


def _refused_member(one: Part, other: Part) -> str:
    if other.items is not None:
        return next(filter(None, (refused_comparison(ast.Eq(), one, it) for it in other.items)), "")
    if other.type is None or one.type is None or one.kind == NOTHING:
        return ""
    if other.kind == LIST:
        return _unlike(one, Part(f"what is in {other.text}", other.value, other.type.item), in_order=False)
    if other.kind not in (TEXT, MAP):
        return f"asks what is in {named(other.text)}, which is {other.is_what}"
    if one.kind != TEXT:
        of = "its keys are texts" if other.kind == MAP else "in a text are texts"
        return f"asks whether {named(one.text)}, {one.is_what}, is in {named(other.text)}; {of}"
    return ""


def _unlike(one: Part, other: Part, *, in_order: bool) -> str:
    """What is wrong if two values are of kinds that are never equal."""
    if one.kind is None or other.kind is None or NOTHING in (one.kind, other.kind):
        return ""
    field, given = (other, one) if one.constant else (one, other)
    if field.kind == TIME and given.kind == TEXT:
        return _no_time(field, given)
    if field.kind == TEXT and given.kind == TIME:
        return ""
    if field.kind != given.kind:
        meant = _meant(field, given)
        return f"compares {named(field.text)}, which is {field.is_what}, with {named(given.text)}, which is {given.is_what}{meant}"
    symbols = field.type.symbols if field.type is not None else ()
    if symbols and given.constant and not in_order and given.is_ not in symbols:
        near = did_you_mean(str(given.is_), symbols)
        return f"compares {named(field.text)}, which is {field.is_what}, with {named(given.text)}{near}"
    return ""


def _no_time(field: Part, given: Part) -> str:
    if given.constant and time_of(given.is_) is None:
        return (
            f"compares {named(field.text)}, which is a time, with {named(given.text)}; a time with a zone, such as "
            "'2026-01-31T12:00:00Z', was expected"
        )
    return ""


def _meant(field: Part, given: Part) -> str:
    """What may have been meant by a value of another kind."""
    if not given.constant:
        return ""
    text = str(given.is_).lower() if isinstance(given.is_, bool) else str(given.is_)
    if field.kind == TEXT:
        symbols = field.type.symbols if field.type is not None else ()
        return f" (did you mean {text!r}?)" if not symbols or text in symbols else ""
    numeric = field.kind == NUMBER and text.lstrip("-").replace(".", "", 1).isdecimal()
    return f" (did you mean {named(text)}?)" if numeric or (field.kind == TRUTH and text.lower() in ("true", "false")) else ""


def time_of(text: str) -> datetime | None:
    """None for what is no time with a zone."""
    try:
        return time(text)
    except ValueError:
        return None


def with_times(sides: Sequence[Part]) -> list[Part]:
    """What is compared, one with the next: texts that stand for times are read once, and not for each row."""
    beside = [[*sides[max(0, number - 1) : number], *sides[number + 1 : number + 2]] for number in range(len(sides))]
    return [_as_time(it) if any(map(_has_times, others)) else it for it, others in zip(sides, beside, strict=True)]


def _has_times(part: Part) -> bool:
    item = None if part.type is None else part.type.item
    return part.kind == TIME or (item is not None and KINDS.get(item.kind) == TIME)


def _as_time(part: Part) -> Part:
    if part.items is not None:
        return written_list(part.text, map(_as_time, part.items))
    found = time_of(part.is_) if part.constant and isinstance(part.is_, str) else None
    return part if found is None else part._replace(value=lambda _: found)


def written_list(text: str, items: Iterable[Part]) -> Part:
    """A list that is written in a condition; in rows lists are tuples."""
    all_items = tuple(items)
    return Part(text, lambda row: tuple(it.value(row) for it in all_items), AvroType("array"), items=all_items)
