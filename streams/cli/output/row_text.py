"""Rows of a table for a person: one as its fields, many as the columns that fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TypeGuard
from unicodedata import normalize

from streams.cli.output.screen import EMPTY_KEY, GAP, cell_text, data_console, json_line, plural, say_lines, table, talk
from streams.data import Record
from streams.engine.readable import are_numbers, one_line, shortened
from streams.history.difference.row_changes import FieldChange, Missing

SHOWN = 50
VALUE, BEFORE = 60, 10
"""Characters of a value that stands among others in a line; and of those that are shown before two begin to differ."""
ELEMENTS = 4
"""Of a list, of those that came or went, which are shown."""

TableRows = Sequence[tuple[str, Record, int]]
"""Key, row, version."""


def natural(key: str) -> tuple[int, int, str]:
    """Numbers in their order, then the rest."""
    return (0, int(key), key) if key.isascii() and key.isdigit() else (1, 0, key)


def told_apart(keys: Sequence[str]) -> list[str]:
    """Keys as they are shown. Some look alike and are not, such as é of one character and of two: these are spelt, too."""
    plain = [key if key.isascii() else normalize("NFC", key) for key in keys]
    alike = Counter(plain)
    return [
        key if alike[same] == 1 else f"{key} ({key.encode('ascii', 'backslashreplace').decode()})"
        for key, same in zip([key or EMPTY_KEY for key in keys], plain, strict=True)
    ]


def show_one(key: str, row: Record, version: int) -> None:
    """Its fields, below key and version."""
    fields = [(name, getattr(row, name)) for name in row.__struct_fields__]
    table((key, f"version {version}"), fields)


def show_many(name: str, rows: TableRows, key_fields: set[str]) -> None:
    """As many columns as fit the screen; the others are named. The key is shown once, where the row repeats it."""
    if not rows:
        return
    fields = rows[0][1].__struct_fields__
    cells = {field: [cell_text(getattr(row, field)) for _, row, _ in rows] for field in fields}
    keys, versions = told_apart([key for key, _, _ in rows]), [str(version) for _, _, version in rows]
    left = data_console().width - _width("key", keys) - _width("version", versions)
    columns = [field for field in fields if field not in key_fields or cells[field] != [key for key, _, _ in rows]]
    chosen: list[str] = []
    for field in columns:
        left -= _width(field, cells[field])
        if left < 0:
            break
        chosen.append(field)
    right = ["version", *_of_numbers([row for _, row, _ in rows], chosen)]
    table(("key", "version", *chosen), zip(keys, versions, *(cells[f] for f in chosen), strict=True), right=right)
    if hidden := columns[len(chosen) :]:
        talk(f"Columns that do not fit: {', '.join(hidden)}. See `retold get {name} KEY`, or use --json.")


def show_projected(rows: Sequence[tuple[str, Record]], *, one: bool) -> None:
    """A projection's rows, which have no version: one as its fields, or several."""
    if not rows:
        return
    fields = rows[0][1].__struct_fields__
    if one:
        [(key, row)] = rows
        table((key, ""), [(field, getattr(row, field)) for field in fields])
        return
    keys = told_apart([key for key, _ in rows])
    cells = [[cell_text(getattr(row, field)) for field in fields] for _, row in rows]
    right = _of_numbers([row for _, row in rows], fields)
    table(("key", *fields), [(key, *its) for key, its in zip(keys, cells, strict=True)], right=right)


def _of_numbers(rows: Sequence[Record], fields: Sequence[str]) -> list[str]:
    """The fields whose values are compared by their digits, which stand below each other."""
    return [field for field in fields if are_numbers([getattr(row, field) for row in rows])]


def _width(head: str, cells: Sequence[str]) -> int:
    return max(len(head), *(len(cell) for cell in cells)) + GAP


def count_of(shown: int, total: int) -> str:
    """How many rows are shown, and of how many."""
    return f"{shown:,} of {total:,} rows; --limit shows more" if shown < total else plural(total, "row")


def show_count(count: int, *, as_json: bool) -> None:
    """How many rows there are: a line for a person, an object for a program."""
    if as_json:
        json_line({"count": count})
    else:
        say_lines(str(count))


def value_text(value: object) -> str:
    """A value of a row among others in a line; MISSING stands for one that is not there."""
    if isinstance(value, Missing):
        return "(none)"
    return shortened(one_line(cell_text(value)), VALUE) or ("''" if value == "" else "null")


def change_text(change: FieldChange) -> str:
    """A field that is otherwise: of two lists what came and what went, of others what they were and are."""
    before, after = change.before, change.after
    if _has_elements(before) and _has_elements(after):
        return f"{change.field} {_elements(before, after)}"
    return f"{change.field} {' → '.join(apart(before, after))}"


def _has_elements(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, tuple | list) and bool(value)


def apart(one: object, other: object) -> tuple[str, str]:
    """Two values that differ, each as it differs from the other: lists by elements, long ones from where they begin to."""
    if _has_elements(one) and _has_elements(other) and (_without(one, other) or _without(other, one)):
        return _elements(other, one), _elements(one, other)
    texts = value_text(one), value_text(other)
    if texts[0] != texts[1]:
        return texts
    whole = one_line(cell_text(one)), one_line(cell_text(other))
    equal = next((at for at, (mine, its) in enumerate(zip(*whole, strict=False)) if mine != its), min(map(len, whole)))
    mine, its = (shortened(f"…{text[equal - BEFORE :]}", VALUE) for text in whole)
    return mine, its


def _elements(before: Sequence[object], after: Sequence[object]) -> str:
    came, went = _listed("+ ", _without(after, before)), _listed("- ", _without(before, after))
    return ", ".join(filter(None, (came, went))) or "has the same in another order"


def _without(some: Sequence[object], others: Sequence[object]) -> list[str]:
    """Elements as texts that the others do not have, or not as often."""
    left, found = Counter(map(cell_text, others)), []
    for element, text in ((it, cell_text(it)) for it in some):
        if left[text]:
            left[text] -= 1
        else:
            found.append(value_text(element))
    return found


def _listed(sign: str, texts: Sequence[str]) -> str:
    more = [f"and {len(texts) - ELEMENTS:,} more"] if len(texts) > ELEMENTS else []
    return ", ".join([*(f"{sign}{text}" for text in texts[:ELEMENTS]), *more])
