"""A change as JSON: what `retold what-if` and `POST /what-if` take."""

from __future__ import annotations

import pytest

from streams.errors import InvalidEvent, NoSuchEvent
from streams.history.branch.change_document import answers_of, change_of, decode_document
from streams.history.recorded_event import RecordedEvent
from streams.testing.world import event
from tests.applications import bank, shop
from tests.applications.bank.events import TransferStart
from tests.applications.shop.events import PaymentCharge, PaymentCharged
from tests.support.pasts import START, made, past_of

PAST = past_of(made("bank", 4)[1])


def find(name: str) -> RecordedEvent:
    found = next((it for it in PAST.events() if it.event.id == name.rstrip("@")), None)
    if found is None:
        raise NoSuchEvent(f"no event {name}")
    return found


def test_all_that_a_change_may_hold() -> None:
    """Events are named by what people know; a time is left out where `after` gives one."""
    text = b"""{"insert": [{"type": "transfer.start", "time": "2026-01-01T00:00:00Z", "id": "new", "source": "me",
        "data": {"transfer": "t", "source": "a0", "target": "a1", "amount": 3}},
        {"type": "account.open", "after": "start-0", "data": {"account": "x", "balance": 1}}],
        "remove": ["open-a0"], "replace": {"start-0": {"transfer": "t0", "source": "a0", "target": "a1", "amount": 4}}}"""
    change = change_of(bank.app(), decode_document(text), find)
    first, second = change.insert
    assert (first.data, first.time, first.id, first.source) == (
        TransferStart(transfer="t", source="a0", target="a1", amount=3), START, "new", "me",
    )  # fmt: skip
    assert (second.after, second.time) == (find("start-0").exact_name, find("start-0").event.time)
    assert change.remove == {find("open-a0").exact_name}
    [[reference, data]] = change.replace.items()
    assert reference == find("start-0").exact_name
    assert isinstance(data, TransferStart)
    assert data.amount == 4


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"[]", "this is no change"),
        (b'{"insrt": []}', "this is no change: Object contains unknown field `insrt`"),
        (b'{"remove": ["nowhere"]}', "no event nowhere"),
        (b'{"insert": [{"type": "transfer.strat", "data": {}}]}', r"bank handles no event 'transfer\.strat' \(did you mean"),
        (b'{"insert": [{"type": "account.open", "data": {"account": "a", "balance": 1}}]}', "put in without a time"),
        (b'{"insert": [{"type": "account.open", "time": "2026-01-01", "data": {"account": "a", "balance": 1}}]}',
         "is '2026-01-01'; a time with a zone, such as 2026-01-31T12:00:00Z, was expected"),
        (b'{"insert": [{"type": "account.open", "data": {"account": "a"}}]}', r"account\.open: field 'balance' is missing"),
        (b'{"replace": {"start-0": {"transfer": 3}}}', r"transfer\.start: field 'transfer' is 3; a text was expected"),
        (b'{"remove": [' + b",".join([b'"a"'] * 1001) + b"]}", "names 1001 events; at most 1000"),
        (b'{"replace": {"start-0": {"transfer": "t", "source": "a", "target": "b", "amount": 1}, "start-0@": '
         b'{"transfer": "t", "source": "a", "target": "b", "amount": 2}}}', r"start-0@ is replaced twice"),
        (b"[" * 100_000, "this is no change"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_by_a_sentence(text: bytes, sentence: str) -> None:
    """It names the field."""
    with pytest.raises((InvalidEvent, NoSuchEvent), match=sentence):
        change_of(bank.app(), decode_document(text), find)


def test_answers_have_the_key_of_their_request() -> None:
    """One answer serves all requests of a type; for others nothing is known."""
    text = b'{"answers": {"payment.charge": {"type": "payment.charged", "data": {"receipt": "r"}}}}'
    answers = answers_of(shop.app(), decode_document(text))
    assert answers is not None
    assert answers(event(PaymentCharge(order="o7", amount=3))) == PaymentCharged(order="o7", receipt="r")
    assert answers_of(shop.app(), decode_document(b"{}")) is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b'{"answers": {"order.place": {"type": "payment.charged"}}}', r"order\.place has no gateway"),
        (b'{"answers": {"payment.charge": {"type": "order.paid"}}}', r"does not answer order\.paid; it declares"),
    ],
)
def test_an_answer_that_nobody_gives_is_refused(text: bytes, sentence: str) -> None:
    """A gateway answers what it declares."""
    with pytest.raises(InvalidEvent, match=sentence):
        answers_of(shop.app(), decode_document(text))
