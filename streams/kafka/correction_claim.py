"""Who may apply a correction: of all coordinators on all machines, the one whose claim stands first in the topic.

A coordinator writes that it is at work, and looks then whether another one was there before it. It looks again before each round,
since it may have been still for so long that another one took its correction over. How long ago somebody was at work is told by
Kafka's times alone: clocks of machines differ.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress

from msgspec.structs import replace

from streams.errors import BrokerError, StalePlan
from streams.kafka.clients import Clients
from streams.kafka.coordinator_name import has_ended
from streams.kafka.corrections_topic import (
    APPLIED,
    APPLYING,
    READING,
    Corrections,
    CorrectionState,
    gone_record,
    state_record,
    time_record,
)
from streams.kafka.corrections_writer import CorrectionsWriter
from streams.kafka.watched_corrections import WatchedCorrections

ALONE = 120_000_000
"""µs without a sign of a coordinator on another machine after which its correction is taken over."""
SAID = 5_000_000
"""µs after which a coordinator that waits says again that it is at work."""
LET_IT_END = "let it end, then apply this plan again"


class CorrectionClaim:
    """Of one coordinator, which is called `name`, on one correction. Used by one thread."""

    def __init__(self, clients: Clients, prefix: str, name: str) -> None:
        self._clients, self._prefix, self._name = clients, prefix, name
        self._writer = CorrectionsWriter(clients, prefix)
        self._topic: WatchedCorrections | None = None
        self._known: Collection[str] = ()
        """Ids of the corrections that this coordinator has read: all that the present is brought to."""
        self._first = 0
        """The offset of its first state."""
        self._said = 0, 0.0
        """When it last said that it is at work, by the wall clock (µs) and by the monotonic one (s)."""
        self._told = 0
        """The same by Kafka's time (µs)."""

    def known(self, application: str) -> Corrections:
        """All corrections by now. Raises StalePlan if another coordinator is at work, and BrokerError.

        So nothing is said of a correction by one that only waits for its turn: others would wait for it in their turn.
        """
        self._writer.write([time_record(self._name)])
        found = self._look(application)
        for it in found.claims.values():
            if is_at_work(it, found.now):
                raise StalePlan(
                    f"the correction {it.correction} is being applied by {it.coordinator}, which was at work "
                    f"{(found.now - it.seen) / 1e6:.0f} s ago: {LET_IT_END}. Once that has said nothing for "
                    f"{ALONE // 1_000_000} s, whoever applies it takes it over"
                )
        return found

    def take(self, state: CorrectionState, before: CorrectionState | None, known: Collection[str]) -> None:
        """Write that `state` is being applied, and look who did so first; `before` is how this correction stood, None: it is new.

        Raises StalePlan if another coordinator was first, or another correction was begun that is not among the `known`. Then all
        is as it was. Raises InvalidChange for a correction that is too large to be kept, and BrokerError.
        """
        self._known = {*known, state.correction}
        first = replace(state, state=APPLYING, coordinator=self._name, seen=self._clients.clock.now(), claim=-1)
        self._first = self._writer.write([state_record(first, self._clients.largest)])
        self._note_said()
        self.state = replace(first, claim=self._first)
        try:
            found = self._read()
            if self._first not in found.claims:
                raise BrokerError(
                    f"the state of the correction {state.correction} was written, and is not there: apply the plan again"
                )
            try:
                self._refuse(found)
            except StalePlan:
                self._take_back(before, found)
                raise
            self._write(self.state)
        except StalePlan:
            raise
        except BaseException:  # nobody is at work on it then
            with suppress(BrokerError):
                self.end(APPLYING, state.steps)
            raise

    def send(self) -> None:
        """Before steps are sent: they may be handled from now on, whoever is stopped."""
        self.state = replace(self.state, sent=True)
        self.look()

    def look(self) -> None:
        """Before a round, and before the end: say that it is at work. Raises StalePlan if it is another coordinator's turn."""
        self._refuse(self._read())
        self._write(self.state, is_there=self._topic is not None and self._topic.is_there)

    def stay(self) -> None:
        """The same, if that was a while ago."""
        if self._still() > SAID:
            self.look()

    def end(self, state: str, steps: int, stopped: str = "") -> None:
        """Say that nobody is at work on it, how it stands, and why that is not its end."""
        self._write(replace(self.state, state=state, coordinator="", steps=steps, stopped=stopped))

    def _read(self) -> Corrections:
        found = self._look(self.state.application)
        if (ours := found.claims.get(self._first)) is not None:  # another one's of the same correction may have replaced it
            self._told = ours.seen
        return found

    def _look(self, application: str) -> Corrections:
        if self._topic is None:
            self._topic = WatchedCorrections(self._clients, self._clients.admin(), self._prefix, application, READING)
        return self._topic.look()

    def _write(self, state: CorrectionState, *, is_there: bool = False) -> None:
        """`is_there`: the topic was seen just now."""
        said = replace(state, seen=self._clients.clock.now())
        self._writer.write([state_record(said, self._clients.largest)], is_there=is_there)
        self._note_said()

    def _note_said(self) -> None:
        self._said = self._clients.clock.now(), self._clients.clock.monotonic()

    def _still(self) -> int:
        """µs since it said that it is at work: by the clock that says more, since one may stand still, and one may be set back."""
        clock, (said, at) = self._clients.clock, self._said
        return max(clock.now() - said, round((clock.monotonic() - at) * 1e6))

    def _refuse(self, found: Corrections) -> None:
        """Whoever was still for long has lost its turn to all that came meanwhile."""
        if found.now and all(it.correction != self.state.correction for it in found.states):  # else the topic is missing
            raise StalePlan(f"the correction {self.state.correction} was withdrawn meanwhile")
        now = self._told + round((self._clients.clock.monotonic() - self._said[1]) * 1e6)
        was_still = self._still() > ALONE
        for at, it in found.claims.items():
            if at > self._first and it.correction == self.state.correction and it.state == APPLIED:
                if all(known.state != APPLIED for known in found.states if known.correction == it.correction):
                    self._write(it)  # this one stood still in the midst of saying that it is at work, and said so afterwards
                raise StalePlan(f"the correction {it.correction} was applied by another coordinator meanwhile")
            if at == self._first or not (at < self._first or was_still):
                continue
            if is_at_work(it, now):
                raise StalePlan(f"the correction {it.correction} is being applied by {it.coordinator}: {LET_IT_END}")
            if it.correction not in self._known:
                raise StalePlan(f"the correction {it.correction} by {it.by} was begun meanwhile: {LET_IT_END}")

    def _take_back(self, before: CorrectionState | None, found: Corrections) -> None:
        """Nothing if another coordinator is at work on the same correction: it says by itself how that stands."""
        now, mine = self._told, self.state.correction
        if any(at < self._first and it.correction == mine and is_at_work(it, now) for at, it in found.claims.items()):
            return
        if before is None:
            self._writer.write([gone_record(mine)])
        else:
            self._writer.write([state_record(replace(before, coordinator="", claim=self._first), self._clients.largest)])


def is_at_work(it: CorrectionState, now: int) -> bool:
    """Whether its coordinator is, as far as it is known here; `now` in µs since 1970, by Kafka's time."""
    return it.state == APPLYING and it.coordinator != "" and now - it.seen < ALONE and not has_ended(it.coordinator)
