"""`retold history`: the recorded past in a file of this machine, for stories and other questions."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from streams.cli.arguments.options import Json
from streams.cli.output.screen import displayed, json_line, plural, table, talk, time_text
from streams.cli.process.named_files import refuse_present
from streams.cli.process.opened_past import OpenedPast, open_past
from streams.engine.times import from_micros
from streams.history.correction.correction_plan import schema_ids_of
from streams.server.readmodel.history_export import export


def history(
    to: Annotated[
        Path | None, typer.Option("--export", help="Write the past to a new file, for --history elsewhere.", metavar="FILE")
    ] = None,
    as_json: Json = False,
) -> None:
    """Read the recorded past into a file of this machine, and say how far it goes.

    The other commands about the past do this themselves: what was read is kept, and only what is new is read the next time.
    With a [bold]retold server[/] on this machine, its file is used.

    Example: [bold]retold history[/]
    """
    refuse_present(to, "--export")
    began = time.monotonic()
    with open_past(with_times=to is not None) as opened:
        took = time.monotonic() - began
        spaces = [_of_namespace(opened, space.name) for space in opened.app.namespaces]
        source = opened.source
        frontier = time_text(from_micros(source.frontier))
        until = opened.past.left_out_until()
        left_out = None if until is None else time_text(from_micros(until))
        size = sum(file.stat().st_size for file in (source.file, Path(f"{source.file}-wal")) if file.exists())
        if to is not None:
            put_in = schema_ids_of(it.change for it in opened.corrections)
            schemas = {it: opened.codec.schema_text(it) for it in put_in & opened.codec.schema_ids().keys()}
            written = export(source, to, opened.corrections, schemas)
            talk(f"{displayed(to)} has the past until {frontier}, with all its data ({written / 1e6:,.1f} MB).")
            return
        if as_json:
            json_line({
                "application": opened.app.name, "file": str(source.file), "bytes": size, "of_server": source.of_server,
                "frontier": frontier, "left_out_until": left_out, "stuck": list(source.stuck), "namespaces": spaces,
            })  # fmt: skip
            return
        rows = [[it["namespace"], f"{it['events']:,}", it["first"] or "", it["last"] or ""] for it in spaces]
        table(("namespace", "events", "first recorded", "last recorded"), rows, right=["events"])
        events = plural(sum(it["events"] for it in spaces), "event")
        whose = "in the file of the server that runs here" if source.of_server else f"in {displayed(source.file)}"
        talk(f"{events} {whose} ({size / 1e6:,.1f} MB), up to date after {took:.1f} s.")
        talk(f"Nothing recorded until {frontier} can change any more.")


def _of_namespace(opened: OpenedPast, name: str) -> dict[str, Any]:
    count, first, last = opened.past.extent(name)
    shown = [None if at is None else time_text(from_micros(at)) for at in (first, last)]
    return {"namespace": name, "events": count, "first": shown[0], "last": shown[1]}
