"""`retold get`: a row, or the rows of a table, read from Kafka, and up to which log sequence that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Annotated, Any

import typer
from confluent_kafka import murmur2

from streams.cli.arguments.lookup import namespace_named, projection_named
from streams.cli.arguments.options import Json
from streams.cli.arguments.parsers import whole
from streams.cli.output.screen import (
    EMPTY_KEY,
    GAP,
    cell_text,
    data_console,
    json_line,
    log_sequence,
    plural,
    table,
    talk,
)
from streams.cli.process import exit_codes
from streams.cli.process.session import Session, connect
from streams.data import Record
from streams.engine.marker import Marker
from streams.kafka.projected import read_projection
from streams.kafka.tables_and_logs import TableState, read_table
from streams.projection import Projection

SHOWN = 50

TableRows = Sequence[tuple[str, Record, int]]
"""Key, row, version."""


def get(
    name: Annotated[str, typer.Argument(help="Namespace or projection whose table to query.", metavar="NAME")],
    key: Annotated[str | None, typer.Argument(help="Key of one row; default: all rows.", metavar="KEY")] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", parser=whole(1), help=f"Show at most N rows; default: {SHOWN}, with --json all.", metavar="N"
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Query a table: show one row with its version, or all rows.

    Example: [bold]retold get user u1[/]
    """
    session = connect()
    if (projection := projection_named(session.app, name)) is not None:
        _get_projected(session, projection, key, limit, as_json=as_json)
        return
    namespace, space = name, namespace_named(session.app, name, or_projection=True)
    state = read_table(session.clients, session.config.prefix, namespace, session.codec, space.row_type, key)
    as_of = _as_of(namespace, state.positions)
    if key is not None and key not in state.rows:
        talk(
            f"The table {namespace} has no row {key!r}{f' as of {as_of}' if as_of else ': no event has been handled yet'}."
        )
        raise typer.Exit(exit_codes.NO)
    rows: TableRows = [(key, *state.rows[key]) for key in sorted(state.rows, key=_natural)]
    shown = list(islice(rows, limit if as_json else limit or SHOWN))
    if as_json:
        for key, row, version in shown:
            json_line({"key": key, "version": version, "row": row, "position": _position(state, key)})
        return
    if key is not None:
        _show_one(*rows[0])
    else:
        keys = {data.key_field for data in space.handlers}
        _show_many(namespace, shown, keys)
        count = f"{len(shown):,} of {len(rows):,} rows" if len(shown) < len(rows) else plural(len(rows), "row")
        more = "; --limit shows more" if len(shown) < len(rows) else ""
        talk(f"{count}{more}")
    talk(f"As of {as_of}." if as_of else "No event has been handled yet.")


def _get_projected(session: Session, projection: Projection[Any], key: str | None, limit: int | None, *, as_json: bool) -> None:
    """Folds the logs from their beginning: a projection is not kept in Kafka. Its rows have no version."""
    found = read_projection(session.clients, session.config.prefix, projection, session.codec)
    as_of = ", ".join(log_sequence(*at, last) for at, last in sorted(found.positions.items()))
    chosen = sorted(found.rows, key=_natural) if key is None else [key] * (key in found.rows)
    if key is not None and not chosen:
        talk(f"The projection {projection.name} has no row {key!r}{f' as of {as_of}' if as_of else ''}.")
        raise typer.Exit(exit_codes.NO)
    shown = list(islice(chosen, limit if as_json else limit or SHOWN))
    if as_json:
        position = {f"{space}-{number}": last for (space, number), last in sorted(found.positions.items())}
        for each in shown:
            json_line({"key": each, "row": found.rows[each], "position": position})
        return
    if key is not None:
        row = found.rows[key]
        table((key, ""), [(field, getattr(row, field)) for field in row.__struct_fields__])
    elif shown:
        fields = projection.row_type.__struct_fields__
        rows = [(each or EMPTY_KEY, *(cell_text(getattr(found.rows[each], field)) for field in fields)) for each in shown]
        table(("key", *fields), rows)
    if key is None:
        count = f"{len(shown):,} of {len(chosen):,} rows" if len(shown) < len(chosen) else plural(len(chosen), "row")
        talk(f"{count}{'; --limit shows more' if len(shown) < len(chosen) else ''}")
    talk(f"As of {as_of}." if as_of else "No event has been handled yet.")


def _natural(key: str) -> tuple[int, int, str]:
    """Numbers in their order, then the rest."""
    return (0, int(key), key) if key.isascii() and key.isdigit() else (1, 0, key)


def _position(state: TableState[Record], key: str) -> dict[str, int]:
    """The row's partition and the last sequence handled there."""
    count = next(iter(state.positions.values())).partitions
    partition = int(murmur2(key.encode(), count))
    return {"partition": partition, "sequence": state.positions[partition].last}


def _as_of(name: str, positions: Mapping[int, Marker]) -> str:
    """The last log sequence of each partition that the rows include; empty if nothing was handled yet."""
    return ", ".join(log_sequence(name, partition, last.last) for partition, last in sorted(positions.items()))


def _show_one(key: str, row: Record, version: int) -> None:
    fields = [(name, getattr(row, name)) for name in row.__struct_fields__]
    table((key, f"version {version}"), fields)


def _show_many(name: str, rows: TableRows, key_fields: set[str]) -> None:
    """As many columns as fit the screen; the others are named. The key is shown once, where the row repeats it."""
    if not rows:
        return
    fields = rows[0][1].__struct_fields__
    cells = {field: [cell_text(getattr(row, field)) for _, row, _ in rows] for field in fields}
    keys, versions = [key or EMPTY_KEY for key, _, _ in rows], [str(version) for _, _, version in rows]
    left = data_console().width - _width("key", keys) - _width("version", versions)
    columns = [field for field in fields if field not in key_fields or cells[field] != [key for key, _, _ in rows]]
    chosen: list[str] = []
    for field in columns:
        left -= _width(field, cells[field])
        if left < 0:
            break
        chosen.append(field)
    table(("key", "version", *chosen), zip(keys, versions, *(cells[f] for f in chosen), strict=True), right=["version"])
    if hidden := columns[len(chosen) :]:
        talk(f"Columns that do not fit: {', '.join(hidden)}. See `retold get {name} KEY`, or use --json.")


def _width(head: str, cells: Sequence[str]) -> int:
    return max(len(head), *(len(cell) for cell in cells)) + GAP
