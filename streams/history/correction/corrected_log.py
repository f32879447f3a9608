"""A log and the corrections of it: the history that counts, also as it was known at a time."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from hashlib import blake2b
from typing import NamedTuple, Self

import msgspec

from streams.engine.records import Codec
from streams.errors import BeforeHistory, HistoryError, NoSuchEvent, UnsupportedSchema
from streams.history.branch.branch_times import TimedBranch
from streams.history.branch.change import Change
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.correction.corrected_past import CorrectedPast
from streams.history.correction.correction_plan import StoredChange
from streams.history.correction.decided_corrections import DecidedCorrections, DecidedPast
from streams.history.correction.merged_change import merged
from streams.history.correction.unknown_corrections import refuse_unknown
from streams.history.cut_past import Cut, CutPast, moment_text
from streams.history.past import Past
from streams.history.stored.erased_events import last_erased
from streams.history.stored.stored_past import StoredPast, state_of


class KnownCorrection(msgspec.Struct, frozen=True):
    """A correction of a log, as it is kept; `begun` in µs since 1970. `applied`: to its end."""

    correction: str
    by: str
    why: str
    begun: int
    change: StoredChange
    applied: bool = False

    @property
    def known_from(self) -> int:
        """From when on it was known (µs): not before what it was planned on, whatever the clock of who applied it said."""
        return self.begun if self.change.end is None else max(self.begun, self.change.end.recorded)


class CorrectedLog(NamedTuple):
    """A log, and the corrections of it so far, in their order; `known_from` says when each was begun (µs).

    `corrections` are the same as they are kept, where it is known who has made them. `decided` keeps what they make of a log in a
    file.
    """

    log: Past
    changes: Sequence[Change] = ()
    known_from: Sequence[int] = ()
    corrections: Sequence[KnownCorrection] = ()
    decided: DecidedCorrections | None = None
    names: Set[str] | None = None
    """All corrections that there are, also those that were not known at a time; None: whose steps the log has does not matter."""

    @classmethod
    def of(
        cls, log: Past, corrections: Iterable[KnownCorrection], codec: Codec, decided: DecidedCorrections | None = None
    ) -> Self:
        """`corrections` are all that there are. Raises HistoryError for one with an event that does not read here."""
        found = list(corrections)
        if decided is not None:
            decided.begin(_digest(found))
        changes = [it.change.read(codec) for it in found]
        return cls(log, changes, [it.known_from for it in found], found, decided, {it.correction for it in found})

    def known_at(self, known: int) -> CorrectedLog:
        """The same as it was known at a time (µs)."""
        log = self.log.until(known) if isinstance(self.log, StoredPast) else CutPast(self.log, Cut(known=known))
        times = [(change, at) for change, at in zip(self.changes, self.known_from, strict=True) if at <= known]
        corrections = [it for it in self.corrections if it.known_from <= known]
        return CorrectedLog(log, [change for change, _ in times], [at for _, at in times], corrections, self.decided, self.names)

    def first(self, count: int) -> CorrectedLog:
        """The same with no more than the first so many corrections."""
        some = self.changes[:count], self.known_from[:count], self.corrections[:count]
        return CorrectedLog(self.log, *some, self.decided, self.names)

    def past(self, handlers: ApplicationHandlers) -> Past:
        """The history that counts. Raises NotKnownYet if the log has steps of corrections that are not known here."""
        if self.changes:
            return self._decided(handlers).past(self.log)
        refuse_unknown(self.log, self.names or ())
        return self.log

    def corrected(self, handlers: ApplicationHandlers) -> CorrectedPast:
        """If there are corrections. Raises HistoryError where they cannot be told."""
        with naming_corrections():
            return CorrectedPast(self.log, handlers, merged(self.log, self.changes))

    def timed(self, handlers: ApplicationHandlers) -> TimedBranch | None:
        """The same with its high-water times, to be cut by a time; None: the log counts, where steps are what they have set.

        Raises HistoryError also if a handler raises: what it would make of its row is not known.
        """
        if self.changes:
            return self._decided(handlers).timed(self.log)
        if self.names is not None:
            refuse_unknown(self.log, self.names)
        return None

    def _decided(self, handlers: ApplicationHandlers) -> DecidedPast:
        def decide() -> DecidedPast:
            if self.names is not None:
                refuse_unknown(self.log, self.names)
            return DecidedPast(self.corrected(handlers))

        if self.decided is None or not isinstance(self.log, StoredPast):
            return decide()
        key: Hashable = (state_of(self.log), _digest(self.corrections))
        return self.decided.of(key, decide)

    def timed_at(self, cut: Cut, handlers: ApplicationHandlers) -> TimedBranch | None:
        """The same as it was known at the time of a cut; None: the log counts.

        Raises HistoryError if it cannot be told what the corrections make of it, as where an event is gone that one names, unless
        all were applied by then, and the cut's time is not before that of the last step: from then on rows are what the log has.
        So they are where the code here cannot tell one of them.
        """
        known = self if cut.known is None else self.known_at(cut.known)
        try:
            found = known.timed(handlers)
        except HistoryError as error:
            raise_if_unread(error)
            if cut.as_of is None:
                return None
            last = known.last_set()
            if cut.as_of >= last and self._are_set(known):
                return None
            text = (
                f"what had happened by {moment_text(cut.as_of)} cannot be told with the corrections that were known: {error}. Ask "
                f"for {moment_text(last)} or later, as known once they had set the rows, or as it was known before them"
            )
            raise (BeforeHistory(text) if isinstance(error, BeforeHistory) else HistoryError(text)) from error
        if found is None or not found.has_untold or cut.as_of is None or cut.as_of < known.last_set() or not self._are_set(known):
            return found
        return found.set_in_past()

    def last_set(self) -> int:
        """When the last step had happened, and the last correction was begun (µs). What was erased may have been a step."""
        cut = self.log.cut if isinstance(self.log, CutPast) else Cut()
        whole = self.log.whole if isinstance(self.log, CutPast) else self.log
        erased = last_erased(whole.db, cut.known) if isinstance(whole, StoredPast) else 0
        return max([erased, *self.known_from, *(it.high or it.order.recorded for it in self.log.steps())])

    def _are_set(self, known: CorrectedLog) -> bool:
        """Whether corrections that were known at a time had set all rows by then."""
        by_then = {it.event.data.correction for it in known.log.steps()}
        later = {it.event.data.correction for it in self.log.steps()[len(known.log.steps()) :]}
        return all(it.applied and it.correction in by_then - later for it in known.corrections)

    def cut(self, cut: Cut, handlers: ApplicationHandlers) -> CutPast:
        """The history that counts as of a time, as it was known at another one. Raises HistoryError as `timed_at`."""
        timed = self.timed_at(cut, handlers)
        return CutPast(self.log, cut) if timed is None else CutPast(timed, Cut(cut.as_of))


@contextmanager
def naming_corrections() -> Iterator[None]:
    """Who is told that an event is gone may have named none: corrections before need it."""
    try:
        yield
    except (BeforeHistory, NoSuchEvent) as error:
        raise BeforeHistory(
            "what the corrections so far make of the past cannot be told any more, since an event that one of them needs was "
            f"erased, or is not kept: {error}. So no other correction can be planned or applied; rows are as workers have them"
        ) from (error.__cause__ or error)


def _digest(corrections: Sequence[KnownCorrection]) -> bytes:
    return blake2b(msgspec.json.encode(corrections), digest_size=16).digest()


def raise_if_unread(error: HistoryError) -> None:
    """What is written by a schema that is not known yet is asked for again, once it is."""
    if isinstance(error.__cause__, UnsupportedSchema):
        raise error
