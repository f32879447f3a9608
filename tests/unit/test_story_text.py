"""A story as a person reads it: a tree that fits the screen, in which nothing drives the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from streams.cli.output.row_text import apart, change_text
from streams.cli.output.screen import StyledLine
from streams.cli.output.story_text import key_story_lines, story_lines
from streams.engine.times import to_micros
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.difference.row_changes import FieldChange
from streams.history.recorded_event import Place, RecordedEvent
from streams.history.story.story import Storyteller
from streams.history.story.waiting import NothingWaits, WaitingEvent
from tests.applications import shop
from tests.applications.shop.events import Line, OrderPlace, StockReceive
from tests.support.partitions import Partitions
from tests.support.pasts import past_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class OneTimer(NothingWaits):
    """Waits for one event."""

    def __init__(self, event_id: str, reference: str) -> None:
        self.reference = reference
        at = to_micros(NOW + timedelta(minutes=15))
        self.waits = [
            WaitingEvent("timer", "order", "o1", "order.expire", event_id, at),
            WaitingEvent("parked", "stock", "x", "stock.reserve", "p", to_micros(NOW), "KeyError: \x1b[2J", "stock-0@7"),
        ]

    def caused_by(self, reference: str) -> list[WaitingEvent]:
        return self.waits if reference == self.reference else []


def told() -> tuple[Storyteller, RecordedEvent, RecordedEvent]:
    """The first and the last event of an order."""
    there = Partitions(shop.app(), 1, now=NOW)
    there.publish(StockReceive(sku="x", quantity=5, price=3), "receive-x", NOW)
    there.publish(
        OrderPlace(order="o1", customer="c\x1b[2J", lines=(Line(sku="x", quantity=2),)), "place-1", NOW - timedelta(hours=1)
    )
    there.settle()
    past = past_of(there)
    first, *_, last = (it for it in past.events() if it.namespace == "order" and it.key == "o1" and it.kind != "timer")
    return Storyteller(past, ApplicationHandlers(there.app, there.codec), OneTimer("e", first.reference)), first, last


def text(lines: list[StyledLine]) -> list[str]:
    return ["".join(part for part, _ in line).rstrip() for line in lines]


def test_a_story_is_a_tree() -> None:
    """Each event with its position, and the time since its cause; below it what it changed, what waits comes last."""
    teller, first, _ = told()
    lines = text(story_lines(teller.of_event(first, 2), NOW, None))
    assert lines[0].split() == ["order.place", "o1", first.name, "2026-01-01", "00:00:00Z"]
    assert lines[1] == "│  published by test, happened 2025-12-31 23:00:00Z"
    assert lines[2].startswith("│  new row: customer c\\x1b[2J · status reserving · ")
    assert lines[3].split()[:4] == ["├─", "stock.reserve", "x", "stock-0:2"]
    assert lines[4] == "│  │  free 5 → 3"
    assert "│     └─ 1 effect left out; --depth shows more" in lines
    assert "├─ order.expire o1 waits: a timer, due 2026-01-01 00:15:00Z, in 15 min" in lines
    assert "└─ stock.reserve x is parked since 2026-01-01 00:00:00Z: KeyError: \\x1b[2J" in lines
    assert lines[-1] == "   see retold parked show stock-0@7"


def test_the_causes_of_an_event_are_above_it() -> None:
    """From the root on, each below its cause, and the event is marked."""
    teller, _, last = told()
    lines = text(story_lines(teller.of_event(last, 0), NOW, None))
    heads = [line for line in lines if ":" in line and "-0:" in line]
    assert [line.strip("│└─ ").partition(" ")[0] for line in heads[:-1]] == [
        "order.place", "stock.reserve", "order.line_reserved", "payment.charge", "payment.charged",
    ]  # fmt: skip
    assert "└─ ▶ order.paid o1" in heads[-1]


@pytest.mark.parametrize("width", [60, 100])
def test_what_is_told_fits_the_screen(width: int) -> None:
    """Long texts are folded between two fields; nothing of them is lost. A head is never folded."""
    teller, first, _ = told()
    story = teller.of_event(first, 10)
    folded = text(story_lines(story, NOW, width))
    assert [line for line in folded if len(line) > width and "-0:" not in line] == []
    assert letters(folded) == letters(text(story_lines(story, NOW, None)))


def letters(lines: list[str]) -> str:
    """All but blanks and what is drawn."""
    return "".join(letter for letter in "".join(lines) if letter not in " │├└─·")


def test_the_story_of_a_row_ends_with_the_row() -> None:
    """Its events come first, and each names what led to it."""
    teller, first, last = told()
    story = teller.of_key(first.place, 1, 20)
    assert story is not None
    lines = text(key_story_lines(story, NOW, None))
    assert f"now, at version {story.version}" in lines
    assert any(line.strip("│ ").startswith("because of payment.charged o1, payment-0:") for line in lines)
    assert not any("\x1b" in line for line in lines)
    assert any(last.name in line for line in lines)
    story = teller.of_key(first.place, 1, 1)
    assert story is not None
    assert text(key_story_lines(story, NOW, None))[0] == f"{story.earlier} earlier events left out; --last shows more"


class AllParked(NothingWaits):
    """A row of which everything is parked."""

    def of_key(self, place: Place, most: int) -> Sequence[WaitingEvent]:
        return [WaitingEvent("parked", *place, "stock.reserve", "p", to_micros(NOW), "KeyError: x", "stock-0@7")]


def test_a_row_that_has_only_parked_events_has_a_story() -> None:
    """They are told, and that there is no row yet. Where nothing waits either, there is no story."""
    there = Partitions(shop.app(), 1, now=NOW)
    past, handlers = past_of(there), ApplicationHandlers(there.app, there.codec)
    found = Storyteller(past, handlers, AllParked()).of_key(("stock", "z"), 1, 10)
    assert found is not None
    lines = text(key_story_lines(found, NOW, None))
    assert lines[0] == "nothing has been handled yet: there is no row"
    assert lines[1] == "   stock.reserve z is parked since 2026-01-01 00:00:00Z: KeyError: x"
    assert Storyteller(past, handlers, NothingWaits()).of_key(("stock", "z"), 1, 10) is None


@pytest.mark.parametrize(
    ("before", "after", "shown"),
    [
        (("T06", "T02"), ("T06", "T02", "T10"), "done + T10"),
        (("a", "b", "b"), ("b", "c"), "done + c, - a, - b"),
        ((1, 2), (2, 1), "done has the same in another order"),
        ((), ("a",), 'done [] → ["a"]'),
        (("a",), None, 'done ["a"] → null'),
        (("x",), tuple("abcdefg"), "done + a, + b, + c, + d, and 3 more, - x"),
        (({"sku": "x", "n": 1},), ({"sku": "x", "n": 2},), 'done + {"sku": "x", "n": 2}, - {"sku": "x", "n": 1}'),
        ("u" * 70 + "1", "u" * 70 + "2", f"done …{'u' * 10}1 → …{'u' * 10}2"),
        ("u" * 70, "u" * 71, f"done …{'u' * 10} → …{'u' * 11}"),
        ("\x1b" * 70 + "1", "\x1b" * 70 + "2", r"done …1b\x1b\x1b1 → …1b\x1b\x1b2"),
        (3, 4, "done 3 → 4"),
    ],
)
def test_what_differs_does_not_look_alike(before: object, after: object, shown: str) -> None:
    """Of lists the elements that came and went are shown, of long texts what is from where they differ."""
    assert change_text(FieldChange("done", before, after)) == shown
    one, other = apart(before, after)
    assert one != other
