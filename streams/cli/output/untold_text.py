"""Rows that cannot be told, beside those that can."""

from __future__ import annotations

from itertools import islice

from streams.cli.output.screen import json_line, plural, talk
from streams.engine.readable import one_line
from streams.history.untold_rows import UntoldRows

SHOWN = 5


def show_untold(untold: UntoldRows | None, *, as_json: bool) -> None:
    """By key, why each cannot be told; for a program one line each, behind the rows."""
    if not untold:
        return
    if as_json:
        for key, why in untold.items():
            json_line({"key": key, "unreadable": why})
    for why in islice(untold.values(), SHOWN):
        talk(f"Left out: {one_line(why)}.")
    more = f", {len(untold) - SHOWN:,} of them not named here (--json has all)" if len(untold) > SHOWN else ""
    way_out = (
        " Where the code is the reason, the version that handled the event tells it: export the past "
        "(`retold history --export FILE`), and ask that file there, with --history FILE."
    )
    talk(f"{plural(len(untold), 'row')} cannot be told{more}.{way_out if untold.by_code else ''}")
