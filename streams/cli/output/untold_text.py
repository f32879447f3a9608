"""Rows that cannot be told, beside those that can."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from streams.cli.output.screen import json_line, plural, talk
from streams.engine.readable import one_line
from streams.history.untold_rows import UntoldRows
from streams.history.when.when import Gap

SHOWN = 5


WAY_OUT = (
    " Where the code is the reason, the version that handled the event tells it: export the past (`retold history --export FILE`), "
    "and ask that file there, with --history FILE."
)


def show_untold(untold: UntoldRows | None, *, as_json: bool) -> None:
    """By key, why each cannot be told; for a program one line each, behind the rows."""
    if not untold:
        return
    if as_json:
        _show_lines(untold)
    for why in islice(untold.values(), SHOWN):
        talk(f"Left out: {one_line(why)}.")
    more = f", {len(untold) - SHOWN:,} of them not named here (--json has all)" if len(untold) > SHOWN else ""
    talk(f"{plural(len(untold), 'row')} cannot be told{more}.{WAY_OUT if untold.by_code else ''}")


def show_end(untold: UntoldRows, *, as_json: bool) -> None:
    """Why a row is not told to its end, if it is not."""
    if as_json:
        _show_lines(untold)
    for why in untold.values():
        talk(f"It is told up to there and no further: {one_line(why)}.{WAY_OUT if untold.by_code else ''}")


def show_gaps(gaps: Sequence[Gap], *, as_json: bool) -> None:
    """From where on to where it is not known whether something held of a row, which is told again since."""
    if as_json:
        for it in gaps:
            json_line({"key": it.since.key, "unknown": it.why, "since": it.since.name, "until": it.until.name})
    for it in gaps[:SHOWN]:
        talk(f"From {it.since.name} until {it.until.name}, a correction's step, it is not known: {one_line(it.why)}.")
    if len(gaps) > SHOWN:
        talk(f"So it is {plural(len(gaps) - SHOWN, 'time')} more (--json has all).")


def _show_lines(untold: UntoldRows) -> None:
    for key, why in untold.items():
        json_line({"key": key, "unreadable": why})
