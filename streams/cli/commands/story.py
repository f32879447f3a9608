"""`retold story`: what led to an event or a row, and what followed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import typer

from streams.cli.arguments.options import HistoryOption, Json
from streams.cli.arguments.parsers import whole
from streams.cli.output.screen import json_line, plural, say_styled, screen_width, talk
from streams.cli.output.story_text import key_story_lines, story_lines
from streams.cli.process.opened_past import OpenedPast, open_past
from streams.errors import NoSuchEvent
from streams.history.correction.put_in_event import put_in_event
from streams.history.past import Past
from streams.history.recorded_event import Place, RecordedEvent
from streams.history.story.event_corrections import EventCorrections
from streams.history.story.named_event import event_named, nothing_happened, place_named
from streams.history.story.story import DEEPEST, DEPTH, DEPTH_OF_ROW, LAST, MOST_LAST, StoryStep, Storyteller
from streams.history.story.story_members import key_story_members, story_members


def story(
    what: Annotated[
        str,
        typer.Argument(
            help="An event by its id or position (user-3:7, or user-3@1042 in the inbox), or a row (user/u1).",
            metavar="EVENT|KEY",
        ),
    ],
    depth: Annotated[
        int | None,
        typer.Option(
            "--depth",
            parser=whole(0, DEEPEST),
            help=f"Follow consequences N levels down; default: {DEPTH}, of a row {DEPTH_OF_ROW}.",
            metavar="N",
        ),
    ] = None,
    last: Annotated[
        int, typer.Option("--last", parser=whole(1, MOST_LAST), help="Of a row, tell the last N events.", metavar="N")
    ] = LAST,
    history: HistoryOption = None,
    as_json: Json = False,
) -> None:
    """Tell what led to an event or a row, and what followed.

    Causes are followed up to the event that somebody published, consequences down, through all namespaces. Each step shows
    what it made of its row, and what still waits: timers, calls, parked events.

    Example: [bold]retold story user/u1[/]
    """
    with open_past(history) as opened:
        place = place_named(opened.app, what)
        if place is not None:
            _of_row(opened, place, DEPTH_OF_ROW if depth is None else depth, last, as_json=as_json)
        else:
            _of_event(opened, what, DEPTH if depth is None else depth, as_json=as_json)


def _of_event(opened: OpenedPast, what: str, depth: int, *, as_json: bool) -> None:
    past, it = _named(opened, what)
    found = _storyteller(opened, past).of_event(it, depth)
    if as_json:
        json_line(story_members(found))
        return
    say_styled(story_lines(found, datetime.now(UTC), screen_width()))
    events = [step.event for step in [*found.causes, *_all(found.step)]]
    spaces = {each.namespace for each in events}
    talk(f"{plural(len(events), 'event')} in {plural(len(spaces), 'namespace')}.")


def _named(opened: OpenedPast, what: str) -> tuple[Past, RecordedEvent]:
    """The event, and the past that has it: one that a correction has put in is not in the log."""
    try:
        return opened.past, event_named(opened.past, opened.waiting, opened.app, what, or_row=True)
    except NoSuchEvent:
        found = put_in_event(opened.corrected, opened.counted, opened.handlers, what) if opened.corrections else None
        if found is None:
            raise
        return found


def _storyteller(opened: OpenedPast, past: Past) -> Storyteller:
    return Storyteller(past, opened.telling, opened.waiting, EventCorrections(opened.corrections, opened.codec))


def _of_row(opened: OpenedPast, place: Place, depth: int, last: int, *, as_json: bool) -> None:
    found = _storyteller(opened, opened.past).of_key(place, depth, last)
    if found is None:
        raise nothing_happened(opened.past, place)
    if as_json:
        json_line(key_story_members(found))
    else:
        say_styled(key_story_lines(found, datetime.now(UTC), screen_width()))


def _all(step: StoryStep) -> Iterator[StoryStep]:
    yield step
    for effect in step.effects:
        yield from _all(effect)
