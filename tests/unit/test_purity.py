"""The purity run: what was handled here is handled again in another process, and must come out the same (rule 21)."""

from __future__ import annotations

import itertools
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import processors
from processors.events import FolderRename, UserClose, UserRename, UserSignup
from streams.data import EventData
from streams.errors import ConfigError
from streams.testing import World, given, purity_probe
from tests.applications import bank, shop
from tests.applications.bank.events import AccountClose, AccountOpen, TransferStart
from tests.applications.shop.events import Line, OrderCancel, OrderPlace, StockReceive

NUMBERS = itertools.count(1)
SIGNUP = UserSignup(user="u1", email="u1@example.org", created=datetime(2020, 2, 29, 12, tzinfo=UTC))
DEMO = (
    SIGNUP,
    SIGNUP,
    UserRename(user="u1", name="Ada"),
    FolderRename(folder="u1", name="mine"),
    UserSignup(user="u2", email="u2@example.org"),
    UserClose(user="u1"),
)
BANK = (
    AccountOpen(account="a", balance=100),
    TransferStart(transfer="t1", source="a", target="nobody", amount=50),
    AccountOpen(account="b", balance=0),
    TransferStart(transfer="t2", source="a", target="b", amount=100),
    TransferStart(transfer="t3", source="a", target="b", amount=1),
    AccountClose(account="a"),
)
LINES = tuple(Line(sku=sku, quantity=1) for sku in ("x", "y", "z"))
SHOP = (
    *(StockReceive(sku=sku, quantity=2, price=5) for sku in ("x", "y", "z")),
    OrderPlace(order="o1", customer="c", lines=LINES),
    OrderPlace(order="o2", customer="c", lines=LINES),
    OrderPlace(order="o3", customer="c", lines=LINES),
    OrderCancel(order="o2", why="x"),
)


@pytest.mark.parametrize(
    ("world", "name", "events"),
    [
        (World(processors.app()), "processors:app", DEMO),
        (World(bank.app()), "tests.applications.bank:app", BANK),
        (World(shop.app()), "tests.applications.shop:app", SHOP),
    ],
    ids=["demo", "bank", "shop"],
)
def test_the_applications_are_pure(world: World, name: str, events: tuple[EventData, ...]) -> None:
    """With another hash seed, time zone and locale, and without clock, chance and network, the same bytes come out."""
    for data in events:
        world.when(data)
        world.settle()
    world.advance(timedelta(days=1))
    assert len(world.steps) > len(events)
    assert purity_probe(world, name, seeds=(1,)) == []


PROGRAM = """
from __future__ import annotations
import datetime as clock
import random
import time
import uuid
from datetime import datetime
from streams import App, Event, Namespace, Outcome
from tests.applications.bank.events import AccountCredit, AccountOpen, AccountRow

account = Namespace("account", row=AccountRow)

@account.handles(AccountOpen, emits=[AccountCredit])
def open_account(row, event):
    {line}
    return Outcome(AccountRow(balance=0))

def app():
    return App(name="impure", namespaces=[account])
"""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("return Outcome(AccountRow(balance=time.time_ns()))", "time.time_ns was called"),
        ("return Outcome(AccountRow(balance=id(event)))", "gave other rows"),
        ("datetime.now()", "datetime.now was called"),
        ("clock.datetime.now()", "datetime.now was called"),
        ("random.random()", "random.random was called"),
        ("uuid.uuid4()", "uuid.uuid4 was called"),
        ("return Outcome(AccountRow(balance=hash(event.key)))", "gave other rows"),
        (
            "return Outcome(None, emit=[AccountCredit(account=n, transfer='t', amount=1) for n in set('abcdefgh')])",
            "gave other emissions",
        ),
        ("return Outcome(AccountRow(balance=event.time.astimezone().hour))", "gave other rows"),
    ],
)
def test_an_impure_handler_comes_out_otherwise(
    line: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock, chance, the order of a set, the hash of a text and this machine's time zone each show."""
    name = f"impure_{next(NUMBERS)}"
    (tmp_path / f"{name}.py").write_text(PROGRAM.format(line=line))
    monkeypatch.syspath_prepend(str(tmp_path))
    world = given(__import__(name).app(), AccountOpen(account="a", balance=1))
    found = purity_probe(world, f"{name}:app", seeds=(1,))
    sys.modules.pop(name)
    assert len(found) == 1
    assert expected in found[0]
    assert "account@0" in found[0]


def test_a_process_that_dies_is_reported_with_its_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault in a library says nothing itself."""
    (tmp_path / "faulty.py").write_text("import os, signal\n\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    world = given(bank.app(), AccountOpen(account="a", balance=1))
    with pytest.raises(ConfigError, match="in another process, which was ended by SIGSEGV"):
        purity_probe(world, "faulty:app", seeds=(1,))


def test_what_an_application_prints_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be read as a part of what came out."""
    (tmp_path / "noisy.py").write_text("from tests.applications.bank import app\n\nprint('hello')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    world = given(bank.app(), AccountOpen(account="a", balance=1))
    assert purity_probe(world, "noisy:app", seeds=(1,)) == []


def test_an_application_that_cannot_be_made_there_is_said() -> None:
    """With the other process's own words."""
    world = given(bank.app(), AccountOpen(account="a", balance=1))
    with pytest.raises(ConfigError, match="No module named 'nowhere'"):
        purity_probe(world, "nowhere:app", seeds=(1,))
