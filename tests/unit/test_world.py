"""What a World does with events at the door, and what it answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from streams import Outcome, View
from streams.codec import codec_of
from streams.errors import DefinitionError, InvalidEvent
from streams.testing import START, World, given
from tests.applications import bank, shop
from tests.applications.bank.events import (
    AccountClose,
    AccountCredit,
    AccountOpen,
    AccountRow,
)
from tests.applications.one import app_of
from tests.applications.shop.events import (
    PaymentCharge,
)

OPEN = AccountOpen(account="a", balance=100)


def test_an_event_published_twice_is_handled_once() -> None:
    """The second gets the first answer again, and the log holds one record."""
    world = given(bank.app(), OPEN)
    first = world.when(AccountCredit(account="a", transfer="t", amount=1), id="c1")
    again = world.when(AccountCredit(account="a", transfer="t", amount=1), id="c1")
    assert (first.outcome, again.outcome, again.accepted) == ("accepted", "duplicate", True)
    assert again.row == AccountRow(balance=101)
    assert len(world.log("account")) == 2


def test_a_rejected_id_is_final() -> None:
    """Published again, it gets its rejection again, although the row would now allow it."""
    world = World(bank.app())
    assert world.when(AccountClose(account="a"), id="c1").outcome == "rejected"
    world.when(AccountOpen(account="a", balance=0))
    again = world.when(AccountClose(account="a"), id="c1")
    assert (again.outcome, again.accepted) == ("duplicate", False)
    assert world.table(bank.account).get("a") == AccountRow(balance=0)


def test_one_id_with_two_bodies_is_a_conflict() -> None:
    """The second is quarantined: it is no duplicate, and may not be handled under a name that is taken."""
    world = World(bank.app())
    world.when(OPEN, id="x")
    result = world.when(AccountOpen(account="a", balance=5), id="x")
    assert result.outcome == "quarantined"
    assert "another body" in (result.reason or "")
    assert world.quarantined[0].value == world.encode(AccountOpen(account="a", balance=5))


def test_an_expected_version_is_checked_by_the_owner() -> None:
    """An event that expects another version is rejected; version 0 expects that there is no row."""
    world = given(bank.app(), OPEN)
    credit = AccountCredit(account="a", transfer="t", amount=1)
    assert world.when(credit, expected_version=2).outcome == "rejected"
    right = world.when(credit, expected_version=1)
    assert (right.outcome, right.version) == ("accepted", 3)
    assert world.when(AccountOpen(account="b", balance=0), expected_version=0).accepted
    assert not world.when(AccountOpen(account="b", balance=0), expected_version=0).accepted


def test_bytes_that_nobody_can_read_block_nobody() -> None:
    """They are quarantined as they are, with the reason; the events behind them are handled."""
    world = World(bank.app())
    for value in (b"", b"\xff\xfe", b"account.open\0\xc1", None):
        world.publish("account", b"a", value)
    assert world.when(OPEN).accepted
    assert [unhandled.value for unhandled in world.quarantined] == [b"", b"\xff\xfe", b"account.open\0\xc1", b""]
    assert all(unhandled.reason for unhandled in world.quarantined)


def test_a_world_writes_what_a_worker_writes() -> None:
    """The same bytes, also for what follows and for the row: a test in memory passes where Kafka would."""
    app = bank.app()
    codec, world = codec_of(app), World(app)
    world.when(OPEN)
    [record] = world.log_records("account")
    assert record.value == world.encode(OPEN) == codec.encode(OPEN)
    assert world.steps[0].changes.row_bytes["a"] == codec.encode_row(AccountRow(balance=OPEN.balance))


def test_an_event_without_headers_is_handled() -> None:
    """Any producer may write an inbox: the id comes from the position, the time from the record."""
    world = World(bank.app())
    world.publish("account", b"a", world.encode(OPEN))
    world.settle()
    [(event, header)] = world.log("account")
    assert (event.data, event.time, header.sequence) == (OPEN, START.replace(microsecond=START.microsecond // 1000 * 1000), 1)
    assert event.id == header.id != ""


def test_a_record_with_a_wrong_key_moves_to_its_datas_key() -> None:
    """It is published again under the right key, and handled there once."""
    world = World(bank.app())
    world.publish("account", b"wrong", world.encode(OPEN))
    world.publish("account", None, world.encode(AccountOpen(account="b", balance=1)))
    world.settle()
    assert list(world.table(bank.account)) == ["a", "b"]
    assert [entry.header.outcome for entry in world.log("account")] == ["accepted", "accepted"]


def test_an_unknown_event_blocks_until_its_handler_is_there() -> None:
    """Its partition waits, the others go on, and `blocked` says what is missing."""
    world = World(app_of(lambda row, event: Outcome(row)))
    result = world.when(AccountClose(account="a"))
    assert result.outcome == "blocked"
    assert "account.close" in world.blocked["account"]
    assert world.when(OPEN).outcome == "blocked"


def test_data_that_does_not_fit_its_class_is_not_published() -> None:
    """Constructors check nothing, so what is published is checked, and the sentence names the field."""
    world = World(bank.app())
    wrong: Any = "ten"
    with pytest.raises(InvalidEvent, match=r"account\.open.*balance"):
        world.when(AccountOpen(account="a", balance=wrong))
    with pytest.raises(InvalidEvent, match=r"account\.open\.account.*1 to 512 bytes"):
        world.when(AccountOpen(account="", balance=1))
    with pytest.raises(InvalidEvent, match=r"to 9223372036854775807"):
        world.when(AccountOpen(account="a", balance=2**63))


def test_an_event_of_a_namespace_that_is_not_there_is_refused_at_once() -> None:
    """The sentence names the namespaces that there are."""
    with pytest.raises(DefinitionError, match="no namespace 'payment'; it has: account, transfer"):
        World(bank.app()).when(PaymentCharge(order="o", amount=1))


def test_a_history_that_was_not_accepted_is_a_mistake_of_the_test() -> None:
    """`given` says which event, and why."""
    with pytest.raises(AssertionError, match="rejected, this account is already open"):
        given(bank.app(), OPEN, OPEN)


def test_a_view_that_is_not_there_names_those_that_are() -> None:
    """A path of another length or spelling is no view."""
    world = World(shop.app())
    for path in ("orders-of", "orders-of/c7/x", "nothing/c7"):
        with pytest.raises(DefinitionError, match=r"it has: orders-of/\{customer\}"):
            world.view(path)


def test_a_name_in_a_views_path_is_percent_decoded() -> None:
    """As over HTTP, so that a test asks as a browser does."""
    asked: list[str] = []
    app = replace(shop.app(), views=[View("of/{name}/x", lambda _tables, name: asked.append(name))])
    World(app).view("of/c%2F8/x")
    assert asked == ["c/8"]


def test_every_row_says_up_to_which_record_it_is_true() -> None:
    """A row's version is the sequence of its last accepted event; a rejection leaves it (law 6)."""
    world = given(bank.app(), OPEN, AccountOpen(account="b", balance=0))
    assert world.when(AccountCredit(account="a", transfer="t", amount=1)).version == 3
    assert world.when(OPEN).version == 3
    assert world.when(AccountCredit(account="b", transfer="t", amount=1)).version == 5
    assert [entry.header.sequence for entry in world.log("account")] == [1, 2, 3, 4, 5]


def test_two_worlds_share_nothing() -> None:
    """Neither state nor ids depend on what another World did."""
    one, two = (given(bank.app(), OPEN) for _ in range(2))
    one.when(AccountCredit(account="a", transfer="t", amount=1))
    assert two.table(bank.account).get("a") == AccountRow(balance=100)
    assert one.log_records("account")[:1] == two.log_records("account")
