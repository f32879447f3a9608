"""`retold get`: a row, or the rows of a table, straight from Kafka, and up to where in the log they are true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

from confluent_kafka import murmur2

from streams.cli import exits
from streams.cli.connect import connect
from streams.cli.names import namespace_named
from streams.cli.screen import GAP, cell_text, console, json_line, plural, table, talk
from streams.data import Record
from streams.engine.marker import Marker
from streams.kafka.follow import TableState, read_table

SHOWN = 50

Rows = Sequence[tuple[str, Record, int]]
"""Key, row, version."""


def get(name: str, key: str | None, limit: int | None, as_json: bool) -> int:
    """Gives the exit code: 1 if there is no such row."""
    session = connect()
    space = namespace_named(session.app, name)
    state = read_table(session.clients, session.config.prefix, name, session.codec, space.row_type, key)
    if key is not None and key not in state.rows:
        talk(f"The table {name} has no row {key!r}{_up_to(name, state.positions)}.")
        return exits.NO
    rows: Rows = [(key, *state.rows[key]) for key in sorted(state.rows, key=_natural)]
    shown = list(islice(rows, limit if as_json else limit or SHOWN))
    if as_json:
        for key, row, version in shown:
            json_line({"key": key, "version": version, "row": row, "position": _position(state, key)})
    elif key is not None:
        _show_one(*rows[0])
    else:
        keys = {data.key_field for data in space.handlers}
        _show_many(name, shown, keys)
        count = f"{len(shown):,} of {len(rows):,} rows" if len(shown) < len(rows) else plural(len(rows), "row")
        more = "; --limit shows more" if len(shown) < len(rows) else ""
        talk(f"{count}{more}")
    if not as_json:
        talk(f"This is true{_up_to(name, state.positions)}.")
    return exits.OK


def _natural(key: str) -> tuple[int, int, str]:
    """Numbers in their order, then the rest."""
    return (0, int(key), key) if key.isascii() and key.isdigit() else (1, 0, key)


def _position(state: TableState[Record], key: str) -> dict[str, int]:
    """The row's partition and the last sequence handled there."""
    count = next(iter(state.positions.values())).partitions
    partition = int(murmur2(key.encode(), count))
    return {"partition": partition, "sequence": state.positions[partition].last}


def _up_to(name: str, positions: Mapping[int, Marker]) -> str:
    places = ", ".join(f"{name}-{partition}@{last.last}" for partition, last in sorted(positions.items()))
    return f" up to {places}" if places else ": nothing was handled yet"


def _show_one(key: str, row: Record, version: int) -> None:
    fields = [(name, getattr(row, name)) for name in row.__struct_fields__]
    table((key, f"version {version}"), fields)


def _show_many(name: str, rows: Rows, key_fields: set[str]) -> None:
    """As many columns as fit the screen; the others are named. The key is shown once, where the row repeats it."""
    if not rows:
        return
    fields = rows[0][1].__struct_fields__
    cells = {field: [cell_text(getattr(row, field)) for _, row, _ in rows] for field in fields}
    keys, versions = [key for key, _, _ in rows], [str(version) for _, _, version in rows]
    left = console().width - _width("key", keys) - _width("version", versions)
    columns = [field for field in fields if field not in key_fields or cells[field] != keys]
    chosen: list[str] = []
    for field in columns:
        left -= _width(field, cells[field])
        if left < 0:
            break
        chosen.append(field)
    table(("key", "version", *chosen), zip(keys, versions, *(cells[f] for f in chosen), strict=True), right=["version"])
    if hidden := columns[len(chosen) :]:
        talk(f"Not shown for want of room: {', '.join(hidden)}. See `retold get {name} KEY`, or --json.")


def _width(head: str, cells: Sequence[str]) -> int:
    return max(len(head), *(len(cell) for cell in cells)) + GAP
