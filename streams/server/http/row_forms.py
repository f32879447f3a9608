"""The forms of a list of rows: a line of JSON for each, or CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from streams.data import Record
from streams.errors import InvalidQuery
from streams.query.row_fields import KEY, RowField, fields_of
from streams.server.http.accept import weights
from streams.server.readmodel.row_json import to_json

FORMS: Final = {"json": "application/json", "ndjson": "application/x-ndjson", "csv": "text/csv; charset=utf-8"}
"""By the name of a form, its media type."""
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""With these a cell begins that a spreadsheet computes: a quotation mark before it makes it a text."""


def form_of(accept: Sequence[str], given: str | None) -> str:
    """The form that `_form` names, or that the client likes best; JSON if it takes all. Raises InvalidQuery."""
    if given is not None:
        if given not in FORMS:
            raise InvalidQuery(f"_form is {given[:80]!r}; one of {', '.join(FORMS)} was expected", "_form")
        return given
    by_type = {media_type.partition(";")[0]: form for form, media_type in FORMS.items()}
    wanted = enumerate(weights(",".join(accept)))
    liked = [(weight, -at, by_type[kind]) for at, (kind, weight) in wanted if kind in by_type and weight > 0]
    return max(liked)[2] if liked else "json"


def shown_row(
    key: str, version: int | None, body: bytes, select: Sequence[RowField] | None, *, versioned: bool
) -> dict[str, Any]:
    """A row as JSON has it, with the chosen fields alone."""
    row = msgspec.Raw(body if select is None else _chosen(body, [field.path for field in select]))
    return {"key": key, "version": version, "row": row} if versioned else {"key": key, "row": row}


def _chosen(body: bytes, paths: Iterable[tuple[str, ...]]) -> bytes:
    """Of an object, the members that the paths lead to; what is nothing on the way to them stays so."""
    inner: dict[str, list[tuple[str, ...]]] = {}
    for first, *rest in paths:
        inner.setdefault(first, []).append(tuple(rest))
    there = msgspec.json.decode(body, type=dict[str, msgspec.Raw] | None)
    if there is None:
        return b"null"
    found = {
        name: there[name] if () in below else msgspec.Raw(_chosen(bytes(there[name]), below))
        for name, below in inner.items()
        if name in there
    }
    return msgspec.json.encode(found)


class RowForm(Protocol):
    """Writes rows one after the other."""

    def head(self) -> bytes: ...

    def line(self, key: str, version: int | None, body: bytes) -> bytes: ...


class NdjsonForm:
    """A row a line, as JSON has them in its list."""

    def __init__(self, _: type[Record], select: Sequence[RowField] | None, *, versioned: bool) -> None:
        self._select, self._versioned = select, versioned

    def head(self) -> bytes:
        return b""

    def line(self, key: str, version: int | None, body: bytes) -> bytes:
        return to_json(shown_row(key, version, body, self._select, versioned=self._versioned)) + b"\n"


class CsvForm:
    """A row a line below the names of fields; `_key` and `_version` are the first. What holds more is JSON in its cell."""

    def __init__(self, row_type: type[Record], select: Sequence[RowField] | None, *, versioned: bool) -> None:
        leaves = [it for it in fields_of(row_type).values() if it.path and not _is_part(it, row_type)]
        self._fields, self._versioned = leaves if select is None else select, versioned

    def head(self) -> bytes:
        names = [KEY.name, *(["_version"] if self._versioned else []), *(field.name for field in self._fields)]
        return _csv_line(names)

    def line(self, key: str, version: int | None, body: bytes) -> bytes:
        row = msgspec.json.decode(body)
        numbers = [str(version)] if self._versioned else []
        return _csv_line([_harmless(key), *numbers, *(_cell(_member(row, field.path)) for field in self._fields)])


def _is_part(field: RowField, row_type: type[Record]) -> bool:
    """Whether its own fields have columns."""
    return any(each.startswith(f"{field.name}.") for each in fields_of(row_type))


def _member(row: Any, path: Iterable[str]) -> Any:
    for name in path:
        if not isinstance(row, Mapping):
            return None
        row = row.get(name)
    return row


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return _harmless(value)
    if value is None:
        return ""
    return msgspec.json.encode(value).decode()


def _harmless(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA) else text


def _csv_line(cells: Iterable[str]) -> bytes:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue().encode()


LISTS: Final[Mapping[str, type[NdjsonForm] | type[CsvForm]]] = {"ndjson": NdjsonForm, "csv": CsvForm}
