"""A replay's result: for a terminal, and as Markdown for a pull request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from streams.cli.output.branch_text import DOES, decision_texts, difference_lines, same_text
from streams.cli.output.screen import EMPTY_KEY, StyledLine, plural
from streams.engine.readable import one_line
from streams.history.difference.accepted_origins import AcceptedOrigin, counted
from streams.history.difference.difference import Difference, Origin

SHOWN = 20
"""Handlers and kinds in a table."""


def replay_lines(found: Difference, base: str, took: float, refused: Sequence[AcceptedOrigin] | None) -> list[StyledLine]:
    """`refused` are origins that are not accepted; None: nobody has accepted any."""
    lines: list[StyledLine] = [[("compared with ", "dim"), (base, "bold")], *difference_lines(found, took)]
    if refused is not None and not refused and counted(found):
        follows = "all that is otherwise follows from origins that are accepted"
        what = follows if found.origins else "the rows that cannot be told, and nothing else is otherwise"
        lines.append([("accepted    ", "dim"), (what, "green")])
    lines += [[("parked      ", "dim"), (text, "yellow")] for text in _parked(found)]
    return lines


def _parked(found: Difference) -> Iterator[str]:
    """What was never handled is decided by neither code."""
    if found.parked:
        are = plural(found.parked, "event is", "events are")
        yield f"{are} parked, and not in this past: `retold parked retry` with --rehearse shows what this code makes of a key"


def replay_markdown(found: Difference, base: str, took: float, refused: Sequence[AcceptedOrigin] | None) -> Iterator[str]:
    rate = f"{plural(found.total, 'event')} against {base}, {took:.1f} s"
    yield f"### retold replay: {rate}"
    before = f" **{plural(found.skipped, 'earlier event')} not decided**: a fault in those is not seen." if found.skipped else ""
    yield from _untold(found)
    if found.shows_nothing:
        text = same_text(found)
        yield f"{text[0].upper()}{text[1:]}.{before}"
        yield from _accepted(found, refused)
        yield from _parked_markdown(found)
        return
    follows = len(found.missing) + len(found.surplus) + len(found.changed) + len(found.open)
    handlers = {it.recorded.event_type for it in found.origins}
    yield (
        f"**{plural(len(found.origins), 'origin')} in {plural(len(handlers), 'handler')}**, {plural(follows, 'event')} otherwise, "
        f"{found.same:,} the same, {plural(len(found.rows), 'row')} and {plural(len(found.calls), 'call')} otherwise.{before}"
    )
    yield ""
    yield "| handler | what | origins | first | then | now |"
    yield "|---|---|---|---|---|---|"
    for number, (first, count) in enumerate(_grouped(found.origins)):
        if number == SHOWN:
            yield "| … | | | | | |"
            break
        yield f"| {' | '.join(map(_cell, _row(first, count)))} |"
    yield from _accepted(found, refused)
    yield from _parked_markdown(found)


def _accepted(found: Difference, refused: Sequence[AcceptedOrigin] | None) -> Iterator[str]:
    if refused is not None and not refused and counted(found):
        yield ""
        yield f"All {'origins' if found.origins else 'of these rows'} are accepted."


def _parked_markdown(found: Difference) -> Iterator[str]:
    for text in _parked(found):
        yield ""
        yield f"{text}."


def _untold(found: Difference) -> Iterator[str]:
    refused = [it for it in found.untold if it.recorded is not None]
    erased = [it for it in found.untold if it.recorded is None]
    for rows, why in ((refused, "by the code before, which refuses what had been accepted"), (erased, "since an event was erased")):
        if rows:
            events = sum(it.events for it in rows)
            yield (
                f"**{plural(len(rows), 'row')} cannot be told** {why}; {plural(events, 'event')} not compared. The first: "
                f"{_cell(rows[0].why)}."
            )
            yield ""


def _grouped(origins: Sequence[Origin]) -> Iterator[tuple[Origin, int]]:
    """The first of each handler and kind, and how many there are; most first."""

    def group(it: Origin) -> tuple[str, str]:
        return it.recorded.event_type, it.kind

    found = [list(each) for _, each in groupby(sorted(origins, key=group), key=group)]
    yield from ((each[0], len(each)) for each in sorted(found, key=len, reverse=True))


def _row(first: Origin, count: int) -> Sequence[str]:
    was = first.recorded
    return (
        was.event_type, DOES[first.kind], f"{count:,}", f"{was.key or EMPTY_KEY} {was.name}",
        *decision_texts(first),
    )  # fmt: skip


def _cell(text: str) -> str:
    return one_line(text).replace("|", "\\|").replace("<", "&lt;")
