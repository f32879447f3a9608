"""A handler of this folder that does not return ends the command that asks the past."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from streams import App, Event
from streams.cli.process.handler_watch import handlers_return
from streams.errors import HistoryError
from streams.history.branch.branch import replay
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.code.local_code import LocalCode
from tests.applications import bank
from tests.applications.bank.events import AccountOpen
from tests.support.other_code import with_change
from tests.support.pasts import made, past_of

LOOKS = 0.02


def looping(_: Any) -> Any:
    def decide(_row: Any, event: Event[Any]) -> Any:
        while event is not None:
            pass

    return decide


def waiting(_: Any) -> Any:
    def decide(_row: Any, _event: Event[Any]) -> Any:
        time.sleep(60)

    return decide


@pytest.fixture(params=[signal.default_int_handler, signal.SIG_IGN])
def _ctrl_c(request: pytest.FixtureRequest) -> Iterator[None]:
    """Heard, or ignored."""
    before = signal.signal(signal.SIGINT, request.param)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c")
@pytest.mark.parametrize("change", [looping, waiting])
def test_a_handler_that_does_not_return_is_named(change: Any) -> None:
    """It loops, or waits for the system: the command ends with a sentence in its place. So it does in a shell's background."""
    _, there = made("bank", 7)
    now = ApplicationHandlers(hanging(change), there.codec)
    with (
        pytest.raises(HistoryError, match=r"the handler of account\.open has not returned for 0\.2 s, for a\d \(id open-a\d\)"),
        handlers_return(now, 0.2, LOOKS),
    ):
        replay(past_of(there), LocalCode(ApplicationHandlers(there.app, there.codec)), now)


def hanging(change: Any) -> App:
    return with_change(bank.app(), AccountOpen, change)


def test_many_events_that_take_long_together_are_no_handler_that_hangs() -> None:
    """Nor is a command that is at something else, or one that a person interrupts."""
    _, there = made("bank", 7)
    handlers = ApplicationHandlers(there.app, there.codec)
    events = list(past_of(there).events())
    with handlers_return(handlers, 0.1, LOOKS):
        end = time.monotonic() + 0.4
        while time.monotonic() < end:
            for it in events:
                handlers.decide(it.namespace, handlers.handler_of(it.namespace, it.event), None, it.event)  # type: ignore[arg-type]  # the bank has all
        time.sleep(0.3)
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt), handlers_return(handlers, 0.1, LOOKS):
        signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, heard)
