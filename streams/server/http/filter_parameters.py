"""The parameters of a list of rows in the OpenAPI: those of its fields, each with its operators, and those of every list."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from streams.data import Record
from streams.query.filters import WHOLE_NUMBERS, operators_of
from streams.query.query import CAP, FACET_VALUES, LIMIT, MOST, MOST_FACETS, MOST_SORTED
from streams.query.row_fields import EQUAL, KEY, RowField, fields_of
from streams.server.http import shapes
from streams.server.http.json_schema import Spec
from streams.server.http.row_forms import FORMS

EITHER: Final = shapes.one_of("true", "false")
NOTHING: Final[Spec] = {"type": "string", "maxLength": 0}
SCHEMAS: Final[dict[str, Spec]] = {
    "text": shapes.TEXT,
    "int": shapes.whole(WHOLE_NUMBERS.start, WHOLE_NUMBERS.stop - 1),
    "float": {"type": "number"},
    "bool": EITHER,
    "bytes": {"type": "string", "contentEncoding": "base64"},
    "time": shapes.TIME,
}
"""By what a field holds."""
WORDS: Final = {
    EQUAL: "is this", "ne": "is something else, or nothing", "in": "is one of these, with commas between them",
    "notin": "is none of these, with commas between them", "isnull": "is nothing", "lt": "is less", "lte": "is less, or this",
    "gt": "is more", "gte": "is more, or this", "startswith": "begins so", "contains": "contains this", "has": "has this in it",
}  # fmt: skip
"""What each operator finds."""


def row_parameters(row_type: type[Record]) -> list[Spec]:
    """All that a list of such rows takes, but for its position and its times."""
    return [*_filters(row_type), *_of_lists(row_type)]


def _filters(row_type: type[Record]) -> Iterator[Spec]:
    for name, field in fields_of(row_type).items():
        for operator in operators_of(field):
            asked = name if operator == EQUAL else f"{name}__{operator}"
            what = "the key" if field is KEY else name
            yield shapes.query(asked, f"Rows of which {what} {WORDS[operator]}.", _schema(field, operator))


def _schema(field: RowField, operator: str) -> Spec:
    if operator == "isnull":
        return EITHER
    if operator in ("in", "notin"):
        return shapes.SOME_TEXT
    one = field.item or field
    value = shapes.one_of(*one.symbols) if one.kind == "enum" else SCHEMAS[one.kind]
    return {"anyOf": [value, NOTHING]} if field.optional and operator in (EQUAL, "ne") else value


def _of_lists(row_type: type[Record]) -> list[Spec]:
    fields = fields_of(row_type)
    scalars = [name for name, field in fields.items() if field.is_scalar]
    return [
        shapes.query(
            "_sort", f"At most {MOST_SORTED} fields with commas between them, and _key; with - before one, the largest come first.",
            _listed(scalars, MOST_SORTED + 1, "-?"),
        ),
        shapes.query("_limit", f"Rows a page: {LIMIT} if nothing is said, {MOST} at most.", shapes.whole(0, MOST)),
        shapes.query("_next", "The `next` of the page before.", shapes.SOME_TEXT),
        shapes.query(
            "_select", "The fields of rows that are wanted, with commas between them; all if nothing is said.",
            _listed([name for name, field in fields.items() if field.path]),
        ),
        shapes.query(
            "_count", f"exact, or capped, which ends at {CAP}: how many rows there are on all pages (`count`, `more`).",
            shapes.one_of("exact", "capped"),
        ),
        shapes.query(
            "_facet", f"At most {MOST_FACETS} fields: how often their {FACET_VALUES} commonest values are there (`facets`).",
            _listed(scalars, MOST_FACETS),
        ),
        shapes.query("_form", "Whatever is accepted. ndjson and csv without _limit give all rows.", shapes.one_of(*FORMS)),
    ]  # fmt: skip


def _listed(names: Iterable[str], most: int | None = None, before: str = "") -> Spec:
    """Some of these names with commas between them."""
    one = f"{before}({'|'.join(map(re.escape, names))})"
    more = "*" if most is None else f"{{0,{most - 1}}}"
    return {"type": "string", "pattern": f"^{one}(,{one}){more}$"}
