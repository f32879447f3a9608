"""What generates code: lines of Python, names for what they use, and whether a class suits its schema."""

from __future__ import annotations

import datetime as dates
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, get_args, get_origin

from streams.data import Record
from streams.errors import StaleTypes
from streams.hints import without_none
from streams.schemas.avro import AvroType, RecordType
from streams.schemas.classes import item_hint, structure_of

HINTS: Final = {
    "string": str, "bytes": bytes, "boolean": bool, "int": int, "long": int, "float": float, "double": float,
    "timestamp-micros": dates.datetime, "timestamp-millis": dates.datetime,
}  # fmt: skip


class Uncommon(Exception):
    """Something that generated code leaves to the careful functions."""


class Block:
    def __init__(self, code: Code) -> None:
        self._code = code

    def __enter__(self) -> None:
        self._code.depth += 1

    def __exit__(self, *_: object) -> None:
        self._code.depth -= 1


class Code:
    """The lines of a module of functions, and the names that they use.

    Of a schema's text only the names of fields may be in a line: its parser allows only letters, digits and _ in them.
    """

    def __init__(self, names: dict[str, Any]) -> None:
        self.names, self.depth = names, 0
        self._lines: list[str] = []
        self._done: list[str] = []
        self._count = 0

    def line(self, text: str) -> None:
        self._lines.append(" " * self.depth + text)

    def block(self, head: str) -> Block:
        self.line(head)
        return Block(self)

    def new(self, kind: str = "x") -> str:
        """A name that nothing else has."""
        self._count += 1
        return f"{kind}{self._count}"

    def keep(self, value: object) -> str:
        """A name for a value."""
        name = self.new("k")
        self.names[name] = value
        return name

    def function(self, head: str, body: Callable[[], None]) -> None:
        """A function of its own: Python allows only 20 blocks in one another."""
        lines, depth, self._lines, self.depth = self._lines, self.depth, [], 0
        with self.block(head):
            body()
        self._done += self._lines
        self._lines, self.depth = lines, depth

    def run(self) -> dict[str, Any]:
        exec("\n".join([*self._done, *self._lines]), self.names)  # noqa: S102 - made here, of names that are made here
        return self.names


def suits(record: RecordType, cls: type[Record]) -> bool:
    """Whether the annotations of the class are what the schema says, so that a value of the one needs no check by the other."""
    try:
        hints = structure_of(record, cls)
        return all(_type_suits(field.type, hints[field.name]) for field in record.fields)
    except StaleTypes:
        return False


def _type_suits(kind: AvroType, hint: Any) -> bool:
    plain = without_none(hint)
    if (plain is not hint) != kind.nullable:
        return False
    if kind.kind == "enum":
        return get_origin(plain) is Literal and set(get_args(plain)) == set(kind.symbols)
    if kind.record is not None:
        return isinstance(plain, type) and issubclass(plain, Record) and suits(kind.record, plain)
    if kind.item is not None:
        wanted = tuple if kind.kind == "array" else Mapping
        return get_origin(plain) is wanted and _type_suits(kind.item, item_hint(hint))
    return HINTS.get(kind.kind) is plain
