"""`retold shrink`: the fewest published events that bring a row to where a condition holds, as a test."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streams.cli.arguments.conditions import condition_about
from streams.cli.arguments.lookup import namespace_named
from streams.cli.arguments.options import HistoryOption
from streams.cli.arguments.parsers import seconds
from streams.cli.output.progress import bar
from streams.cli.output.screen import plural, say, talk, time_text
from streams.cli.process.exit_codes import NO
from streams.cli.process.named_files import refuse_present, write_named
from streams.cli.process.opened_past import open_past
from streams.config import load
from streams.engine.readable import named, one_line
from streams.history.branch.shrinking import past_to_shrink
from streams.history.branch.smallest import INTERRUPTED, WHOLE
from streams.history.recorded_event import Place
from streams.history.story.named_event import nothing_happened
from streams.testing.incident import Found, search
from streams.testing.scenario_text import Incident, written_test

SECONDS = 60.0


def shrink(
    namespace: Annotated[str, typer.Argument(help="The row's namespace.", metavar="NAMESPACE")],
    key: Annotated[str, typer.Argument(help="The row's key.", metavar="KEY")],
    condition: Annotated[str, typer.Argument(help='Such as "balance < 0", as for `retold when`.', metavar="CONDITION")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the test to a new file; default: stdout.", metavar="FILE")
    ] = None,
    limit: Annotated[
        float, typer.Option("--seconds", parser=seconds, help="Search this long at most.", metavar="SECONDS")
    ] = SECONDS,
    history: HistoryOption = None,
) -> None:
    """Find the fewest published events that bring a row to where a condition holds.

    They are written as a test for pytest, which fails as long as they do: correct the handler, and it passes.

    Events are left out of the recorded past, as by [bold]retold what-if[/], as long as the condition still comes to hold. Then it
    is tried in memory that the test shows it. Nothing real is touched, and gateways answer what they answered. After Ctrl-C or
    SECONDS, the fewest so far are written. If no test shows it, the exit code is 1.

    Example: [bold]retold shrink account a17 "balance < 0" > test_incident.py[/]
    """
    refuse_present(output, "--output")
    with open_past(history, with_unhandled=False) as opened:  # a test is written with the application's own classes
        space = namespace_named(opened.app, namespace)
        predicate = condition_about(space, condition)  # what is none is refused before anything is searched
        place = space.name, key
        if not opened.past.key_events(place):
            raise nothing_happened(opened.past, place)
        past = past_to_shrink(opened.corrected, opened.handlers, place, predicate)
        with bar("shrinking", None, "events left") as left:
            found = search(past, opened.handlers, place, condition, limit, left)
    _tell(found)
    if found.scenario is None:
        raise typer.Exit(NO)
    incident = Incident(load().app or "", *place, condition, _sentences(found, place, condition))
    _write(output, written_test(incident, found.scenario, found.answered))


def _sentences(found: Found, place: Place, condition: str) -> list[str]:
    """The beginning of the test."""
    shown = found.shrunk.shown
    candidates = plural(len(found.shrunk.candidates), "published event")
    enough = plural(len(found.scenario.steps) if found.scenario else 0, "is", "are")
    return [
        f"How {place[0]} {named(place[1])} came to `{named(condition)}`: by {shown.event_type} {shown.name}.",
        f"That was on {time_text(shown.event.time)}. Of {candidates} that may have led to it, {enough} enough.",
        "Written by `retold shrink`. The test fails as long as these events lead to it.",
    ]


def _tell(found: Found) -> None:
    shrunk, scenario = found.shrunk, found.scenario
    by = f"{shrunk.shown.event_type} {shrunk.shown.name}"
    of = plural(len(shrunk.candidates), "published event")
    tries = plural(shrunk.tries, "try", "tries")
    enough = plural(len(shrunk.events), "is", "are")
    talk(f"It came about by {by}. Of {of} that may have led to it, {enough} enough ({tries}).")
    if shrunk.ended != WHOLE:
        why = "You interrupted the search" if shrunk.ended == INTERRUPTED else f"The search is {shrunk.ended}"
        talk(f"{why}: fewer might do; --seconds lets it go on.")
    if scenario is None:
        order = "in memory the events of different keys come in another order than they did, and it does not come to that"
        mended = f"with the code of this folder it does not come to that any more: {one_line(found.untold or '')}"
        talk(f"No test shows it: {order if found.untold is None else mended}. These are the events, for `retold story`:")
        for it in shrunk.events:
            talk(f"  {it.name}  {it.event_type} {named(it.key)}")
    elif len(scenario.steps) != len(shrunk.events):
        talk(f"In memory, where events come in another order, these do not show it: the test has {len(scenario.steps):,} that do.")


def _write(output: Path | None, text: str) -> None:
    if output is None:
        for line in text.splitlines():
            say(line)
        return
    write_named(output, text.encode())
