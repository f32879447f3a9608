"""What makes an event unique, and what is derived from it: publishers that number their events do not meet (rule 17)."""

from __future__ import annotations

from uuid import uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import json

from streams import Event, Outcome
from streams.codec import codec_of
from streams.engine.batch import CallAnswer
from streams.engine.engine import Engine
from streams.engine.identity import answer_id, emitted_id, fingerprint_of, short_fingerprint, short_fingerprints
from streams.engine.records import Headers, InboxRecord
from streams.engine.stored import due_record
from streams.event import RETOLD, derived_id, reference_of
from streams.testing import World
from streams.worker.image_reader import ImageReader
from tests.applications import shop
from tests.applications.bank.events import AccountCredit, AccountOpen, AccountRow
from tests.applications.one import app_of
from tests.applications.shop.events import PaymentCharge, PaymentCharged
from tests.support.answers import came_of
from tests.support.kept import Kept

APP = shop.app()
CODEC = codec_of(APP)
U1, U2 = (str(uuid5(RETOLD, name)) for name in "12")


def said(source: str | None, event_id: str | None) -> Headers:
    texts = {"ce_source": source, "ce_id": event_id}
    return [(name, text.encode()) for name, text in texts.items() if text is not None]


def opens() -> World:
    """`account.open` of any account credits the account x."""

    def open_(row: AccountRow | None, event: Event[AccountOpen]) -> Outcome[AccountRow]:
        return Outcome(
            AccountRow(balance=0), emit=[AccountCredit(account="x", transfer="t", amount=event.data.balance)]
        )

    return World(app_of(open_, emits=[AccountCredit]))


@pytest.mark.parametrize("second", [1, 2])
@pytest.mark.parametrize("number", ["1", U1])
def test_what_two_publishers_events_of_one_number_emit_is_handled_twice(number: str, second: int) -> None:
    """With equal bodies it would be swallowed as a duplicate, with others quarantined as a conflict."""
    world = opens()
    for source, amount in (("shop", 1), ("till", second)):
        data = AccountOpen(account=source, balance=amount)
        world.publish("account", source.encode(), world.encode(data), said(source, number))
    world.settle()
    assert world.image("account").rows["x"][0] == AccountRow(balance=1 + second)
    assert (world.quarantined, world.image("account").counters.duplicates) == ([], 0)
    assert [entry.event.cause for entry in world.log("account")] == [None, None, number, number]


def charge(offset: int, source: str | None, event_id: str | None) -> InboxRecord:
    key = f"o{offset}"
    return (offset, key.encode(), CODEC.encode(PaymentCharge(order=key, amount=1)), said(source, event_id), 7)


def test_two_publishers_requests_of_one_number_are_both_called_and_answered() -> None:
    """Each waits for its own answer, and an answer settles one call."""
    engine = Engine(APP, "payment", CODEC)
    image = engine.image()
    image.apply(engine.handle(image, [charge(0, "shop", "1"), charge(1, "till", "1")], 10))
    assert [call.event.key for call in image.calls.values()] == ["o0", "o1"]
    for offset, call in enumerate(list(image.calls.values()), start=2):
        answer = PaymentCharged(order=call.event.key, receipt="r")
        [emitted] = came_of(engine, image, CallAnswer(call, answer), 11).emitted
        image.apply(engine.handle(image, [(offset, emitted.key, emitted.value, emitted.headers, 0)], 12))
        assert len(image.calls) == 3 - offset
    assert (image.counters.accepted, image.counters.rejected, image.quarantined) == (4, 0, 0)


@pytest.mark.parametrize("number", ["1", U1, None])
@pytest.mark.parametrize("source", ["shop", "retold/client", "", None])
def test_a_call_that_is_restored_is_the_one_that_was_kept(source: str | None, number: str | None) -> None:
    """Under a key of its own in the due topic, also if its event came without an id."""
    engine = Engine(APP, "payment", CODEC)
    image, reading = engine.image(), ImageReader(engine, 0)
    image.apply(engine.handle(image, [charge(0, source, number), charge(1, "till", "1")], 10))
    for call in image.calls.values():
        reading.due(Kept(*due_record("payment", call)))  # type: ignore[arg-type]  # reads alike
    assert reading.image().calls == image.calls
    assert len(image.calls) == 2


def test_the_source_of_a_cause_travels_only_where_its_id_alone_does_not_name_it() -> None:
    """A reader can verify both; a numbered cause is believed of its own source only."""
    world = opens()
    for source, number in (("shop", "1"), ("retold/client", U1), (None, "2"), ("shop", U2)):
        world.publish("account", b"a", world.encode(AccountOpen(account="a", balance=1)), said(source, number))
    emitted = [dict(record.headers) for step in world.settle().steps for record in step.changes.emitted]
    sources = [headers.get("ce_causationsource") for headers in emitted]
    assert sources == [b"shop", None, None, b"shop"]
    assert [entry.event.cause for entry in world.log("account")[4:]] == ["1", U1, "2", U2]

    forged = [(name, b"till" if name == "ce_causationsource" else text) for name, text in emitted[0].items()]
    forged = [(name, b"elsewhere" if name == "ce_source" else text) for name, text in forged]
    world.publish("account", b"x", world.encode(AccountCredit(account="x", transfer="t", amount=1)), forged)
    assert world.settle().log("account")[-1].event.cause is None


def test_a_uuid_of_ours_names_one_event_whichever_of_our_commands_published_it() -> None:
    """Who repeats with another command what he is not sure of changes nothing; sources of others are kept apart."""
    world = opens()
    for source in ("retold/client", "retold/publish", None, "shop", "till"):
        world.publish("account", b"a", world.encode(AccountOpen(account="a", balance=1)), said(source, U1))
    assert world.settle().image("account").counters.duplicates == 2
    assert world.image("account").rows["x"][0] == AccountRow(balance=3)


sources = st.sampled_from(["", "retold/client", "retold/publish", "shop", "till", "1", "till\0", "3 til"]) | st.text()
numbers = st.sampled_from([U1, U2, U1.upper(), "1", "2", "", "\x001", "l1"]) | st.text()
pairs = st.tuples(sources, numbers)


def is_ours(pair: tuple[str, str]) -> bool:
    return (not pair[0] or pair[0].startswith("retold/")) and pair[1] in (U1, U2)


@given(st.lists(st.text() | st.integers(-(2**63), 2**63 - 1) | st.none()))
def test_a_derived_id_is_the_uuid5_that_everyone_makes_of_its_parts(parts: list[object]) -> None:
    """The variant's and the version's digits included, so another program can derive it with its own library."""
    assert derived_id(*parts) == str(uuid5(RETOLD, json.encode(parts).decode()))


@given(pairs, pairs, st.text(), st.text())
def test_ids_that_follow_are_equal_only_for_one_and_the_same_event(
    one: tuple[str, str], other: tuple[str, str], event_type: str, key: str
) -> None:
    """And what the door takes for two events never gives equal ids: it goes by the same identity."""
    same = one == other or (is_ours(one) and is_ours(other) and one[1] == other[1])
    first, second = reference_of(*one), reference_of(*other)
    assert (first == second) is same
    assert (emitted_id(first, event_type, key, 0) == emitted_id(second, event_type, key, 0)) is same
    assert (answer_id(first) == answer_id(second)) is same
    assert (fingerprint_of(*one) == fingerprint_of(*other)) is same


@given(pairs)
def test_a_reference_is_a_uuid(pair: tuple[str, str]) -> None:
    """It fits where an idempotency key is asked for, and naming it again gives it again."""
    reference = reference_of(*pair)
    assert len(reference) == 36
    assert reference_of("", reference) == reference
    assert (reference == pair[1]) is is_ours(pair)


@given(pairs)
def test_an_event_is_found_by_its_reference(pair: tuple[str, str]) -> None:
    """A file has 64 bits of it, made without the reference: they are among those that the reference gives."""
    own = short_fingerprint(*pair)
    assert own in short_fingerprints(reference_of(*pair))
    assert -(2**63) <= own < 2**63


def test_nobody_chooses_the_bits_of_another_event() -> None:
    """A publisher may choose any UUID as an id. Those of a reference that is derived are no hash, so an id has other ones."""
    reference = reference_of("web", "1")
    assert short_fingerprint("web", "1") == short_fingerprints(reference)[1]
    assert short_fingerprint("", reference) == short_fingerprints(reference)[0] != short_fingerprints(reference)[1]
