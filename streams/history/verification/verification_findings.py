"""What a verification found: each finding with its place, what was expected there, what was found, and where to go on."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from streams.engine.readable import readable, shortened
from streams.history.recorded_event import NamespacePartition
from streams.history.verification.verification_note import VerificationNote

KEPT = 1_000
"""Findings of one kind that are kept; the others are only counted."""
TEXT = 400
"""Characters of what was expected, or found."""


class FindingKind(NamedTuple):
    """`damage`: no other code explains it. `do` says where to go on."""

    name: str
    damage: bool
    do: str


COPY = "Stop the namespace's workers and copy its topics before anything is written; see docs/troubleshooting.md"
SEE = "`retold tail` shows the event; see docs/troubleshooting.md"
CODE = "Verify with the version of the code that wrote it. If that finds it too, it is damage"

MISSING = FindingKind("missing record", True, f"An operator may have deleted it, a while ago. If nobody did: {COPY.lower()}")
ORDER = FindingKind("wrong order", True, COPY)
REPEATED = FindingKind("repeated record", True, COPY)
UNREADABLE = FindingKind("unreadable record", True, COPY)
TIME = FindingKind("time goes back", True, SEE)
MISPLACED = FindingKind("misplaced record", True, SEE)
ALTERED = FindingKind("altered record", True, COPY)
HANDLED_TWICE = FindingKind("handled twice", True, SEE)
CAUSE = FindingKind("cause is missing", True, COPY)
ANSWER = FindingKind("answer", True, SEE)
VERSION = FindingKind("expected version", True, SEE)
NOT_FOUND = FindingKind(
    "emission is lost", True,
    f"Verify with the code that handled it: one that emits more now finds this, too. If it is found then: {COPY.lower()}",
)  # fmt: skip
LOST = FindingKind("event is lost", True, COPY)
ROW = FindingKind("wrong row", True, COPY)
MARKER = FindingKind("wrong marker", True, COPY)
END = FindingKind("torn transaction", True, COPY)
PENDING = FindingKind("wrong pending", True, "`retold timers` and `retold parked list` show what is pending and set aside")
NOTED = FindingKind("altered since the note", True, COPY)
DELETED = FindingKind(
    "deleted records", True,
    "`retold status`, or a worker that starts, says what to do about each topic; docs/troubleshooting.md says more",
)  # fmt: skip
OPEN = FindingKind("open transaction", True, "`retold status` says whose it is, and what ends it")
DECIDES = FindingKind("decides otherwise", False, CODE)
SAYS = FindingKind("emits otherwise", False, CODE)
FOLDS = FindingKind("folds otherwise", False, CODE)

KINDS = (
    MISSING, ORDER, REPEATED, UNREADABLE, TIME, MISPLACED, ALTERED, HANDLED_TWICE, CAUSE, ANSWER, VERSION, NOT_FOUND, LOST, ROW,
    MARKER, END, PENDING, NOTED, DELETED, OPEN, DECIDES, SAYS, FOLDS,
)  # fmt: skip
"""In the order in which they are shown."""


class VerificationFinding(msgspec.Struct, frozen=True):
    """`where` is a log sequence (`user-3:7`), an inbox offset (`user-3@1042`) or a partition (`user-3`).

    `number` is that sequence or offset, 0 for a partition; `is_offset` says which. `key` is the row's that it is about.
    """

    kind: FindingKind
    namespace: str
    partition: int
    number: int
    is_offset: bool
    expected: str
    found: str
    key: str | None = None

    @property
    def log(self) -> str:
        """The log that it is in, such as `user-3`; `user-3@` for its inbox."""
        return log_of((self.namespace, self.partition), is_offset=self.is_offset)

    @property
    def where(self) -> str:
        place = f"{self.namespace}-{self.partition}"
        if self.is_offset:
            return f"{place}@{self.number}"
        return f"{place}:{self.number}" if self.number else place


def log_of(at: NamespacePartition, *, is_offset: bool) -> str:
    return f"{at[0]}-{at[1]}{'@' if is_offset else ''}"


class NotChecked(msgspec.Struct, frozen=True):
    """What could not be checked, how often, and where it was so first."""

    what: str
    count: int
    first: str


KindInLog = tuple[FindingKind, str]
"""A kind and a log, such as `user-3`, or `user-3@` for its inbox."""
Extent = tuple[int, int]
"""How many findings, and the last of their sequences, or offsets."""
NOTHING: Extent = (0, 0)


def _further(extent: Extent, number: int) -> Extent:
    count, last = extent
    return count + 1, max(last, number)


class Findings:
    """Collects them. All are counted, and the first of each kind are kept."""

    def __init__(self) -> None:
        self._counts: Counter[FindingKind] = Counter()
        self._kept: dict[FindingKind, list[VerificationFinding]] = defaultdict(list)
        self._beyond: dict[KindInLog, Extent] = {}
        """Of those that are not kept."""
        self._unchecked: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def add(
        self, kind: FindingKind, at: NamespacePartition, expected: str, found: str, *,
        sequence: int = 0, offset: int | None = None, key: str | None = None,
    ) -> None:  # fmt: skip
        """At a log sequence, an inbox offset, or a whole partition."""
        self._counts[kind] += 1
        number = sequence if offset is None else offset
        if len(self._kept[kind]) >= KEPT:
            name = log_of(at, is_offset=offset is not None)
            self._beyond[kind, name] = _further(self._beyond.get((kind, name), NOTHING), number)
        else:
            texts = (shortened(readable(expected), TEXT), shortened(readable(found), TEXT))
            self._kept[kind].append(VerificationFinding(kind, *at, number, offset is not None, *texts, key))

    def unchecked(self, what: str, where: str, count: int = 1) -> None:
        self._unchecked[what] += count
        self._first.setdefault(what, where)

    def withdraw(self, key: tuple[str, int, str], since: int) -> None:
        """Drop what was found about a key's row and decisions from a sequence on: what they follow from is gone."""
        for kind, kept in self._kept.items():
            if not kind.damage or kind in (ROW, VERSION):
                about_row = kind in (ROW, FOLDS)
                left = [it for it in kept if (it.namespace, it.partition, it.key) != key or (it.number < since and not about_row)]
                self._counts[kind] -= len(kept) - len(left)
                self._kept[kind] = left

    @property
    def counts(self) -> Mapping[FindingKind, int]:
        return {kind: self._counts[kind] for kind in KINDS if self._counts[kind]}

    def otherwise_by_log(self) -> Mapping[KindInLog, Extent]:
        """How many findings that are no damage each log has, and how far they go."""
        found = dict(self._beyond)
        for it in (it for kept in self._kept.values() for it in kept):
            at = it.kind, it.log
            found[at] = _further(found.get(at, NOTHING), it.number)
        return {at: extent for at, extent in found.items() if not at[0].damage}

    def all(self) -> Iterator[VerificationFinding]:
        """Those that were kept: damage first, and of a kind in the order of places."""
        for kind in KINDS:
            yield from sorted(self._kept[kind], key=lambda it: (it.namespace, it.partition, it.number))

    def not_checked(self) -> Sequence[NotChecked]:
        return [NotChecked(what, count, self._first[what]) for what, count in self._unchecked.items()]


class VerifiedCounts(msgspec.Struct):
    """How much was read: `log` and `inbox` are records, `parked` and `pending` what is set aside, and what waits, now."""

    partitions: int = 0
    log: int = 0
    inbox: int = 0
    rows: int = 0
    parked: int = 0
    pending: int = 0


class VerificationReport(NamedTuple):
    findings: Sequence[VerificationFinding]
    counts: Mapping[FindingKind, int]
    not_checked: Sequence[NotChecked]
    read: VerifiedCounts
    note: VerificationNote | None = None
    otherwise_by_log: Mapping[KindInLog, Extent] = {}

    @property
    def damage(self) -> int:
        return sum(count for kind, count in self.counts.items() if kind.damage)

    @property
    def otherwise(self) -> int:
        """How often this code decides otherwise than the one that wrote."""
        return sum(count for kind, count in self.counts.items() if not kind.damage)


def offset_name(at: NamespacePartition, offset: int) -> str:
    return f"{at[0]}-{at[1]}@{offset}"
