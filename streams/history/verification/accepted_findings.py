"""What a verification found that other code explains, and somebody has looked at and accepts: how much of it, and up to where."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from streams.errors import ConfigError
from streams.history.acceptance_file import decode_accepted
from streams.history.verification.verification_findings import (
    FOLDS,
    KINDS,
    FindingKind,
    KindInLog,
    VerificationFinding,
    VerificationReport,
)


class AcceptedFinding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At most `count` findings of a kind in a log, such as `user-3`, up to the sequence `last`; `user-3@` is its inbox.

    What was written stays as it is, so nothing that is handled later is accepted. Rows are only counted (`last` is None): which
    event changed one last may move on.
    """

    finding: str
    log: str
    count: int
    last: int | None = None


OTHERWISE: Mapping[str, FindingKind] = {kind.name: kind for kind in KINDS if not kind.damage}


def acceptable(report: VerificationReport) -> list[AcceptedFinding]:
    """All that is found and is no damage."""
    return [
        AcceptedFinding(kind.name, log, count, None if kind == FOLDS else last)
        for (kind, log), (count, last) in sorted(report.otherwise_by_log.items(), key=_in_order)
    ]


def _in_order(it: tuple[KindInLog, object]) -> tuple[int, str]:
    kind, log = it[0]
    return KINDS.index(kind), log


def findings_not_accepted(report: VerificationReport, accepted: Iterable[AcceptedFinding]) -> list[AcceptedFinding]:
    """Those of which there are more than are accepted, or further on."""
    known = {(it.finding, it.log): it for it in accepted}

    def covers(it: AcceptedFinding) -> bool:
        found = known.get((it.finding, it.log))
        if found is None or it.count > found.count:
            return False
        return it.last is None or (found.last is not None and it.last <= found.last)

    return [it for it in acceptable(report) if not covers(it)]


def is_refused(finding: VerificationFinding, refused: Iterable[AcceptedFinding]) -> bool:
    """Whether a finding is one of those, or damage."""
    return finding.kind.damage or any((it.finding, it.log) == (finding.kind.name, finding.log) for it in refused)


def decoded_findings(content: bytes, name: str) -> list[AcceptedFinding]:
    """Of a file `name`. Raises ConfigError for what `encode_accepted` does not write of such ones."""
    found = decode_accepted(content, AcceptedFinding, name, "findings")
    for it in found:
        if it.finding not in OTHERWISE or it.count < 1:
            raise ConfigError(
                f"{name} accepts {it.count} of {it.finding[:50]!r} in {it.log[:100]}; at least 1 of {', '.join(OTHERWISE)} was "
                "expected, since damage is never accepted: write it again, with --save"
            )
    return found
