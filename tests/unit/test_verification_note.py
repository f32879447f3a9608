"""The note of a verification: what is altered afterwards is named, with the place from where it is."""

from __future__ import annotations

import json
from functools import cache

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.cli.commands.verify import compared_text
from streams.errors import ConfigError
from streams.history.verification.verification_digests import LogDigests, tell_unread
from streams.history.verification.verification_findings import Findings, VerificationReport, VerifiedCounts
from streams.history.verification.verification_note import FORMAT, NotedLog, VerificationNote, decoded_note
from streams.history.verification.verification_records import StoredRecord
from tests.support.pasts import made
from tests.support.stored_topics import LOG, StoredTopics, Where

AT = ("account", 0)
some = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(autouse=True)
def tens(monkeypatch: pytest.MonkeyPatch) -> None:
    """A digest of each ten records."""
    monkeypatch.setattr("streams.history.verification.verification_digests.EVERY", 10)


@cache
def records() -> list[StoredRecord]:
    _, there = made("bank", 12)
    return StoredTopics.of(there).topics[Where(LOG, max(there.logs, key=lambda place: len(there.logs[place])))]


def a_log(size: int) -> list[StoredRecord]:
    """Records of one log, as a worker writes them."""
    kept = records()
    return [kept[number % len(kept)]._replace(offset=number, key=b"a@%d" % (number + 1)) for number in range(size)]


def digested(log: list[StoredRecord], since: NotedLog | None = None, *, begins: bool = True) -> LogDigests:
    found = LogDigests(AT, since, begins=begins)
    for record in log:
        found.take(record)
    return found


def compared(log: list[StoredRecord], since: NotedLog, *, hidden: bool = False, begins: bool = True) -> tuple[list[str], list[str]]:
    """Where it is altered, and what could not be compared."""
    findings = Findings()
    digested(log, since, begins=begins).compare(findings, "then", hidden=hidden)
    assert all(it.kind.damage for it in findings.all())
    return [f"{it.where} {it.found}" for it in findings.all()], [it.first for it in findings.not_checked()]


@some
@given(st.integers(0, 45), st.integers(0, 25))
def test_a_log_that_went_on_is_as_it_was_noted(size: int, more: int) -> None:
    """Wherever it ended then, also in the midst of the records of a digest."""
    log = a_log(size + more)
    assert compared(log, digested(log[:size]).noted()) == ([], [])


@some
@given(st.integers(1, 45), st.data())
def test_a_record_that_was_altered_is_named(size: int, data: st.DataObject) -> None:
    """By the ten that it is one of: its key, its value, or a header that nothing else says, such as its recorded time."""
    log = a_log(size)
    since = digested(log).noted()
    number = data.draw(st.integers(0, size - 1))
    record = log[number]
    *others, (name, text) = record.headers
    values = json.loads(text)
    values[1] += 1
    log[number] = data.draw(st.sampled_from([
        record._replace(headers=[*others, (name, json.dumps(values).encode())]),
        record._replace(value=(record.value or b"") + b"\0"),
        record._replace(key=b"b@%d" % (number + 1)),
    ]))  # fmt: skip
    assert compared(log, since) == ([f"account-0:{number // 10 * 10 + 1} other records"], [])


def test_it_is_said_from_where_on() -> None:
    """Of digests that follow each other the first one, whether records were altered, left out, put in or in another order."""
    log = a_log(45)
    since = digested(log).noted()
    assert compared([*log[:12], *log[13:]], since)[0] == ["account-0:11 other records"]
    assert compared([*log[:20], log[19], *log[20:]], since)[0] == ["account-0:11 other records"]
    assert compared([*log[:19], log[20], log[19], *log[21:]], since)[0] == ["account-0:11 other records"]
    swapped = [record._replace(value=b"") if number in (15, 27, 41) else record for number, record in enumerate(log)]
    assert compared(swapped, since)[0] == ["account-0:11 other records", "account-0:41 other records"]
    assert compared(log[:33], since)[0] == ["account-0:31 it ends at account-0:33"]
    assert compared([], since)[0] == ["account-0:1 it is empty"]


def test_what_cannot_be_compared_is_said() -> None:
    """What an operator erased, what was deleted from the beginning, and what an open transaction hides; the rest is compared."""
    log = a_log(45)
    since = digested(log).noted()
    erased = [*log[:12], *log[13:], StoredRecord(99, log[12].key, None, [])]
    assert compared(erased, since) == ([], ["account-0:11"])
    assert compared(log[25:], since, begins=False) == ([], ["account-0:1"])
    assert compared(log[25:], since)[0] == ["account-0:1 other records"]
    assert compared(log[:33], since, hidden=True) == ([], ["account-0:31"])


def test_a_good_end_says_what_was_compared() -> None:
    """Of when the note was, and how many records; not that all is as it was where that is not known."""
    log = a_log(25)
    note = VerificationNote(FORMAT, "bank", "", "2026-11-27T00:10:00Z", {"account-0": digested(log).noted()})
    for now, options, result in (
        (a_log(30), {}, "all of them are as they were"),
        (log[5:], {"begins": False}, "those that could be compared are as they were"),
        ([*log[:3], *log[4:]], {}, "not all of them are as they were"),
    ):
        findings = Findings()
        digested(now, note.logs["account-0"], begins=options.get("begins", True)).compare(findings, note.taken, hidden=False)
        report = VerificationReport(findings.all(), findings.counts, findings.not_checked(), VerifiedCounts())
        assert compared_text(note, report) == f"Compared with the note of 2026-11-27T00:10:00Z, of 25 log records: {result}."


def test_a_noted_log_that_is_not_read_is_told() -> None:
    """Such as of a namespace that the application has no more: nobody should take it for compared."""
    findings, noted = Findings(), digested(a_log(15)).noted()
    since = VerificationNote(FORMAT, "bank", "", "then", {"account-0": noted, "gone-3": noted, "gone-4": NotedLog(0, 0, [])})
    tell_unread(since, [AT], findings)
    assert [(it.first, it.count) for it in findings.not_checked()] == [("gone-3:1", 15)]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is no note of a verification"),
        (b'{"format": 1}', "is no note of a verification"),
        (b'{"format": 2, "taken": {"of": "bank"}}', "is a note of format 2, and this version"),
        (msgspec.json.encode(VerificationNote(FORMAT, "shop", "", "now", {})), "taken of the application 'shop'"),
        (msgspec.json.encode(VerificationNote(FORMAT, "bank", "p-", "now", {})), "with the prefix 'p-'"),
        *(
            (msgspec.json.encode(VerificationNote(FORMAT, "bank", "", "now", {"a-0": log})), "of 'a-0', which no")
            for log in (NotedLog(1, 1001, ["x"]), NotedLog(5, 1, []), NotedLog(0, 9, ["x"]), NotedLog(-3, 9, ["x", "y"]))
        ),
    ],
)
def test_what_is_no_note_of_these_logs_is_refused(content: bytes, sentence: str) -> None:
    """By a sentence that names the file."""
    with pytest.raises(ConfigError, match=rf"old\.note .*{sentence}|old\.note {sentence}"):
        decoded_note(content, "old.note", "bank", "")
