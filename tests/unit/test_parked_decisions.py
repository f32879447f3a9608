"""An operator's command about events that are set aside is checked before it is sent: inbox offset, and the answer to a request."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

import processors
from processors.events import EmailSend, EmailSent
from streams.cli.arguments.lookup import namespace_named
from streams.cli.arguments.wrong_usage import WrongUsage
from streams.cli.commands.parked_commands import _standing_still
from streams.cli.commands.parked_decisions import answer_of, has_its_turn, is_called, what_followed, what_next
from streams.codec import codec_of
from streams.engine.envelope import ParkedHeader
from streams.engine.parking import BEHIND
from streams.errors import InvalidEvent
from streams.kafka.parked import InboxOffset, ParkedEntry
from streams.kafka.parked_checks import first_at, one_at, why_unchanged
from streams.receipt import EventOutcome

APP = processors.app()
CODEC = codec_of(APP)
REQUEST = CODEC.encode(EmailSend(email="u1/welcome", to="e", template="welcome"))
ANSWER = ("email.sent", "email=u1/welcome", "to=e", "receipt=by hand")


def kept(offset: int, status: str, key: str | None) -> ParkedEntry:
    header = ParkedHeader(status, "it had to be", "", key, "email", 0, offset, 1)
    return ParkedEntry(InboxOffset("email", 0, offset), header, REQUEST, [])


QUEUES = [
    kept(0, "parked", "a"),
    kept(1, "quarantined", None),
    kept(2, "unanswered", "u1/welcome"),
    kept(3, "parked", "a"),
]


def inbox_offset(offset: int) -> InboxOffset:
    return InboxOffset("email", 0, offset)


def test_the_first_of_a_queue_is_the_one_to_name() -> None:
    """Each key has a queue of its own."""
    assert first_at(inbox_offset(0), QUEUES) == (QUEUES[0], "a")
    assert first_at(inbox_offset(2), QUEUES) == (QUEUES[2], "u1/welcome")


@pytest.mark.parametrize(
    ("offset", "message"),
    [
        (3, "email-0@3 is not the first parked event of the key 'a', .* it is email-0@0"),
        (1, r"email-0@1 is quarantined: it blocks no other event, .* \(it had to be\)"),
        (9, "nothing is set aside at email-0@9: see `retold parked list email`"),
    ],
)
def test_an_inbox_offset_that_no_command_applies_to_is_refused(offset: int, message: str) -> None:
    """No worker would act on it, so nothing is sent, and nobody waits; for an event behind another one, that one is named."""
    with pytest.raises(InvalidEvent, match=message):
        first_at(inbox_offset(offset), QUEUES)


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (QUEUES, "email-0@0 is as it was: its worker has seen the decision, and cannot read or handle the event"),
        ([kept(-1, "unanswered", "a"), *QUEUES], "meanwhile email-0@-1 was set aside before it, and only the first"),
        ([*QUEUES, kept(9, "quarantined", None)], "could not be carried out, and is quarantined as email-0@9: it had to be"),
    ],
    ids=["not handled here", "not the first any more", "refused"],
)
def test_a_decision_that_changed_nothing_has_a_reason(found: list[ParkedEntry], why: str) -> None:
    """Somebody was faster, or its worker could not: a later look would find the same."""
    assert why in why_unchanged(inbox_offset(0), "a", inbox_offset(9), found)


def test_all_of_one_is_found_whatever_it_is() -> None:
    """To be shown, it need not be the first."""
    assert [one_at(inbox_offset(offset), QUEUES) for offset in range(4)] == QUEUES


def test_an_answer_is_what_the_gateway_would_have_said() -> None:
    """In the bytes that a log holds."""
    given = answer_of(APP, CODEC, QUEUES[2], ANSWER)
    assert CODEC.decode(given) == EmailSent(email="u1/welcome", to="e", receipt="by hand")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "an answer is an event: give its type"),
        (["user.close", "user=u1"], "does not answer with user.close; it declares: email.sent, email.bounced"),
        (["email.send", "email=u1/welcome"], "does not answer with email.send; it declares"),
        (["email.snt"], "did you mean email.sent"),
        (
            ["email.sent", "email=u2", "to=e", "receipt=r"],
            "about 'u1/welcome', and this answer is about 'u2'.*the field 'email' must be 'u1/welcome'",
        ),
        (["email.sent", "email=u1/welcome", "to=e"], "field 'receipt' is missing"),
    ],
)
def test_an_answer_that_the_gateway_could_not_give_is_refused(words: list[str], message: str) -> None:
    """Its owner would quarantine it; it is not sent, and the message says what was expected."""
    with pytest.raises((InvalidEvent, WrongUsage), match=message):
        answer_of(APP, CODEC, QUEUES[2], words)


def test_only_a_request_is_answered() -> None:
    """Neither what its handler parked, nor a request whose gateway was removed from the application."""
    with pytest.raises(InvalidEvent, match="parked by its handler, not by its gateway"):
        answer_of(APP, CODEC, QUEUES[0], ANSWER)
    without = replace(APP, gateways=[])
    with pytest.raises(InvalidEvent, match="has no gateway for it now"):
        answer_of(without, CODEC, QUEUES[2], ANSWER)


def test_a_request_that_is_tried_again_is_not_called_settled() -> None:
    """Its gateway is called, which may fail again later; all else is free at once."""
    assert what_followed("retry", QUEUES[2]) == (
        "email-0@2 is a request, and its gateway is called again; if that fails, see `retold parked list email`."
    )
    assert what_followed("answer", QUEUES[2]) == "email-0@2 is no longer set aside."
    assert what_followed("retry", QUEUES[0]) == "email-0@0 is no longer set aside."
    rejected, accepted = EventOutcome(outcome="rejected", reason="a typo"), EventOutcome(outcome="accepted")
    said = what_followed("reject", QUEUES[0], rejected, handled=1)
    assert said == "email-0@0 was rejected: a typo; 1 event behind it was handled."
    assert what_followed("retry", QUEUES[0], accepted, handled=2, left=[QUEUES[3]]) == (
        "email-0@0 was accepted; 2 events behind it were handled; 1 event behind it is still parked."
    )
    assert [is_called(QUEUES), is_called(QUEUES[:2])] == [True, False]


def behind(offset: int) -> ParkedEntry:
    it = kept(offset, "parked", "a")
    return it._replace(header=msgspec.structs.replace(it.header, reason=BEHIND))


def test_what_a_worker_has_not_tried_yet_is_not_said_to_be_parked_still() -> None:
    """It goes on with such a queue, and is waited for; one that was tried and set aside again stands still."""
    assert [has_its_turn(it) for it in ([behind(4)], [QUEUES[0], behind(4)], [QUEUES[2]], [])] == [True, False, False, False]
    assert what_followed("retry", QUEUES[0], EventOutcome(outcome="accepted"), left=[behind(4), behind(5)]) == (
        "email-0@0 was accepted; 2 events behind it are not handled yet: see `retold parked list email`."
    )


def test_a_queue_is_looked_at_until_its_worker_does_not_go_on() -> None:
    """Or has handled nothing of it for some time."""
    looks = iter([[behind(4), behind(5)], [behind(5)], [behind(5)], []])
    assert _standing_still(lambda: next(looks), 10) == []
    failed = iter([[behind(4), behind(5)], [QUEUES[0], behind(5)]])
    assert _standing_still(lambda: next(failed), 10) == [QUEUES[0], behind(5)]
    assert _standing_still(lambda: [behind(4)], 0.3) == [behind(4)]


def test_a_namespace_that_is_mistyped_is_guessed() -> None:
    """Wherever a command takes one; for what resembles none, those that there are are listed."""
    assert namespace_named(APP, "user").name == "user"
    with pytest.raises(WrongUsage, match=r"no namespace 'users'; it has: .* \(did you mean user\?\)$"):
        namespace_named(APP, "users")
    with pytest.raises(WrongUsage, match=r"it has: user, folder, email$"):
        namespace_named(APP, "xyzzy")


def test_only_what_can_be_done_is_offered() -> None:
    """What is quarantined cannot be retried, rejected or answered."""
    assert "retry, reject or answer" in what_next(QUEUES)
    assert "retry" not in what_next([QUEUES[1]])
    assert "`retold parked show INBOX-OFFSET`" in what_next([QUEUES[1]])
