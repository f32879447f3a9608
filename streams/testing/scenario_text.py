"""A scenario as a test for pytest, which fails as long as the events lead to something."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from streams.data import EventData
from streams.engine.readable import one_line
from streams.testing.python_text import PythonText, quoted
from streams.testing.scenario import Scenario

WIDTH = 100
"""Characters of a line that holds a pair; a longer one is two lines."""
OWN_NAMES = frozenset(
    {"world", "found", "turn", "answered", "request", "EVENTS", "ANSWERED", "World", "Event", "EventData", "Any", "datetime"}
)
"""What a test calls something itself, or imports."""
Answered = Sequence[tuple[EventData, EventData]]
"""Requests with their answers."""


class Incident(NamedTuple):
    """What a test is about: `app` is `module:function`, `why` are sentences for its beginning."""

    app: str
    namespace: str
    key: str
    condition: str
    why: Sequence[str]


def written_test(incident: Incident, scenario: Scenario, answered: Answered) -> str:
    """The whole file."""
    text = PythonText()
    module, _, factory = incident.app.partition(":")
    made_by = "application" if factory in OWN_NAMES or factory.startswith("test") else factory  # pytest would run it as a test
    test = _test(text, incident, scenario, made_by, with_answers=bool(answered))
    body = [*_events(text, scenario), *_answers(text, answered), *test]
    text.use("streams.testing", "World")
    text.use(module, factory if made_by == factory else f"{factory} as {made_by}")
    why = [_quoted(line) for line in incident.why]
    head = [f'"""{why[0]}', "", *why[1:], '"""', "", *text.imports()]
    return "\n".join([*head, *body, ""])


def _events(text: PythonText, scenario: Scenario) -> Iterator[str]:
    if scenario.plays:
        yield "EVENTS = ["
        for it in scenario.steps:
            yield from _pair(text.of(it.data), text.of(it.time))
        yield from ("]", "")


def _answers(text: PythonText, answered: Answered) -> Iterator[str]:
    if answered:
        yield "ANSWERED = ["
        for request, answer in answered:
            yield from _pair(text.of(request), text.of(answer))
        event, data, anything = text.use("streams", "Event"), text.use("streams.data", "EventData"), text.use("typing", "Any")
        yield from (
            "]", '"""Requests to gateways, with what these answered."""', "", "",
            f"def answered(request: {event}[{anything}]) -> {data} | None:",
            '    """Nobody is called."""',
            "    return next((answer for asked, answer in ANSWERED if asked == request.data), None)", "",
        )  # fmt: skip


def _pair(one: str, other: str) -> Iterator[str]:
    if len(line := f"    ({one}, {other}),") <= WIDTH:
        yield line
    else:
        yield from ("    (", f"        {one},", f"        {other},", "    ),")


def _test(text: PythonText, incident: Incident, scenario: Scenario, made_by: str, *, with_answers: bool) -> Iterator[str]:
    name = re.sub(r"[^a-z0-9]+", "_", f"{incident.namespace}_{incident.key}".lower()).strip("_")[:60]
    docstring = f'"""It should never come to `{_quoted(incident.condition)}`."""'
    yield from ("", f"def test_{name}() -> None:", f"    {docstring}")
    yield f"    world = World({made_by}(){', answers=answered' if with_answers else ''})"
    if scenario.plays:
        yield '    world.play(EVENTS, parked="allow")'
    else:
        for it in scenario.steps:
            yield f"    world.when({text.of(it.data)}, time={text.of(it.time)})"
            if it.settles:
                yield '    world.settle(parked="allow")'
    if scenario.later is not None:
        yield f'    world.advance({text.of(scenario.later)}, parked="allow")'
    asked = ", ".join(map(quoted, (incident.namespace, incident.key, incident.condition)))
    yield f"    found = world.history().when({asked})"
    yield "    assert [turn.event.name for turn in found if turn.holds] == []"


def _quoted(text: str) -> str:
    """Within a docstring."""
    return one_line(text).replace("\\", "\\\\").replace('"""', "'''")
