"""Rows that cannot be told, beside those that can."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

from streams.cli.output.screen import json_line, plural, talk
from streams.engine.readable import one_line

SHOWN = 5


def show_untold(untold: Mapping[str, str], *, as_json: bool) -> None:
    """By key, why each cannot be told; for a program one line each, behind the rows."""
    if as_json:
        for key, why in untold.items():
            json_line({"key": key, "unreadable": why})
    if not untold:
        return
    for why in islice(untold.values(), SHOWN):
        talk(f"Left out: {one_line(why)}.")
    more = f", {len(untold) - SHOWN:,} of them not named here (--json has all)" if len(untold) > SHOWN else ""
    talk(
        f"{plural(len(untold), 'row')} cannot be told{more}. Where the code is the reason, the version that handled the event "
        "tells it: export the past (`retold history --export FILE`), and ask that file there, with --history FILE."
    )
