"""Rows of every type of field, and questions about them: drawn by Hypothesis, and kept in a database in memory."""

from __future__ import annotations

import math
import random
import sqlite3
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final, Literal

import msgspec
from hypothesis import strategies as st

from streams.data import Record
from streams.query.filters import Filter, operators_of
from streams.query.query import Query, SortField
from streams.query.row_fields import COMPARED, KEY, RowField, fields_of
from streams.server.readmodel.row_writer import RowWriter
from streams.server.readmodel.store_moment import StoreMoment
from streams.server.readmodel.store_schema import table_statement

HOUR: Final = datetime(2026, 1, 1, tzinfo=UTC)


class Place(Record, frozen=True, kw_only=True):
    city: str
    floor: int | None = None


class Thing(Record, frozen=True, kw_only=True):
    text: str = ""
    note: str | None = None
    raw: bytes = b""
    at: datetime | None = None
    ratio: float | None = None
    count: int = 0
    done: bool = False
    kind: Literal["a", "b"] = "a"
    place: Place | None = None
    tags: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    times: tuple[datetime, ...] = ()
    by__who: str = ""


LONG: Final = "ß" * COMPARED
VALUES: Final[Mapping[str, list[Any]]] = {
    "text": [
        "", "a", "ab", "b", "é", "Z", "\ud7ff", "\ue000", "\U0010ffff", "a\U0010ffffb", "%", "a\0b", "o'c\"", LONG[1:], LONG,
        LONG + "a", LONG + "b", LONG + "ba",
    ],
    "bytes": [b"", b"\x00", b"a", b"ab", b"\xff", b"x" * COMPARED, b"x" * COMPARED + b"y", b"x" * (COMPARED - 1)],
    "int": [-(2**63), -1, 0, 1, 7, 2**53 + 1, 2**63 - 1],
    "float": [-1.5, -0.0, 0.0, 0.1, 2.0, 5e-324, 1.7976931348623157e308],
    "bool": [False, True],
    "time": [HOUR - timedelta(days=700_000), HOUR, HOUR + timedelta(microseconds=1), HOUR + timedelta(hours=1)],
    "enum": ["a", "b"],
}  # fmt: skip
"""Values of each kind, few, so that rows have equal ones."""
FIELDS: Final = fields_of(Thing)


@cache
def values(kind: str, *, optional: bool = False) -> st.SearchStrategy[Any]:
    return st.sampled_from([*VALUES[kind], None] if optional else VALUES[kind])


ENDLESS: Final = [*VALUES["float"], None, math.inf, -math.inf]


def some_things(count: int) -> list[Thing]:
    """The same ones in each run, the plainest first: each value of each kind is in many of them."""
    drawn = random.Random(0)

    def one(kind: str, *more: Any) -> Any:
        return drawn.choice([*VALUES[kind], *more])

    def several(kind: str, most: int) -> tuple[Any, ...]:
        return tuple(one(kind) for _ in range(drawn.randrange(most + 1)))

    return [Thing()] + [
        Thing(
            text=one("text"), note=one("text", None), raw=one("bytes"), at=one("time", None), ratio=drawn.choice(ENDLESS),
            count=one("int"), done=one("bool"), kind=one("enum"),
            place=drawn.choice([None, Place(city=one("text"), floor=one("int", None))]),
            tags=several("text", 3), scores=several("float", 2), times=several("time", 2), by__who=one("text"),
        )
        for _ in range(count)
    ]  # fmt: skip


def rows() -> st.SearchStrategy[dict[str, Thing]]:
    """Most things are of a list, and one of eight is put together: to draw its parts takes longer than what is tested."""
    texts, times = values("text"), values("time")
    made = st.builds(
        Thing, text=texts, note=values("text", optional=True), raw=values("bytes"), at=values("time", optional=True),
        ratio=st.sampled_from(ENDLESS), count=values("int"), done=st.booleans(), kind=values("enum"),
        place=st.none() | st.builds(Place, city=texts, floor=values("int", optional=True)),
        tags=st.lists(texts, max_size=3).map(tuple), scores=st.lists(values("float"), max_size=2).map(tuple),
        times=st.lists(times, max_size=2).map(tuple), by__who=texts,
    )  # fmt: skip
    known = st.sampled_from(some_things(500))
    keys = st.sampled_from(["", "a", "b", "ab", "é", "\ue000", "\U0010ffff", *(f"k{n}" for n in range(20))])
    return st.dictionaries(keys, st.integers(0, 7).flatmap(lambda n: made if n == 7 else known), max_size=12)


SCALARS: Final = [it for it in FIELDS.values() if it.is_scalar]
ASKED_FOR = st.sampled_from([it for it in FIELDS.values() if operators_of(it)])
SORTED_BY = st.lists(st.sampled_from([it for it in SCALARS if it != KEY]), max_size=3, unique=True)
FACETED = st.lists(st.sampled_from(SCALARS), max_size=2, unique=True)
LIMITS, COUNTS = st.sampled_from([1, 2, 3, 50]), st.sampled_from(["capped", "exact"])


@cache
def operators(field: RowField) -> st.SearchStrategy[str]:
    return st.sampled_from(operators_of(field))


@cache
def choices(kind: str, *, optional: bool) -> st.SearchStrategy[list[Any]]:
    return st.lists(values(kind, optional=optional), min_size=1, max_size=4)


@st.composite
def conditions(draw: st.DrawFn) -> Filter:
    field = draw(ASKED_FOR)
    operator = draw(operators(field))
    kind = field.kind if field.item is None else field.item.kind
    if operator == "isnull":
        return Filter(field, operator, draw(st.booleans()))
    if operator in ("in", "notin"):
        return Filter(field, operator, tuple(draw(choices(kind, optional=field.optional))))
    value = draw(values(kind, optional=field.optional and operator in ("", "ne")))
    if operator in ("startswith", "contains") and draw(st.booleans()):
        value = value[:1]
    return Filter(field, operator, value)


CONDITIONS = st.lists(conditions(), max_size=2, unique_by=lambda it: (it.field.name, it.operator))


@st.composite
def questions(draw: st.DrawFn) -> Query:
    found = draw(CONDITIONS)
    sort = [SortField(field, draw(st.booleans())) for field in draw(SORTED_BY)]
    if draw(st.booleans()):
        sort.append(SortField(KEY, draw(st.booleans())))
    facets, limit, count = draw(FACETED), draw(LIMITS), draw(COUNTS)
    return Query(tuple(found), tuple(sort), limit, None, None, count, tuple(facets))


def texts_of(query: Query) -> dict[str, str]:
    """The question as the parameters of an address."""
    found = {f"{it.field.name}{f'__{it.operator}' if it.operator else ''}": text_of(it) for it in query.filters}
    if query.sort:
        found["_sort"] = ",".join(map(str, query.sort))
    if query.facets:
        found["_facet"] = ",".join(field.name for field in query.facets)
    return {**found, "_limit": str(query.limit), "_count": query.count or "exact"}


def text_of(condition: Filter) -> str:
    field = condition.field if condition.field.item is None else condition.field.item
    if condition.operator == "isnull":
        return str(condition.value).lower()
    if condition.operator in ("in", "notin"):
        return msgspec.json.encode([None if it is None else _text(field, it) for it in condition.value]).decode()
    return _text(field, condition.value)


def _text(field: RowField, value: Any) -> str:
    if value is None:
        return ""
    match field.kind:
        case "bytes":
            return b64encode(value).decode()
        case "time":
            return str(value.isoformat())
        case "bool":
            return str(value).lower()
        case _:
            return str(value)


def stored(there: Mapping[str, Record], row_type: type[Record] = Thing) -> StoreMoment:
    """The rows in a database in memory, as the table `things`."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.execute("create table position(kind, ns, part, seq)")
    db.execute(table_statement("things", row_type))
    writer = RowWriter("things", row_type)
    for key, row in there.items():
        writer.put(key, 0, 1, row, b"")
    writer.write(db)
    return StoreMoment(db)
