"""Pages of tables and projections: the lists of them, their rows, and one row."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlencode

from streams.engine.readable import are_numbers
from streams.server.access.principal import READ_ALL
from streams.server.http.overview import table_fields
from streams.server.http.pools import in_thread
from streams.server.pages.filter_form import address
from streams.server.pages.page_request import Elsewhere, Page, PageRefused, PageRequest

FILTER = ("_field", "_op", "_value")
"""What the form above a list sends; it becomes a filter of the API's."""
WORDS = {
    "": "is", "ne": "is not", "lt": "below", "lte": "at most", "gt": "above", "gte": "at least", "startswith": "begins with",
    "contains": "contains", "has": "has", "in": "is one of", "notin": "is none of", "isnull": "is nothing (true or false)",
}  # fmt: skip
"""Operators as a person reads them, in the order of the form."""
COUNTED = ("_count", "capped")
STORY = "_last=20"
NAMED = re.compile(r"{(\w+)}")
"""A parameter in the path of a view."""
OF_A_ROW = ("_as_of", "_known", "_min_position")


class ListPlace(NamedTuple):
    """Which kind of table is listed: the path before its name, and what its entry in the navigation is called."""

    path: str
    noun: str


ROWS, PROJECTIONS = ListPlace("/rows", "Rows"), ListPlace("/projections", "Projections")


class ShownFilter(NamedTuple):
    """A filter, and the address of the list without it."""

    words: str
    without: str


class SortLink(NamedTuple):
    """A column: `url` sorts by it, None where nothing can; `order` is `ascending` or `descending` if the list is sorted by it."""

    name: str
    url: str | None
    order: str | None


async def tables(asked: PageRequest) -> Page:
    answer = await asked.answer()
    return Page("tables.html", "Rows", "/rows", answer.value, answer)


async def projections(asked: PageRequest) -> Page:
    answer = await asked.answer()
    return Page("projections.html", "Projections", "/projections", answer.value, answer)


async def rows(asked: PageRequest) -> Page | Elsewhere:
    return await _rows(asked, ROWS)


async def projected_rows(asked: PageRequest) -> Page | Elsewhere:
    return await _rows(asked, PROJECTIONS)


async def _rows(asked: PageRequest, place: ListPlace) -> Page | Elsewhere:
    pairs = asked.pairs
    if any(name in FILTER for name, _ in pairs):
        return Elsewhere(address(asked.path, _with_filter(pairs)))
    is_now = not {name for name, _ in pairs} & {"_as_of", "_known", "_count"}
    answer = await asked.answer(asked.path, urlencode([*pairs, COUNTED] if is_now and _filters(asked.path, pairs) else pairs))
    name = unquote(asked.names["name"])
    sizes = {} if name in asked.principal.only else await in_thread(asked.parts.pools.memory, asked.parts.model.sizes, name)
    table = {"rows": sizes.get(name), **table_fields(asked.parts.model.row_types[name])}
    found = answer.value
    following = address(asked.path, [*_but(pairs, "_next"), ("_next", found["next"])]) if found["next"] else None
    values = {
        **found, "name": name, "place": place, "table": table, "columns": _columns(asked.path, pairs, table),
        "filters": _filters(asked.path, pairs), "kept": [it for it in pairs if it[0] != "_next"], "following": following,
        "is_first": not any(it == "_next" for it, _ in pairs), "versions": place is ROWS,
        "numbers": [it for it in table["fields"] if are_numbers(row["row"].get(it) for row in found["rows"])],
        "operators": [it for it in WORDS if any(it in there for there in table["operators"].values())], "words": WORDS,
        "export": address(asked.path, [*_but(pairs, "_next"), ("_form", "csv")]),
    }  # fmt: skip
    return Page("rows.html", name, place.path, values, answer)


def _with_filter(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    given = dict(pairs)
    field, operator = given.get("_field", ""), given.get("_op", "")
    name = f"{field}__{operator}" if operator else field
    kept = [pair for pair in _but(pairs, "_next") if pair[0] not in FILTER and pair[0] != name]
    return [*kept, (name, given.get("_value", ""))] if field else kept


def _but(pairs: Sequence[tuple[str, str]], name: str) -> list[tuple[str, str]]:
    return [pair for pair in pairs if pair[0] != name]


def _filters(path: str, pairs: Sequence[tuple[str, str]]) -> list[ShownFilter]:
    found = [pair for pair in pairs if not pair[0].startswith("_") or pair[0].partition("__")[0] == "_key"]
    rest = _but(pairs, "_next")
    return [
        ShownFilter(f"{_in_words(name)} {value or 'nothing'}", address(path, [it for it in rest if it != (name, value)]))
        for name, value in found
    ]


def _in_words(name: str) -> str:
    field, _, operator = name.rpartition("__")
    known = operator in WORDS and field
    return f"{field.removeprefix('_')} {WORDS[operator].partition(' (')[0]}" if known else f"{name.removeprefix('_')} is"


def _columns(path: str, pairs: Sequence[tuple[str, str]], table: Mapping[str, Any]) -> list[SortLink]:
    """The key, and then the fields."""
    sorted_by = dict(pairs).get("_sort", "_key")
    kept = [pair for pair in pairs if pair[0] not in ("_sort", "_next")]

    def link(name: str) -> SortLink:
        if name not in ("_key", *table["scalar"]):
            return SortLink(name, None, None)
        order = {name: "ascending", f"-{name}": "descending"}.get(sorted_by)
        towards = f"-{name}" if order == "ascending" else name
        return SortLink("key" if name == "_key" else name, address(path, [*kept, ("_sort", towards)]), order)

    return [link(name) for name in ("_key", *table["fields"])]


async def row(asked: PageRequest) -> Page:
    """The row, if there is one, and its story: of a key that has none now, there may be one all the same."""
    namespace, key = asked.names["namespace"], asked.names["key"]
    path = f"/rows/{namespace}/{key}"
    given = {name: text for name, text in asked.pairs if name in OF_A_ROW and text}
    answer = await asked.api.get(path, urlencode(given))
    story = None
    if not given.keys() & {"_as_of", "_known"}:
        told = await asked.api.get(f"{path}/story", STORY)
        story = told.value if told.is_good else None
    aside = await asked.api.get("/parked", urlencode({"namespace": unquote(namespace), "key": unquote(key), "_limit": 3}))
    found_aside = aside.value["events"] if aside.is_good else []
    if not answer.is_good and (answer.status != 404 or not (story or found_aside)):
        raise PageRefused(answer)
    none = {"key": unquote(key), "version": None, "row": None}
    times = {name: answer.value[name] for name in ("as_of", "known") if name in answer.value}
    found = answer.value if answer.is_good else none | times
    values = {
        **found, "namespace": unquote(namespace), "story": story, "aside": found_aside, "path": path,
        "asked_as_of": given.get("_as_of", ""), "missing": None if answer.is_good else answer.value["detail"],
        "restricted": unquote(namespace) in asked.principal.only, "may_tell": asked.principal.may(READ_ALL),
    }  # fmt: skip
    return Page("row.html", f"{found['key']} · {unquote(namespace)}", "/rows", values, answer)


async def projected_row(asked: PageRequest) -> Page:
    answer = await asked.answer()
    name = unquote(asked.names["name"])
    values = {**answer.value, "name": name, "path": asked.path}
    return Page("projected.html", f"{answer.value['key']} · {name}", "/projections", values, answer)


async def view(asked: PageRequest) -> Page | Elsewhere:
    """An answer; or where it is, for the form of the first page, which sends a view's path as it is declared and its parameters."""
    path = unquote(asked.path.removeprefix("/views/"))
    given = dict(asked.pairs)
    if given and path in {it.path.strip("/") for it in asked.parts.app.views}:
        return Elsewhere(f"/views/{NAMED.sub(lambda it: quote(given.get(it[1], ''), safe=''), path)}")
    answer = await asked.answer()
    return Page("view.html", path, "", {"path": path, **answer.value}, answer)
