"""Where a page goes on: behind the place of the last row before it, as a text for an address.

It is base64 of JSON: a digest of what was asked, the values of the order, and the key. A cursor that was edited by hand, or is of
another question, is refused; one whose values were edited begins at another place of the same question.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import math
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

import msgspec

from streams.errors import InvalidQuery
from streams.query.filters import TYPES, WHOLE_NUMBERS
from streams.query.query import Query
from streams.query.row_fields import KEY, RowField

LONGEST: Final = 8_000
"""Characters of a cursor that is read at all."""
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
ENDLESS: Final = {"inf": math.inf, "-inf": -math.inf}
"""JSON has no endless numbers, which a row may have."""


def cursor_of(table: str, query: Query, place: tuple[Any, ...] | None) -> str | None:
    """The text of a place in the order; None: there is no next page."""
    if place is None:
        return None
    raw = msgspec.json.encode([digest_of(table, query), *map(_written, place)])
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def place_of(table: str, query: Query, text: str) -> tuple[Any, ...]:
    """The place of a cursor, which must be one of this question. Raises InvalidQuery."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True) if len(text) <= LONGEST else b""
        types: Any = tuple[(str, *(_type_of(each.field) for each in query.order))]  # type: ignore[misc]  # made at run time
        digest, *found = msgspec.json.decode(raw, type=types)
        place = tuple(ENDLESS.get(each, each) if isinstance(each, str) and it.field.kind == "float" else each
                      for each, it in zip(found, query.order, strict=True))
    except (msgspec.MsgspecError, binascii.Error, ValueError):
        digest, place = "", ()
    if digest != digest_of(table, query):
        raise InvalidQuery(
            f"_next is {text[:80]!r}; the `next` of a page was expected, of the same table with the same filters and _sort",
            "_next", "wrong-cursor",
        )  # fmt: skip
    return place


def digest_of(table: str, query: Query) -> str:
    """Of what decides which rows there are, and in what order: not of how many a page has, or what is shown of them."""
    asked = sorted([each.field.name, each.operator, repr(_same(each.value))] for each in query.filters)
    raw = msgspec.json.encode([table, asked, [str(each) for each in query.order]])
    return base64.urlsafe_b64encode(hashlib.sha256(raw).digest()[:9]).decode()


def _same(value: Any) -> Any:
    """A value as it is, however its zone was written."""
    if isinstance(value, tuple):
        return tuple(_same(each) for each in value)
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def _written(value: Any) -> Any:
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return value


def _type_of(field: RowField) -> Any:
    """What a cursor may hold for a field."""
    if field == KEY:
        return str
    if field.kind == "float":
        return float | Literal["inf", "-inf"] | None
    if field.kind == "time":
        return Moment | None
    if field.kind == "int":
        return Annotated[int, msgspec.Meta(ge=WHOLE_NUMBERS.start, le=WHOLE_NUMBERS.stop - 1)] | None
    return (str if field.kind == "enum" else TYPES[field.kind]) | None
