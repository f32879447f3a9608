"""What a server keeps of a correction that it could not apply."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from streams.errors import BrokerError, HistoryError
from streams.server.correction_attempt import CorrectionAttempts


class Past:
    """Stands for all that a coordinator has open: the log, what corrections make of it, and Kafka's clients."""


@pytest.fixture
def uncollected() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def silence(_past: Past) -> None:
    raise BrokerError("no answer")


@pytest.mark.usefixtures("uncollected")
def test_of_an_attempt_that_failed_its_reason_alone_is_kept() -> None:
    """Until the next one, which may be months later: an error keeps what was in use where it was raised, and so does its cause."""
    made: list[weakref.ref[Past]] = []

    def apply(_begun: object) -> None:
        past = Past()
        made.append(weakref.ref(past))
        try:
            silence(past)
        except BrokerError as error:
            raise HistoryError("the log cannot be read: no answer") from error

    attempts = CorrectionAttempts(lambda: None)
    attempt = attempts.begin("c1", None, apply)
    attempts.end()
    assert (attempt.over, str(attempt.error)) == (True, "the log cannot be read: no answer")
    assert made[0]() is None
