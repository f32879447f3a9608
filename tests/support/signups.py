"""The first real sign-ups, and that each user who was seen later was heard of when they were last seen."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path

from processors.email import email
from processors.events import EmailSend, EmailSent, UserRename
from processors.folder import folder
from processors.publish import from_row
from processors.user import user
from streams import App, Event, Gateway
from streams.data import EventData

FILE = Path(__file__).parents[1] / "data" / "signups.tsv"
FIRST, REMINDERS = 1_000, 932
"""So many users, and so many of them were not heard of for thirty days."""


async def send(event: Event[EmailSend]) -> EmailSent:
    return EmailSent(email=event.key, to=event.data.to, receipt="r")


def app() -> App:
    return App(
        name="retold-demo", namespaces=[user, folder, email], gateways=[Gateway(EmailSend, send, answers=[EmailSent])]
    )


def history(count: int = FIRST) -> Iterator[tuple[EventData, datetime]]:
    """User by user, as the file has them."""
    with FILE.open(encoding="utf-8", newline="") as file:
        for row in islice(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE), count):
            signup, created = from_row(row)
            yield signup, created
            assert signup.last_seen is not None
            if signup.last_seen > created:
                yield UserRename(user=signup.user, name="seen"), signup.last_seen
