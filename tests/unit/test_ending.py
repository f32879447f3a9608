"""How a test ends whose worker or server goes on: with its own words, and with these only if it had none."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.support.ending import see_ended


@pytest.fixture
def going_on() -> Iterator[threading.Thread]:
    """A thread that does not end before its test."""
    over = threading.Event()
    thread = threading.Thread(target=over.wait, daemon=True)
    thread.start()
    yield thread
    over.set()
    thread.join(60)


def test_a_failure_is_not_hidden_by_what_goes_on(going_on: threading.Thread) -> None:
    """It gets a note."""
    failure = AssertionError("its own words")
    see_ended(going_on, "the worker", failure, seconds=0.01)
    assert failure.__notes__ == ["and the worker did not end within 0 s"]


def test_what_goes_on_is_a_failure(going_on: threading.Thread) -> None:
    """Also of a test that found everything right."""
    with pytest.raises(AssertionError, match="the worker did not end"):
        see_ended(going_on, "the worker", None, seconds=0.01)


def test_what_ends_is_no_failure(going_on: threading.Thread) -> None:
    """Neither a note nor a word."""
    done = threading.Thread(target=going_on.is_alive)
    done.start()
    failure = AssertionError()
    see_ended(done, "the worker", failure)
    assert not hasattr(failure, "__notes__")
