"""What a verification finds and other code explains, accepted: as much as there was, up to where it was, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from streams.cli.commands import verify
from streams.errors import ConfigError
from streams.history.acceptance_file import encode_accepted
from streams.history.verification import verification_findings
from streams.history.verification.accepted_findings import (
    AcceptedFinding,
    acceptable,
    decoded_findings,
    findings_not_accepted,
)
from streams.history.verification.verification_findings import VerificationReport
from tests.applications import bank
from tests.applications.bank.events import AccountCredit, AccountDebit, AccountOpen, TransferStart
from tests.support.other_code import Change, refusing, row_with, silent, with_change
from tests.support.partitions import Partitions
from tests.support.pasts import START, made
from tests.support.stored_topics import LOG, StoredTopics


def a_year_later(refused: set[str]) -> tuple[Partitions, Callable[[], VerificationReport]]:
    """A bank whose code refuses debits of some accounts, once they are named; and its verification by that code."""
    app = with_change(bank.app(), AccountDebit, refusing(refused))
    there = Partitions(app, 1, now=START)
    for name in "abc":
        there.publish(AccountOpen(account=name, balance=100), f"open-{name}", START)
    move(there, "a", "b")
    return there, lambda: StoredTopics.of(there).verified(app)


def move(there: Partitions, source: str, target: str) -> None:
    name = f"t{len(there.logs['transfer', 0])}"
    there.publish(TransferStart(transfer=name, source=source, target=target, amount=1), name, there.now)
    there.settle()


def test_what_was_accepted_after_a_stricter_fix_is_accepted_from_then_on() -> None:
    """The exit code is 0 while events are handled by the new code; what it decides otherwise further on is not accepted."""
    refused = set[str]()
    there, verified = a_year_later(refused)
    assert verified().otherwise == 0
    refused.add("a")  # the stricter fix is deployed
    report = verified()
    accepted = acceptable(report)
    assert [(it.finding, it.log, it.count) for it in accepted] == [("decides otherwise", "account-0", 1)]
    assert (report.damage, findings_not_accepted(report, [])) == (0, accepted)
    for source in "abcb":
        move(there, source, "c" if source != "c" else "a")
    assert len(there.logs["account", 0]) > 8
    later = verified()
    assert (later.damage, later.otherwise, findings_not_accepted(later, accepted)) == (0, 1, [])
    refused.add("b")
    report = verified()
    assert [(it.finding, it.count) for it in findings_not_accepted(report, accepted)] == [("decides otherwise", 2)]
    refused -= {"a", "b"}  # a looser fix: the refusals that were recorded since are otherwise now
    looser = verified()
    assert looser.damage == 0
    [further] = findings_not_accepted(looser, accepted)
    assert further.last is not None
    assert further.last > (accepted[0].last or 0)
    assert findings_not_accepted(looser, acceptable(looser)) == []


@pytest.mark.parametrize(
    ("event", "change"), [(AccountDebit, silent), (AccountCredit, row_with(balance=lambda it: it + 1))], ids=["emits", "folds"]
)
@pytest.mark.parametrize("kept", [1, 1_000])
def test_what_is_emitted_or_folded_otherwise_can_be_accepted(
    event: type[AccountDebit | AccountCredit], change: Change, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also beyond the findings that are kept. One less that is accepted, or in one log less, is not enough."""
    monkeypatch.setattr(verification_findings, "KEPT", kept)
    _, there = made("bank", 11)
    report = StoredTopics.of(there).verified(with_change(bank.app(), event, change))
    accepted = acceptable(report)
    assert sum(it.count for it in accepted) == report.otherwise > 1
    assert findings_not_accepted(report, accepted) == []
    assert findings_not_accepted(report, accepted[1:]) == accepted[:1]
    first, *others = accepted
    fewer = AcceptedFinding(first.finding, first.log, first.count - 1, first.last)
    earlier = AcceptedFinding(first.finding, first.log, first.count, 0)
    assert findings_not_accepted(report, [fewer, *others]) == [first]
    assert bool(findings_not_accepted(report, [earlier, *others])) == (first.last is not None)


def test_what_is_accepted_is_counted_and_not_shown_again(capsys: pytest.CaptureFixture[str]) -> None:
    """For people and for programs; with nothing accepted each is shown, with how to accept it."""
    refused = set[str]()
    _, verified = a_year_later(refused)
    refused.add("a")
    report = verified()
    accepted = acceptable(report)
    verify._show(report, accepted, 0.1, 20)
    out, err = capsys.readouterr()
    assert "decides otherwise: 1" in out
    assert "it is rejected: not today" in out
    assert "can be accepted: --save FILE" in err
    verify._show(report, [], 0.1, 20)
    out, err = capsys.readouterr()
    assert out == ""
    assert "no damage, 1 event or row that this code decides otherwise, 1 of them accepted." in err
    assert (verify._code(report, accepted), verify._code(report, [])) == (1, 0)
    verify._show_json(report, [], 0.1, None)
    *others, summary = map(json.loads, capsys.readouterr().out.splitlines())
    assert [it for it in others if "finding" in it] == []
    assert (summary["otherwise"], summary["accepted"]) == (1, 1)


def test_damage_is_never_accepted() -> None:
    """It cannot be written into the file, and is shown beside what is accepted."""
    _, there = made("bank", 11)
    topics = StoredTopics.of(there)
    where, index = topics.of_kind(LOG)[3]
    del topics.topics[where][index]
    report = topics.verified(with_change(bank.app(), AccountCredit, row_with(balance=lambda it: it + 1)))
    accepted = acceptable(report)
    assert report.damage > 0
    assert findings_not_accepted(report, accepted) == []
    assert verify._code(report, []) == 1, "also if all else is saved"
    assert {it.kind.damage for it in verify._refused(report, [])} == {True}
    assert verify._refused(report, accepted) == list(report.findings)
    with pytest.raises(ConfigError, match="damage is never accepted"):
        decoded_findings(encode_accepted([AcceptedFinding("wrong row", "account-0", 1, 3)]), "accepted.json")


def test_the_file_is_for_people_and_is_read_strictly() -> None:
    """A line for each; what --save does not write is refused."""
    accepted = [AcceptedFinding("decides otherwise", "account-0", 2, 7), AcceptedFinding("folds otherwise", "account-1", 1)]
    content = encode_accepted(accepted)
    assert content.decode().splitlines()[1] == '  {"finding":"decides otherwise","log":"account-0","count":2,"last":7},'
    assert decoded_findings(content, "accepted.json") == accepted
    assert decoded_findings(encode_accepted([]), "accepted.json") == []
    for wrong in (b"", b"{}", b'[{"finding": "decides otherwise", "log": "a-0", "count": 0, "last": 3}]', content + b"]"):
        with pytest.raises(ConfigError, match=r"accepted\.json .*write it again, with --save"):
            decoded_findings(wrong, "accepted.json")
