"""Who watches the calls of handlers. The engine has no clock: it says when a call begins and when it has ended."""

from __future__ import annotations

from typing import Protocol

import msgspec


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """One call of a handler.

    `position` is the inbox offset up to which the partition was handled before, `offset` that of the event; a timer's event has
    a number below 0 that is its own. A parked event that is handled again has another position each time. Both stay what they
    are after a restart.
    """

    partition: int
    position: int
    offset: int
    event_type: str
    key: str


class Attempts(Protocol):
    """Calls of handlers, one at a time.

    `ctrl_c`: whether Ctrl-C may interrupt them, as it does in the main thread alone. Elsewhere a KeyboardInterrupt is a handler's.
    """

    ctrl_c: bool

    def began(self, attempt: Attempt) -> None:
        """Raises HandlerTimeout if this handler was called too often for this event and never returned: it is not called."""

    def ended(self) -> None: ...

    def out_of_time(self) -> bool:
        """Whether the batch has used its time: a record that calls many handlers goes on in the next one."""


class Unwatched:
    """Nobody watches: a World, or a fold."""

    ctrl_c = True

    def began(self, attempt: Attempt) -> None:
        pass

    def ended(self) -> None:
        pass

    def out_of_time(self) -> bool:
        return False


UNWATCHED = Unwatched()
