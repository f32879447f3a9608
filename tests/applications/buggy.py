"""The demonstration with a bug: signing up raises for fifty of the users in tests/data/signups.tsv.

Fifteen of them stand in the first three hundred lines: few enough to be parked one by one. The others make the
namespace stop.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import processors
from processors.events import UserSignup
from streams import App, Event, Outcome

FILE = Path(__file__).parents[1] / "data" / "signups.tsv"
FIRST = 300


def broken() -> frozenset[str]:
    """The users whose sign-up raises."""
    with FILE.open(encoding="utf-8", newline="") as file:
        users = [row["id"] for row in csv.DictReader(file, delimiter="\t")]
    return frozenset([*users[5:FIRST:20], *users[1_000:8_000:200]])


BROKEN = broken()


def app() -> App:
    demo = processors.app()
    user: Any = demo.namespace("user")
    right = user.handlers[UserSignup]

    def signup(row: Any, event: Event[UserSignup]) -> Outcome[Any]:
        if event.key in BROKEN:
            raise ZeroDivisionError("a bug that somebody deployed")
        made: Outcome[Any] = right(row, event)
        return made

    user.handlers[UserSignup] = signup
    return demo
