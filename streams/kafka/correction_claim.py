"""Who may apply a correction: of all coordinators on all machines, the one whose claim stands first in the topic.

A coordinator writes that it is at work, and looks then whether another one was there before it. It looks again before each round,
since it may have been still for so long that another one took its correction over.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Collection

from msgspec.structs import replace

from streams.errors import BrokerError, StalePlan
from streams.kafka.clients import Clients
from streams.kafka.corrections_topic import (
    APPLYING,
    Corrections,
    CorrectionState,
    read_claims,
    take_back,
    write_correction,
)

ALONE = 120_000_000
"""µs without a sign of a coordinator on another machine after which its correction is taken over."""
SAID = 5_000_000
"""µs after which a coordinator that waits says again that it is at work."""
LET_IT_END = "let it end, then apply this plan again"


class CorrectionClaim:
    """Of one coordinator, which is called `name`, on one correction. Used by one thread."""

    def __init__(self, clients: Clients, prefix: str, name: str) -> None:
        self._clients, self._prefix, self._name = clients, prefix, name
        self._known: Collection[str] = ()
        """Ids of the corrections that this coordinator has read: all that the present is brought to."""
        self._first = self._said = 0
        """The offset of its first state, and when it last said that it is at work."""

    def take(self, state: CorrectionState, before: CorrectionState | None, known: Collection[str]) -> None:
        """Write that `state` is being applied, and look who did so first; `before` is how this correction stood, None: it is new.

        Raises StalePlan if another coordinator was first, or another correction was begun that is not among the `known`. Then all
        is as it was. Raises InvalidChange for a correction that is too large to be kept, and BrokerError.
        """
        self._known = {*known, state.correction}
        first = replace(state, state=APPLYING, coordinator=self._name, seen=self._clients.clock.now(), claim=-1)
        write_correction(self._clients, self._prefix, first)
        found = read_claims(self._clients, self._prefix, state.application)
        ours = [at for at, it in found.claims.items() if it.coordinator == self._name and it == first]
        if not ours:
            raise BrokerError(f"the state of the correction {state.correction} was written, and is not there: apply the plan again")
        self._first, self._said = ours[-1], first.seen
        self.state = replace(first, claim=self._first)
        try:
            self._refuse(found)
        except StalePlan:
            self._take_back(before, found)
            raise
        self._write(self.state)

    def look(self) -> None:
        """Before a round, and before the end: say that it is at work. Raises StalePlan if it is another coordinator's turn."""
        self._refuse(read_claims(self._clients, self._prefix, self.state.application))
        self._write(self.state)

    def stay(self) -> None:
        """The same, if that was a while ago."""
        if self._clients.clock.now() - self._said > SAID:
            self.look()

    def end(self, state: str, steps: int) -> None:
        """Say that nobody is at work on it, and how it stands."""
        self._write(replace(self.state, state=state, coordinator="", steps=steps))

    def _write(self, state: CorrectionState) -> None:
        now = self._clients.clock.now()
        write_correction(self._clients, self._prefix, replace(state, seen=now))
        self._said = now

    def _refuse(self, found: Corrections) -> None:
        """Whoever was still for long has lost its turn to all that came meanwhile."""
        now = self._clients.clock.now()
        was_still = now - self._said > ALONE
        for at, it in found.claims.items():
            if at == self._first or not (at < self._first or was_still):
                continue
            if is_at_work(it, now):
                raise StalePlan(f"the correction {it.correction} is being applied by {it.coordinator}: {LET_IT_END}")
            if it.correction not in self._known:
                raise StalePlan(f"the correction {it.correction} by {it.by} was begun meanwhile: {LET_IT_END}")

    def _take_back(self, before: CorrectionState | None, found: Corrections) -> None:
        """Nothing if another coordinator is at work on the same correction: it says by itself how that stands."""
        now, mine = self._clients.clock.now(), self.state.correction
        if any(at < self._first and it.correction == mine and is_at_work(it, now) for at, it in found.claims.items()):
            return
        if before is None:
            take_back(self._clients, self._prefix, mine)
        else:
            write_correction(self._clients, self._prefix, replace(before, coordinator="", claim=self._first))


def own_name() -> str:
    """Of a coordinator in this process."""
    return f"{socket.gethostname()}-{os.getpid()}"


def is_at_work(it: CorrectionState, now: int) -> bool:
    """Whether its coordinator is, as far as it is known here; `now` in µs since 1970."""
    return it.state == APPLYING and it.coordinator != "" and now - it.seen < ALONE and not has_ended(it.coordinator)


def has_ended(coordinator: str) -> bool:
    """Whether a coordinator of this machine has ended; of another machine's it is not known."""
    host, _, number = coordinator.rpartition("-")
    if host != socket.gethostname() or not number.isdecimal():
        return False
    try:
        os.kill(int(number), 0)
    except (ProcessLookupError, OverflowError, ValueError):  # no process has a number that is too large
        return True
    except PermissionError:  # it is another user's
        pass
    return False
