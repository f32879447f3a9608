"""A note of what logs held when they were verified: with it, a later verification says from where one was altered since.

All else that a verification compares lies in Kafka too: whoever can write there may alter all of it alike. A note is kept
elsewhere. It has a digest of each thousand records of a log, by their sequences: so it is small, and what an operator has erased
concerns one thousand only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from itertools import groupby

import msgspec

from streams.engine.envelope import sequence_of
from streams.errors import UndecodableRecord
from streams.history.recorded_event import NamespacePartition, position_name
from streams.history.verification.verification_findings import NOTED, Findings
from streams.history.verification.verification_note import EVERY, NotedLog, VerificationNote, digest_numbers
from streams.history.verification.verification_records import StoredRecord

DIGEST_BYTES = 16
NOTED_RECORDS = "noted records"
"""So begins what is said of those that could not be compared."""
_encode = msgspec.msgpack.Encoder().encode


class LogDigests:
    """Of one log, as it is read. `since` is what was noted of it before. `begins`: it still has its first record."""

    def __init__(self, at: NamespacePartition, since: NotedLog | None = None, *, begins: bool = True) -> None:
        self._at, self._since, self._begins = at, since, begins
        self._noted_last = 0 if since is None else since.last
        self._digests: dict[int, str] = {}
        self._number, self._hash = -1, blake2b(digest_size=DIGEST_BYTES)
        self._until_noted = ""
        """The digest of the last noted records, of which there may be more now."""
        self._erased: set[int] = set()
        self.first = self.last = 0

    def take(self, record: StoredRecord) -> None:
        try:
            sequence = sequence_of(record.key or b"")
        except UndecodableRecord:
            sequence = 0
        number = (sequence - 1) // EVERY if sequence else self._number
        if record.value is None:  # an operator's tombstone
            self._erased.add(number)
            return
        if number != self._number:
            self._end()
            self._number, self._hash = number, blake2b(self._digests.get(number, "").encode(), digest_size=DIGEST_BYTES)
        self._hash.update(_encode((record.key, record.value, record.headers)))
        self.first, self.last = self.first or sequence, max(self.last, sequence)
        if sequence == self._noted_last:
            self._until_noted = self._hash.hexdigest()

    def _end(self) -> None:
        if self._number >= 0:
            self._digests[self._number] = self._hash.hexdigest()

    def noted(self) -> NotedLog:
        self._end()
        return NotedLog(self.first, self.last, [self._digests.get(number, "") for number in _numbers(self.first, self.last)])

    def compare(self, findings: Findings, taken: str, *, hidden: bool) -> None:
        """Report from where the log is not as it was noted. `hidden`: its end could not be read."""
        if self._since is None or not self._since.first:
            return
        self._end()
        since = self._since
        numbers = [number for number in _numbers(since.first, since.last) if not self._excuse(findings, number, hidden=hidden)]
        for low, high in _spans(number for number in numbers if not self._is_as_noted(number)):
            first, last = max(low * EVERY + 1, since.first), min((high + 1) * EVERY, since.last)
            ends = f"it ends at {position_name(*self._at, self.last)}" if self.last else "it is empty"
            found = "other records" if self.last >= last else ends
            where = f"{position_name(*self._at, first)} to {position_name(*self._at, last)}"
            findings.add(NOTED, self._at, f"{where} as they were noted at {taken}", found, sequence=first)

    def _excuse(self, findings: Findings, number: int, *, hidden: bool) -> bool:
        """Whether these records cannot be compared, for a reason that is told."""
        assert self._since is not None
        first, last = max(number * EVERY + 1, self._since.first), min((number + 1) * EVERY, self._since.last)
        if number in self._erased:
            what = f"{NOTED_RECORDS} among which an operator has deleted some"
        elif not self._begins and (first < self.first or not self.first):
            what = f"{NOTED_RECORDS} that were deleted from the log's beginning"
        elif hidden and self.last < last:
            what = f"{NOTED_RECORDS} that an open transaction hides"
        else:
            return False
        findings.unchecked(what, position_name(*self._at, first), last - first + 1)
        return True

    def _is_as_noted(self, number: int) -> bool:
        assert self._since is not None
        noted = self._since.digests[number - (self._since.first - 1) // EVERY]
        is_last = number == (self._since.last - 1) // EVERY
        return noted == (self._until_noted if is_last else self._digests.get(number))


def log_name(at: NamespacePartition) -> str:
    return f"{at[0]}-{at[1]}"


def noted_logs(logs: Mapping[NamespacePartition, LogDigests]) -> dict[str, NotedLog]:
    return {log_name(at): log.noted() for at, log in logs.items()}


def tell_unread(since: VerificationNote, logs: Iterable[NamespacePartition], findings: Findings) -> None:
    """Of logs that were noted and are none of these, such as those of a namespace that the application has no more."""
    for name in sorted(since.logs.keys() - {log_name(at) for at in logs}):
        noted = since.logs[name]
        if noted.first:
            what = f"{NOTED_RECORDS} of logs that this application does not have"
            findings.unchecked(what, f"{name}:{noted.first}", noted.last - noted.first + 1)


def _numbers(first: int, last: int) -> range:
    return digest_numbers(first, last, EVERY)


def _spans(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """First and last of each that follow each other."""
    for _, found in groupby(enumerate(numbers), key=lambda it: it[1] - it[0]):
        together = [number for _, number in found]
        yield together[0], together[-1]
