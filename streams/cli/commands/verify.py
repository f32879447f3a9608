"""`retold verify`: whether logs, tables and inboxes are whole, unaltered, and what the handlers make of them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from itertools import groupby, islice
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from streams.cli.arguments.options import Json
from streams.cli.arguments.parsers import whole
from streams.cli.output.progress import Advance, bar
from streams.cli.output.screen import json_line, plural, read_or_not, say, talk
from streams.cli.process import exit_codes
from streams.cli.process.named_files import read_named, refuse_present, write_named
from streams.cli.process.session import Session, connect
from streams.engine.readable import named
from streams.history.acceptance_file import encode_accepted
from streams.history.verification.accepted_findings import (
    AcceptedFinding,
    acceptable,
    decoded_findings,
    findings_not_accepted,
    is_refused,
)
from streams.history.verification.verification_digests import NOTED_RECORDS
from streams.history.verification.verification_findings import NOTED, VerificationFinding, VerificationReport
from streams.history.verification.verification_note import VerificationNote, decoded_note
from streams.kafka.cluster_verification import verify_cluster
from streams.kafka.deleted_records import accepted_starts

SHOWN = 20
SMALL = 1024 * 1024
"""Bytes of a file of accepted findings."""
LARGEST = 1 << 30
"""Bytes of a note: one of a million events has some 35,000."""


def verify(
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", parser=whole(1), help=f"Show the first N findings; default: {SHOWN}, with --json all.", metavar="N"
        ),
    ] = None,
    note: Annotated[
        Path | None,
        typer.Option("--note", help="Write a note of what the logs hold to a new file, unless there is damage.", metavar="FILE"),
    ] = None,
    since: Annotated[
        Path | None,
        typer.Option("--since", help="Compare the logs with a note: from where was one altered since?", metavar="FILE"),
    ] = None,
    accept: Annotated[
        Path | None,
        typer.Option("--accept", help="What this code decides otherwise that is accepted, as --save wrote it.", metavar="FILE"),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option("--save", help="Write what this code decides otherwise, to be accepted.", metavar="FILE"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Verify that logs, tables and inboxes are whole and fit together; changes nothing.

    Every event of every log is handled again in memory. Workers may run meanwhile. The exit code is 1 if anything is found that is
    neither accepted nor saved to be; damage is never accepted.

    Example: [bold]retold verify --since last.note --note today.note[/]
    """
    refuse_present(note, "--note")
    known = [] if accept is None else decoded_findings(read_named(accept, SMALL, ". --save writes it"), named(str(accept)))
    session = connect()
    before = None if since is None else _noted(since, session.app.name, session.config.prefix)
    report, seconds = _verified(session, before, noting=note is not None)
    refused = findings_not_accepted(report, known)
    with read_or_not():
        if as_json:
            _show_json(report, refused, seconds, limit, before)
        else:
            _show(report, refused, seconds, limit or SHOWN)
            if before is not None:
                talk(compared_text(before, report))
    if note is not None:
        _keep(note, report)
    if save is not None:
        write_named(save, encode_accepted(acceptable(report)))
        talk(f"What this code decides otherwise was written to {named(str(save))}; with --accept it is exit code 0.")
    raise typer.Exit(_code(report, [] if save is not None else refused))


def _verified(session: Session, since: VerificationNote | None, *, noting: bool) -> tuple[VerificationReport, float]:
    """And how many seconds it took."""
    began = time.monotonic()
    with VerifyProgress() as progress:
        report = verify_cluster(
            session.clients, session.config.prefix, session.app, session.codec, window=session.config.duplicate_window,
            progress=progress.show, since=since, noting=noting, accepted=accepted_starts(session.config.accepted_starts),
        )  # fmt: skip
    return report, time.monotonic() - began


def _code(report: VerificationReport, refused: Sequence[AcceptedFinding]) -> int:
    """What is saved is accepted, and damage never is."""
    return exit_codes.NO if report.damage or refused else exit_codes.OK


def _noted(file: Path, application: str, prefix: str) -> VerificationNote:
    return decoded_note(read_named(file, LARGEST, ". --note writes it"), named(str(file)), application, prefix)


def _keep(file: Path, report: VerificationReport) -> None:
    if report.damage:
        talk(f"There is damage, so no note was written to {named(str(file))}.")
        return
    write_named(file, msgspec.json.encode(report.note))
    talk(f"What the logs hold was noted in {named(str(file))}. Keep it where nobody writes who can write to Kafka.")


class VerifyProgress(ExitStack):
    """A bar, from when it is known how much there is to read."""

    _advance: Advance | None = None

    def show(self, done: int, total: int) -> None:
        if self._advance is None:
            self._advance = self.enter_context(bar("verifying", total, "records"))
        self._advance(done)


def _refused(report: VerificationReport, refused: Iterable[AcceptedFinding]) -> list[VerificationFinding]:
    """Those that are not accepted."""
    return [it for it in report.findings if is_refused(it, refused)]


def _show_json(
    report: VerificationReport, refused: Sequence[AcceptedFinding], seconds: float, limit: int | None,
    before: VerificationNote | None = None,
) -> None:
    """A line for each finding that is not accepted, one for each kind of what was not checked, and the summary."""
    for it in islice(_refused(report, refused), limit):
        json_line({
            "finding": it.kind.name, "damage": it.kind.damage, "where": it.where,
            "namespace": it.namespace, "partition": it.partition, "offset" if it.is_offset else "sequence": it.number,
            "key": it.key, "expected": it.expected, "found": it.found, "do": it.kind.do,
        })  # fmt: skip
    for each in report.not_checked:
        json_line({"not_checked": each.what, "count": each.count, "first": each.first})
    counts = {kind.name: count for kind, count in report.counts.items()}
    json_line({
        "damage": report.damage, "otherwise": report.otherwise, "accepted": report.otherwise - _count(refused), "findings": counts,
        "read": msgspec.to_builtins(report.read), "seconds": round(seconds, 2),
        **({} if before is None else {"since": {"taken": before.taken, "records": before.records}}),
    })  # fmt: skip


def _count(of: Iterable[AcceptedFinding]) -> int:
    return sum(it.count for it in of)


def _show(report: VerificationReport, refused: Sequence[AcceptedFinding], seconds: float, limit: int) -> None:
    shown = [*islice(_refused(report, refused), limit)]
    for kind, found in groupby(shown, key=lambda it: it.kind):
        say(f"{kind.name}: {report.counts[kind]:,}")
        _show_findings(found)
        say(f"  {kind.do}.")
    accepted = report.otherwise - _count(refused)
    total = report.damage + report.otherwise - accepted
    if len(shown) < total:
        talk(f"The first {len(shown):,} of {total:,} findings are shown; --limit shows more.")
    for each in report.not_checked:
        talk(f"Not checked: {each.what}: {each.count:,}, from {each.first} on.")
    talk(f"{_read(report)} in {seconds:,.1f} s: {_result(report)}{f', {accepted:,} of them accepted' if accepted else ''}.")
    if refused:
        talk(
            "This code decides some events otherwise than they were recorded. If the code has changed since, verify with the "
            "version that wrote them; what that version finds too is damage. What the change explains can be accepted: --save "
            "FILE, and from then on --accept FILE."
        )


def compared_text(before: VerificationNote, report: VerificationReport) -> str:
    """What came of the comparison with a note."""
    if NOTED in report.counts:
        result = "not all of them are as they were"
    elif any(each.what.startswith(NOTED_RECORDS) for each in report.not_checked):
        result = "those that could be compared are as they were"
    else:
        result = "all of them are as they were"
    return f"Compared with the note of {before.taken}, of {plural(before.records, 'log record')}: {result}."


def _show_findings(found: Iterable[VerificationFinding]) -> None:
    for it in found:
        say(f"  {it.where}  expected: {it.expected}; found: {it.found}")


def _read(report: VerificationReport) -> str:
    read = report.read
    return f"{plural(read.log, 'log record')}, {plural(read.inbox, 'inbox record')} and {plural(read.rows, 'row')} verified"


def _result(report: VerificationReport) -> str:
    if not report.damage and not report.otherwise:
        return "all is as it should be" if not report.not_checked else "nothing is wrong in what could be checked"
    damage = "no damage" if not report.damage else plural(report.damage, "finding") + " of damage"
    return f"{damage}, {plural(report.otherwise, 'event or row', 'events and rows')} that this code decides otherwise"
