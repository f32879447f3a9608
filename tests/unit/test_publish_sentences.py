"""What `retold publish --wait` says of an accepted event is true of its row."""

from __future__ import annotations

import pytest

from processors import app
from processors.events import EmailSend, UserClose
from streams.cli.commands.publish import accepted_sentence
from streams.data import EventData
from streams.receipt import PublishOutcome, Receipt


@pytest.mark.parametrize(
    ("event", "duplicate", "sentence"),
    [
        (UserClose(user="a"), False, "x.y of 'a' was accepted: its row is at version 7, id e1"),
        (UserClose(user="a"), True, "x.y of 'a' was accepted before, as x-3:7 with the same id, e1"),
        (EmailSend(email="a", to="b", template="welcome"), False, "x.y of 'a' was accepted as x-3:7: its gateway is called, id e1"),
    ],
)
def test_the_sentence_claims_a_version_only_where_the_event_wrote_the_row(
    event: EventData, duplicate: bool, sentence: str
) -> None:
    """A duplicate's sequence is the first event's, and the row may have changed since; a gateway's request writes no row."""
    receipt = Receipt("x", "x.y", "a", "e1")
    outcome = PublishOutcome(receipt=receipt, partition=3, outcome="accepted", sequence=7, duplicate=duplicate)
    assert accepted_sentence(app(), event, outcome) == sentence
