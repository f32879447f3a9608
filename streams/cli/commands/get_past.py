"""`retold get --as-of` and `--known`: rows as they were."""

from __future__ import annotations

from datetime import datetime
from itertools import islice

import typer

from streams.cli.arguments.lookup import namespace_named, projection_named
from streams.cli.output.row_text import SHOWN, TableRows, count_of, natural, show_many, show_one
from streams.cli.output.screen import json_line, talk, time_text
from streams.cli.process import exit_codes
from streams.cli.process.opened_past import OpenedPast, open_past
from streams.engine.envelope import from_micros, to_micros
from streams.errors import HistoryError
from streams.history.cut_past import Cut, CutPast
from streams.history.past_tables import PastTables


def get_past(
    name: str, key: str | None, limit: int | None, as_of: datetime | None, known: datetime | None, *, as_json: bool
) -> None:
    """Raises HistoryError where this code cannot tell them, or what is asked for may still change."""
    with open_past(with_times=True) as opened:
        projected = projection_named(opened.app, name) is not None
        if not projected:
            namespace_named(opened.app, name, or_projection=True)
        cut = cut_of(opened, as_of, known)
        tables = PastTables(CutPast(opened.past, cut), opened.handlers)
        _show(tables, name, key, limit, cut, projected=projected, as_json=as_json)


def cut_of(opened: OpenedPast, as_of: datetime | None, known: datetime | None) -> Cut:
    """What was recorded until the frontier can change no more: nothing later is told."""
    frontier = opened.source.frontier
    until = frontier if known is None else to_micros(known)
    if until > frontier:
        raise HistoryError(
            f"what was known at {time_text(from_micros(until))} is not known yet: until {time_text(from_micros(frontier))} all is "
            "read, and nothing can change any more. Ask again a little later"
        )
    return Cut(None if as_of is None else to_micros(as_of), until)


def _told(cut: Cut) -> str:
    known = f"as known at {time_text(from_micros(cut.known or 0))}"
    return known if cut.as_of is None else f"as of {time_text(from_micros(cut.as_of))}, {known}"


def _times(cut: Cut) -> dict[str, str | None]:
    """For a program: with both of them, the answer stays the same for ever."""
    texts = [None if at is None else time_text(from_micros(at)) for at in (cut.as_of, cut.known)]
    return dict(zip(("as_of", "known"), texts, strict=True))


def _show(
    tables: PastTables, name: str, key: str | None, limit: int | None, cut: Cut, *, projected: bool, as_json: bool
) -> None:
    told = _told(cut)
    rows: TableRows
    if key is not None:
        row, version = (tables.of(name).get(key), 0) if projected else tables.table(name).entry(key)
        if row is None:
            talk(f"The table {name} had no row {key!r}, {told}.")
            raise typer.Exit(exit_codes.NO)
        rows = [(key, row, version)]
    elif projected:
        folded = tables.of(name)
        rows = [(each, folded[each], 0) for each in sorted(folded, key=natural)]
    else:
        entries = tables.table(name).entries
        found = {each: (row, version) for each, (row, version) in entries.items() if row is not None}
        rows = [(each, *found[each]) for each in sorted(found, key=natural)]
    shown = list(islice(rows, limit if as_json else limit or SHOWN))
    if as_json:
        for each, row, version in shown:
            json_line({"key": each, **({} if projected else {"version": version}), "row": row, **_times(cut)})
        return
    if key is not None:
        show_one(*rows[0])
    else:
        show_many(name, shown, set())
        talk(count_of(len(shown), len(rows)))
    talk(f"{told[0].upper()}{told[1:]}.")
