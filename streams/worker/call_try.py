"""One try of a gateway's call: an answer that is allowed, or why there is none."""

from __future__ import annotations

import asyncio
import inspect
import traceback
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from streams.data import EventData
from streams.engine.changes import PendingCall
from streams.engine.readable import in_a_line
from streams.errors import InvalidEvent
from streams.gateway import Gateway
from streams.worker.bounded_call import BoundedCall, Expired

Check = Callable[[PendingCall, EventData], bytes]
"""Gives an answer's bytes. Raises InvalidEvent for one that is not allowed."""


class CheckedAnswer(NamedTuple):
    """An answer that is allowed, and its bytes."""

    data: EventData
    value: bytes


class CallFailure(NamedTuple):
    """A failed try. `final`: another try would fail in the same way."""

    reason: str
    detail: str = ""
    final: bool = False


class CallTries:
    """`timeout` in s, by the clock of `loop`, in a task of which tries are made."""

    def __init__(
        self, gateways: Mapping[type[EventData], Gateway[Any]], check: Check, timeout: float, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._gateways, self._check, self._timeout, self._loop = gateways, check, timeout, loop

    async def once(self, call: PendingCall) -> tuple[CheckedAnswer | CallFailure, bool]:
        """Call the gateway once; also returns whether that has waited, and so let others run.

        Whatever it raises is a failure, so that nothing can end a key's calls for ever. Who is cancelled has failed, too.
        """
        event_type, gateway = call.event.data.event_type, self._gateways.get(type(call.event.data))
        if gateway is None:
            return CallFailure(f"{event_type} has no gateway in this application any more", final=True), False
        bounded: BoundedCall | None = None
        try:
            until = self._loop.time() + self._timeout
            asked: object = gateway.call(call.event)
            if not inspect.isawaitable(asked):
                why = f"the gateway of {event_type} is no async function: it gave {asked!r:.100}"
                return CallFailure(why, final=True), False
            bounded = BoundedCall(asked, until)
            answer: EventData = await bounded.answer()
        except Expired:
            return CallFailure(f"no answer in {self._timeout:g} s"), True
        except BaseException as error:  # noqa: BLE001 - the outside world may fail in any way
            return _failure_of(error), bounded is not None and bounded.waited
        return self._checked(call, answer), bounded.waited

    def _checked(self, call: PendingCall, answer: EventData) -> CheckedAnswer | CallFailure:
        try:
            return CheckedAnswer(answer, self._check(call, answer))
        except InvalidEvent as error:
            return CallFailure(str(error), final=True)
        except Exception as error:  # noqa: BLE001 - a value that cannot even be checked
            return _failure_of(error)._replace(final=True)


def _failure_of(error: BaseException) -> CallFailure:
    return CallFailure(in_a_line(error), "".join(traceback.format_exception(error)))
