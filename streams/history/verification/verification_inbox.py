"""Whether what was handled is what lies in the inbox, and whether nothing was lost in between (laws 2 and 3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Self

import msgspec

from streams.engine.control import PREFIX as CONTROL
from streams.engine.control import read
from streams.engine.envelope import is_ours
from streams.engine.identity import position_id
from streams.engine.records import UNREADABLE
from streams.errors import InvalidEvent
from streams.history.recorded_event import NamespacePartition, position_name
from streams.history.verification.verification_findings import ALTERED, LOST, Findings, offset_name
from streams.history.verification.verification_markers import MarkerCheck
from streams.history.verification.verification_records import StoredRecord, hash_of, identity_of

PLANS = 1_024
"""Lists of header names that are remembered."""


class InboxEntry(msgspec.Struct, gc=False):
    """What is kept of an inbox record until its log record comes. Without a hash it is a command, or its headers do not read."""

    hash: int | None
    is_command: bool
    id: bytes | None
    source: bytes
    type: bytes

    def identity(self, topic_id: str, partition: int, offset: int) -> int:
        """Its event's id is that of its offset if it has none."""
        event_id = position_id(topic_id, partition, offset) if self.id is None else self.id.decode(errors="replace")
        return identity_of(self.source.decode(errors="replace"), event_id)


class _NamePlan(NamedTuple):
    """What to do with a list of header names. `ours`: one of them is a name that only retold may write.

    The others are where an id, a source and a type are, if they are there: the last of each counts.
    """

    ours: bool
    id: int | None
    source: int | None
    type: int | None

    @classmethod
    def of(cls, names: Sequence[str]) -> Self:
        where = {name: at for at, name in enumerate(names)}
        return cls(any(map(is_ours, names)), *(where.get(name) for name in ("ce_id", "ce_source", "ce_type")))


_NOTHING = _NamePlan.of(())
NO_VALUES: tuple[bytes | None, ...] = ()


class InboxCheck:
    """Of one inbox partition, which begins at offset `start`. Records of inbox and log may come in any order.

    `by_reference` returns the offsets of records that are set aside by reference: their bytes are only here.
    """

    def __init__(
        self, at: NamespacePartition, findings: Findings, marker: MarkerCheck, start: int, by_reference: Callable[[], set[int]]
    ) -> None:
        self._at, self._findings, self._marker, self._start = at, findings, marker, start
        self._by_reference = by_reference
        self._waiting: dict[int, InboxEntry] = {}
        self._logged: dict[int, tuple[int, int]] = {}
        self._plans: dict[tuple[str, ...], _NamePlan] = {}
        self.unhandled: dict[int, StoredRecord] = {}
        """Those that were not handled yet, or that are set aside by reference, by offset."""
        self._kept: set[int] | None = None
        self._position, self._last = 0, start - 1
        self.count = self.commands = 0
        """Records, and of those that were handled the operator's commands."""
        self.rejected: set[str] = set()
        """Keys of which an operator rejected something."""

    @property
    def is_whole(self) -> bool:
        return self._start == 0

    @property
    def position(self) -> int:
        """The offset where handling goes on."""
        return self._marker.inbox_next

    def take(self, record: StoredRecord) -> None:
        if self._kept is None:
            self._kept, self._position = self._by_reference(), self.position
        self.count, self._last = self.count + 1, record.offset
        offset, key, value, headers = record
        logged = self._logged.get(offset)
        if logged is not None and value and value[:1] != CONTROL and logged[0] == hash_of(key or b"", value, headers):
            del self._logged[offset]  # as most are, with no header that only retold may write
            return
        digest, plan, values = None, _NOTHING, NO_VALUES
        is_command = value is not None and value[:1] == CONTROL
        is_answer = is_command and self._command(record) == "answer"  # an operator's, which is in the log without the command
        if headers:
            names, values = zip(*headers)  # noqa: B905 - each is a pair
            plan = self._plans.get(names) or self._remember(names)
        if headers is not UNREADABLE and not is_answer:
            carried = [pair for pair in headers if not is_ours(pair[0])] if plan.ours else headers
            digest = hash_of(key or b"", value, carried)
        if logged is not None:
            self._compare(offset, digest, *self._logged.pop(offset))
            return
        event_id, source, event_type = plan.id, plan.source, plan.type
        self._waiting[offset] = InboxEntry(
            digest,
            is_command,
            None if event_id is None else values[event_id] or None,
            b"" if source is None else values[source] or b"",
            b"" if event_type is None else values[event_type] or b"",
        )
        if offset >= self._position or offset in self._kept:
            self.unhandled[offset] = record

    def _remember(self, names: tuple[str, ...]) -> _NamePlan:
        if len(self._plans) >= PLANS:
            self._plans.clear()
        plan = self._plans[names] = _NamePlan.of(names)
        return plan

    def _command(self, record: StoredRecord) -> str | None:
        """Which one it is; None for what looks like a command and is none."""
        self.commands += record.offset < self._position
        try:
            command = read(record.key, record.value or b"")
        except InvalidEvent:
            return None
        if command.command == "reject":
            self.rejected.add(command.key)
        return command.command

    def log(self, offset: int, digest: int, sequence: int) -> None:
        """A record of the log that came from here."""
        if offset < self._start:
            self._findings.unchecked("log records whose inbox records were deleted", position_name(*self._at, sequence))
            return
        waiting = self._waiting.pop(offset, None)
        if waiting is None:
            self._logged[offset] = (digest, sequence)
        else:
            self._compare(offset, waiting.hash, digest, sequence)

    def _compare(self, offset: int, digest: int | None, logged: int, sequence: int) -> None:
        if digest is not None and digest != logged:
            expected = f"what the inbox has at {offset_name(self._at, offset)}, byte for byte"
            self._findings.add(ALTERED, self._at, expected, "another key, value or header", sequence=sequence)

    def set_aside(self, offset: int, digest: int | None, *, quarantined: bool) -> None:
        """A record that is set aside came from here; without a hash, its bytes are only here."""
        waiting = self._waiting.pop(offset, None)
        if waiting is None:
            return
        if waiting.is_command:
            self.commands -= quarantined and offset < self._position
        if None not in (digest, waiting.hash) and digest != waiting.hash:
            expected = "the same bytes in the inbox and set aside"
            self._findings.add(ALTERED, self._at, expected, "another key, value or header", offset=offset)

    def finish(self) -> None:
        """Once inbox and log are read to their ends."""
        if self._last + 1 < self.position:
            self._marker.too_high(self._last)
        for offset, (_, sequence) in self._logged.items():
            expected = f"the inbox record {offset_name(self._at, offset)}, from which it came"
            self._findings.add(LOST, self._at, expected, "no such record, or it was handled before", sequence=sequence)

    def left(self) -> Iterator[tuple[int, InboxEntry]]:
        """The records that are neither in the log nor set aside, without commands, by offset."""
        return ((offset, entry) for offset, entry in self._waiting.items() if not entry.is_command)

    def lose(self, offset: int, entry: InboxEntry) -> None:
        name = entry.type.decode(errors="replace") or "event"
        expected = f"this {name} in the log, set aside, or known as a duplicate: it was handled"
        self._findings.add(LOST, self._at, expected, "it is nowhere", offset=offset)
