"""The laws that are read from an application's source: each breach is found, with its file and line.

A test writes a module, marks the line that breaks a law with `# here`, and expects one breach, there.
"""

from __future__ import annotations

import importlib
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import processors
from streams import App
from streams.checks import Breach, check, cycles, timer_advice
from streams.errors import BadName, DuplicateHandler
from tests.applications import bank, shop, timed

ROOT = Path(__file__).parents[2]
NUMBERS = itertools.count(1)
PROGRAM = """
from __future__ import annotations
from datetime import date, datetime, timedelta
import datetime as clock
import functools
import uuid
from collections.abc import Awaitable
from typing import Any
from msgspec.structs import replace
from streams import App, Event, Gateway, Namespace, Outcome, Projection, Rejected, Scheduled, View
from streams.data import EventData, Record
from tests.applications.bank.events import *
from tests.applications.shop.events import PaymentCharge, PaymentCharged, PaymentDeclined, PaymentRefund, PaymentRow

account = Namespace("account", row=AccountRow)
SEEN: dict[str, int] = {}
"""
PLAIN = """
@account.handles(AccountOpen)
def open_account(row, event):
    return Outcome(AccountRow(balance=event.data.balance))

def app():
    return App(name="written", namespaces=[account])
"""

Write = Callable[[str], tuple[App, Path, int]]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write a module behind PROGRAM and import it: its application, its file, and the line marked `# here`."""
    monkeypatch.syspath_prepend(str(tmp_path))
    names: list[str] = []

    def written(code: str) -> tuple[App, Path, int]:
        names.append(name := f"written_{next(NUMBERS)}")
        file = tmp_path / f"{name}.py"
        file.write_text(PROGRAM + code)
        marked = [number for number, line in enumerate(file.read_text().splitlines(), start=1) if "# here" in line]
        return importlib.import_module(name).app(), file, marked[0] if marked else 0

    yield written
    for name in names:
        sys.modules.pop(name, None)


def handler(body: str, emits: str = "", before: str = "") -> str:
    """A module with one handler, whose body and emits=[…] are given, behind what is defined `before`."""
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return f"""
{before}
@account.handles(AccountOpen, emits=[{emits}])
def open_account(row, event):
{lines}
    return Outcome(row)

@account.handles(AccountClose)
def close(row, event):
    return Outcome(None)

def app():
    return App(name="written", namespaces=[account])
"""


@pytest.mark.parametrize("app", [bank.app, shop.app, processors.app], ids=["bank", "shop", "demo"])
def test_a_lawful_application_has_no_breach(app: Callable[[], App]) -> None:
    """The bank, the shop and the demo keep every law."""
    assert check(app()) == []


def test_lawful_code_is_not_taken_for_impure(write: Write) -> None:
    """Dates are computed, ids derived, local things changed, and a helper's own counter counted."""
    code = handler(
        """\
later = event.time + timedelta(days=1)
day = datetime.fromisoformat("2026-01-01T00:00:00+00:00") if later else date(2026, 1, 1)
name = uuid.uuid5(uuid.NAMESPACE_URL, event.key)
mine = {}
mine["x"] = 1
mine.update(y=2)
count = 0
def counted():
    nonlocal count
    count += 1
counted()
from urllib.parse import quote
if quote(event.key) == str(name):
    raise Rejected("no")"""
    )
    app, _, _ = write(code)
    assert check(app) == []


IMPURE = {
    "clock": ("import time", "time.time()  # here", "uses time.time, which depends on the clock"),
    "clock by name": ("from time import time as t", "t()  # here", "uses t, which depends on the clock"),
    "now": ("", "datetime.now()  # here", "uses datetime.now, which depends on the clock"),
    "utcnow": ("", "clock.datetime.utcnow()  # here", "depends on the clock"),
    "today": ("", "date.today()  # here", "uses date.today, which depends on the clock"),
    "chance": ("import random", "random.random()  # here", "depends on chance"),
    "chance by name": ("from random import choice", "choice([1, 2])  # here", "depends on chance"),
    "secrets": ("import secrets", "secrets.token_hex()  # here", "depends on chance"),
    "uuid4": ("", "uuid.uuid4()  # here", "depends on chance"),
    "uuid1": ("from uuid import uuid1", "uuid1()  # here", "depends on chance"),
    "environment": ("import os", "os.environ.get('X')  # here", "depends on this machine"),
    "environment by name": ("from os import environ", "environ['X']  # here", "depends on this machine"),
    "network": ("import socket", "socket.create_connection(('x', 1))  # here", "depends on the network"),
    "http": ("import urllib.request", "urllib.request.urlopen('x')  # here", "depends on the network"),
    "process": ("import subprocess", "subprocess.run(['ls'])  # here", "depends on other processes and threads"),
    "thread": ("import threading", "threading.Lock()  # here", "depends on other processes and threads"),
    "asyncio": ("import asyncio", "asyncio.sleep(1)  # here", "depends on other processes and threads"),
    "file": ("", "open('x')  # here", "uses open, which depends on the outside world"),
    "path": ("from pathlib import Path", "Path('x').read_text()  # here", "depends on files"),
    "hash": ("", "hash(event.key)  # here", "depends on this process"),
    "own import": ("", "import random  # here", "imports random, which depends on chance"),
    "own import from": ("", "from urllib import request  # here", "imports urllib.request, which depends on the netw"),
    "global": ("total = 0", "global total  # here\ntotal = 1", "changes the global total"),
    "kept": ("", "SEEN[event.key] = 1  # here", "changes SEEN, which outlives the call"),
    "kept by a method": ("", "SEEN.update({event.key: 1})  # here", "calls SEEN.update, which changes what outlives"),
    "attribute": ("class C: pass", "C.seen = event.key  # here", "changes C, which outlives the call"),
    "zone": ("", "event.time.astimezone()  # here", "without a time zone"),
    "in a lambda": ("", "f = lambda: datetime.now()  # here", "depends on the clock"),
    "in a helper": ("def helper():\n    return datetime.now()  # here", "helper()", "depends on the clock"),
    "in a class": (
        "class Now:\n    def __init__(self):\n        self.at = datetime.now()  # here",
        "Now()",
        "depends on the clock",
    ),
    "in a partial": (
        "import functools\ndef helper(x):\n    return date.today()  # here\nbound = functools.partial(helper, 1)",
        "bound()",
        "depends on the clock",
    ),
    "in an object": (
        "class Clock:\n    def now(self):\n        return datetime.now()  # here\nCLOCK = Clock()",
        "CLOCK.now()",
        "depends on the clock",
    ),
    "in a default": ("def helper(at=datetime.now()):  # here\n    return at", "helper()", "depends on the clock"),
    "chance kept": ("import random\nDICE = random.Random(1)", "DICE.random()  # here", "uses DICE.random, which depe"),
    "unused import": ("import random  # here", "pass", "imports random, which depends on chance: remove it"),
}


@pytest.mark.parametrize("name", IMPURE)
def test_an_impure_handler_is_found(name: str, write: Write) -> None:
    """Whatever differs from run to run, or outlives the call, is named at its line."""
    before, body, expected = IMPURE[name]
    app, file, line = write(handler(body, before=before))
    [breach] = check(app)
    assert (breach.file, breach.line, breach.law) == (str(file), line, "ImpureHandler")
    assert expected in breach.message


def test_a_closure_that_remembers_is_found(write: Write) -> None:
    """A handler made by a function may not keep anything in it."""
    app, file, line = write(
        """
def made():
    count = 0
    def open_account(row, event):
        nonlocal count  # here
        count += 1
        return Outcome(row)
    return open_account
account.handles(AccountOpen)(made())
def app():
    return App(name="written", namespaces=[account])
"""
    )
    [breach] = check(app)
    assert (breach.file, breach.line, breach.law) == (str(file), line, "ImpureHandler")
    assert "changes count of the function around it" in breach.message


def test_an_async_handler_is_found(write: Write) -> None:
    """What may wait for the outside world is a gateway's."""
    app, file, line = write(
        """
account.handles(AccountOpen)  # a handler that mypy refuses too
async def open_account(row, event):  # here
    return Outcome(row)
account.handles(AccountOpen)(open_account)
def app():
    return App(name="written", namespaces=[account])
"""
    )
    assert check(app) == [
        Breach(
            str(file),
            line,
            "ImpureHandler",
            "the handler of account.open is async: it may wait for the outside world; "
            "the same event must always do the same",
        )
    ]


def test_a_gateway_may_touch_the_world_beside_handlers(write: Write) -> None:
    """The clock and the network of a gateway, or of the factory, in the handlers' own file are no breach."""
    app, _, _ = write(
        """
import os
import socket
import time
payment = Namespace("payment", row=PaymentRow)
@payment.handles(PaymentCharged)
def charged(row, event):
    return Outcome(PaymentRow(status="charged"))
class Cards:
    async def charge(self, event) -> PaymentCharged:
        time.time(), socket.gethostname()
        return PaymentCharged(order=event.key, receipt="r")
def app():
    os.environ.get("CARDS")
    gateway = Gateway(PaymentCharge, Cards().charge, answers=[PaymentCharged])
    return App(name="written", namespaces=[payment], gateways=[gateway])
"""
    )
    assert check(app) == []


def test_an_impure_projection_is_found(write: Write) -> None:
    """Its fold and its key are held to the handlers' law."""
    app, file, line = write(
        PLAIN.replace(
            "def app",
            "opened = Projection('opened', row=AccountRow)\n"
            "opened.folds(AccountOpen, key=lambda event: str(date.today()))(lambda row, event: None)  # here\n"
            "def app",
        ).replace("namespaces=[account]", "namespaces=[account], projections=[opened]")
    )
    [breach] = check(app)
    assert (breach.file, breach.line, breach.law) == (str(file), line, "ImpureHandler")
    assert "the projection opened, folding account.open, uses date.today" in breach.message


@pytest.mark.parametrize(
    ("body", "before"),
    [
        ("if row: return Outcome(row, emit=[AccountClose(account='a')])  # here", ""),
        ("if row: raise Rejected('no', emit=[AccountClose(account='a')])  # here", ""),
        ("later = Scheduled(AccountClose(account='a'), at=event.time)  # here", ""),
        ("helper()", "def helper():\n    return [AccountClose(account='a')]  # here"),
    ],
    ids=["outcome", "rejection", "scheduled", "helper"],
)
def test_an_undeclared_emission_is_found(body: str, before: str, write: Write) -> None:
    """Where the event is built, also in a helper; declared, it is no breach."""
    app, file, line = write(handler(body, before=before))
    [breach] = check(app)
    assert (breach.file, breach.line, breach.law) == (str(file), line, "UndeclaredEmission")
    assert "builds account.close, which it does not declare: add AccountClose to its emits" in breach.message
    declared, _, _ = write(handler(body, before=before, emits="AccountClose"))
    assert check(declared) == []


def test_an_emission_that_nobody_handles_is_found(write: Write) -> None:
    """Declared, and without a handler in this application: at the handler that declares it."""
    app, file, _ = write(handler("pass", emits="AccountCredit"))
    [breach] = check(app)
    declared = file.read_text().splitlines().index("@account.handles(AccountOpen, emits=[AccountCredit])") + 1
    assert (breach.file, breach.line, breach.law) == (str(file), declared, "MissingHandler")
    assert "account.open emits account.credit, which no namespace and no gateway of written handles" in breach.message
    assert breach.message.endswith(": write its handler, or list its namespace in App")


GATEWAY = """
payment = Namespace("payment", row=PaymentRow)
@payment.handles(PaymentCharged)
def charged(row, event):
    return Outcome(PaymentRow(status="charged"))
class Cards:
    {call}
def app():
    gateway = Gateway(PaymentCharge, Cards().charge, answers=[PaymentCharged{more}])
    return App(name="written", namespaces=[payment], gateways=[gateway])
"""


@pytest.mark.parametrize(
    "call",
    [
        "async def charge(self, event) -> PaymentCharged | PaymentDeclined: ...  # here",
        "async def charge(self, event):\n        return PaymentDeclined(order=event.key, why='no')  # here",
    ],
    ids=["promised", "built"],
)
def test_an_undeclared_answer_is_found(call: str, write: Write) -> None:
    """By what the call says it returns, and by what it builds."""
    app, file, line = write(GATEWAY.format(call=call, more=""))
    [breach] = check(app)
    assert (breach.file, breach.line, breach.law) == (str(file), line, "UndeclaredEmission")
    assert "the gateway of payment.charge answers payment.declined" in breach.message


def test_an_answer_that_nobody_handles_is_found(write: Write) -> None:
    """The owner of the request handles its answer, so the handler must be there."""
    call = "async def charge(self, event): ...  # here"
    app, file, line = write(GATEWAY.format(call=call, more=", PaymentDeclined"))
    [breach] = check(app)
    assert (breach.file, breach.line, breach.law) == (str(file), line, "MissingHandler")
    assert "answers payment.declined" in breach.message


PARTS = """
payment = Namespace("payment", row=PaymentRow)
@payment.handles(PaymentCharged)
def charged(row, event):
    return Outcome(PaymentRow(status="charged"))
opened = Projection("opened", row=AccountRow)
{code}
def app():
    parts = dict(namespaces=[account, payment], projections=[opened], gateways=[], views=[])
    parts |= dict({parts})
    return App(name="written", **parts)
"""
ONE_HANDLER = "@account.handles(AccountOpen)\n"
ONE_FOLD = "@opened.folds(AccountOpen, key=lambda event: event.key)\n"
ONE_GATEWAY = "gateways=[Gateway(PaymentCharge, charge, answers=[PaymentCharged])]"
ONE_VIEW = "views=[View('of/{customer}/{page}', of)]"
MISFITS = {
    "a handler of one": (
        ONE_HANDLER + "def handle(event): ...",
        "",
        "the handler of account.open takes (event), and is called with the row and the event: let it take these",
    ),
    "a handler of three": (
        ONE_HANDLER + "def handle(row: AccountRow | None, event, now): ...",
        "",
        "the handler of account.open takes (row, event, now), and is called with the row and the event: let it take these",
    ),
    "a fold of one": (
        ONE_FOLD + "def fold(row): ...",
        "",
        "the projection opened, folding account.open, takes (row), and is called with the row and the event: "
        "let it take these",
    ),
    "a key of two": (
        "def key(row, event): ...\nopened.folds(AccountOpen, key=key)(lambda row, event: None)",
        "",
        "the key of the projection opened, folding account.open, takes (row, event), and is called with the event: "
        "let it take these",
    ),
    "a gateway of two": (
        "async def charge(row, event): ...",
        ONE_GATEWAY,
        "the gateway of payment.charge takes (row, event), and is called with the event: let it take these",
    ),
    "a plain gateway": (
        "def charge(event) -> PaymentCharged: ...",
        ONE_GATEWAY,
        "the gateway of payment.charge is no async function, and its answer is awaited: write `async def`",
    ),
    "a view without a name of its path": (
        "def of(tables, customer): ...",
        ONE_VIEW,
        "the view of/{customer}/{page} takes (tables, customer), and is called with (tables, customer, page): "
        "name its parameters as its path does",
    ),
    "a view with another name": (
        "def of(tables, customer, page, size): ...",
        ONE_VIEW,
        "the view of/{customer}/{page} takes (tables, customer, page, size), and is called with (tables, customer, page): "
        "name its parameters as its path does",
    ),
    "a view of numbers": (
        "def of(tables, customer: str, page: int): ...",
        ONE_VIEW,
        "the view of/{customer}/{page} takes page as int, and a name of a path is text: annotate it as str and convert it",
    ),
    "a view of numbers or nothing": (
        "def of(tables, customer: str, page: int | None = None): ...",
        ONE_VIEW,
        "the view of/{customer}/{page} takes page as int | None, and a name of a path is text: "
        "annotate it as str and convert it",
    ),
}


@pytest.mark.parametrize("name", MISFITS)
def test_a_function_that_cannot_be_called_is_found(name: str, write: Write) -> None:
    """What would fail at the first event or request is reported at its line, in one sentence."""
    code, parts, message = MISFITS[name]
    begin, *rest = code.splitlines()  # with the decorator: there a function begins
    app, file, line = write(PARTS.format(code="\n".join([f"{begin}  # here", *rest]), parts=parts))
    assert check(app) == [Breach(str(file), line, "BadSignature", message)]


@pytest.mark.parametrize(
    ("code", "parts"),
    [
        (ONE_HANDLER + "def handle(row, event, /, limit=3): return Outcome(row)", ""),
        (ONE_HANDLER + "def handle(*both): return Outcome(both[0])", ""),
        (
            "def handle(limit, row, event): return Outcome(row)\n"
            "account.handles(AccountOpen)(functools.partial(handle, 3))",
            "",
        ),
        (
            "def limited(function):\n"
            "    @functools.wraps(function)\n"
            "    def handle(row, event): return function(row, event, 3)\n"
            "    return handle\n"
            "@account.handles(AccountOpen)\n"
            "@limited\n"
            "def handle(row, event, limit): return Outcome(row)",
            "",
        ),
        ("def charge(event) -> Awaitable[PaymentCharged]: ...", ONE_GATEWAY),
        ("async def later(event): ...\ncharge = lambda event: later(event)", ONE_GATEWAY),
        ("async def later(where, event): ...\ncharge = functools.partial(later, 'there')", ONE_GATEWAY),
        ("class Cards:\n    async def __call__(self, event): ...\ncharge = Cards()", ONE_GATEWAY),
        ("def of(tables, **names): ...", ONE_VIEW),
        ("def of(rows, *, page: Any, customer: str | None, size=50): ...", ONE_VIEW),
        ("def of(tables: Unknown, customer: str, page: str): ...", ONE_VIEW),
    ],
)
def test_a_function_that_can_be_called_is_let_be(code: str, parts: str, write: Write) -> None:
    """Defaults, partials, wrappers and objects are taken for what they are when they are called."""
    app, _, _ = write(PARTS.format(code=code, parts=parts))
    assert check(app) == []


def test_a_handler_without_a_schema_is_found(write: Write) -> None:
    """A class that `retold schemas generate` did not write has no schema to publish with."""
    own = """
class AccountFreeze(EventData, frozen=True, kw_only=True):  # here
    event_type = "account.freeze"
    key_field = "account"
    account: str
@account.handles(AccountFreeze)
def freeze(row, event):
    return Outcome(row)
"""
    app, file, line = write(own + PLAIN)
    [breach] = check(app)
    assert (breach.file, breach.line, breach.law) == (str(file), line, "MissingSchema")
    assert "write schemas/account/freeze.avsc" in breach.message


def test_a_key_that_is_no_field_is_found(write: Write) -> None:
    """Nothing could be published under it."""
    own = """
class AccountFreeze(EventData, frozen=True, kw_only=True):  # here
    event_type = "account.freeze"
    key_field = "acount"
    schemas = ("{}",)
    account: str
@account.handles(AccountFreeze)
def freeze(row, event):
    return Outcome(row)
"""
    app, file, line = write(own + PLAIN)
    assert check(app) == [
        Breach(str(file), line, "BadName", "the key of account.freeze is 'acount', which is none of its fields")
    ]


BANK_FILES = {
    name: f"schemas/{name.removesuffix('.row').replace('.', '/')}.avsc"
    for name in (*bank.app().event_types(), "account.row", "transfer.row")
}


def test_the_schema_folder_is_compared_with_the_handlers() -> None:
    """Every file has its handler or table, every handler and table its file."""
    assert check(bank.app(), BANK_FILES) == []


@pytest.mark.parametrize(
    ("name", "law", "message"),
    [
        ("account.freeze", "MissingHandler", "this is the schema of account.freeze, which no namespace"),
        ("savings.row", "MissingHandler", "this is the schema of savings's rows, and bank has no such table"),
        ("account.Freeze", "BadName", "'account.Freeze' is not named <namespace>.<name>"),
        ("account.for.ever", "BadName", "'account.for.ever' is not named <namespace>.<name>"),
    ],
)
def test_a_schema_that_nothing_handles_is_found(name: str, law: str, message: str) -> None:
    """At the schema's file."""
    [breach] = check(bank.app(), BANK_FILES | {name: "schemas/odd.avsc"})
    assert (breach.file, breach.line, breach.law) == ("schemas/odd.avsc", 1, law)
    assert message in breach.message


@pytest.mark.parametrize("name", ["account.open", "account.row"])
def test_a_class_whose_schema_file_is_gone_is_found(name: str) -> None:
    """At the class, with the path of the file that should be there."""
    [breach] = check(bank.app(), {known: file for known, file in BANK_FILES.items() if known != name})
    assert breach.law == "MissingSchema"
    assert breach.file == str(ROOT / "tests/applications/bank/events.py")
    assert BANK_FILES[name] in breach.message


def test_two_handlers_for_one_event_raise_at_import(write: Write) -> None:
    """The sentence names both places."""
    with pytest.raises(DuplicateHandler, match=r"at .*written_\d+\.py:\d+; the second one is at .*written_\d+\.py:\d+"):
        write(PLAIN + PLAIN)


def test_an_event_of_another_namespace_raises_at_import(write: Write) -> None:
    """A namespace handles its own events only."""
    with pytest.raises(BadName, match=r"transfer\.start belongs to the namespace 'transfer', not to 'account'"):
        write(PLAIN.replace("AccountOpen", "TransferStart"))


def test_timers_that_no_order_covers_and_those_that_recur_are_named() -> None:
    """As advice: it is no breach to schedule an event of another namespace, or the same one again."""
    other, again = timer_advice(timed.app())
    assert other.startswith("alarm.touch schedules bell.ring of another namespace")
    assert again.startswith("alarm.ring schedules itself again")
    assert timer_advice(shop.app()) == []


def test_cycles_are_listed_once_each() -> None:
    """For information: a cycle may well end, as the bank's do."""
    assert cycles(shop.app()) == []
    assert cycles(bank.app()) == [["account.credit", "transfer.done"], ["account.credit", "transfer.failed"]]


def test_a_cycle_of_one_is_listed(write: Write) -> None:
    """An event that leads to itself."""
    app, _, _ = write(handler("pass", emits="AccountOpen"))
    assert cycles(app) == [["account.open"]]


def handler_returning(body: str) -> str:
    """A module whose one handler has this body; `row` and `event` are its parameters."""
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    return f"""
def made(row):
    return Outcome(row)

@account.handles(AccountOpen)
def open_account(row, event):
{lines}

def app():
    return App(name="written", namespaces=[account])
"""


@pytest.mark.parametrize(
    "body",
    [
        "return row  # here",
        "return  # here",
        "return None  # here",
        "return AccountRow(balance=1)  # here",
        "return replace(row, balance=1)  # here",
        "new = AccountRow(balance=1)\nreturn new  # here",
        "new: AccountRow = replace(row, balance=1)\nnewer = new\nreturn newer  # here",
        "row = row or AccountRow(balance=1)\nreturn row  # here",
        "return row or Outcome(row)  # here",
        "return Outcome(None) if row is None else row  # here",
        "return row and Outcome(row)  # here",
        "return (row is None and Outcome(None)) or row  # here",
        "return row is None and Outcome(None)  # here",
        "return Outcome(None) and row  # here",
        "return row is None or Outcome(row)  # here",
        "return (new := row) or Outcome(None)  # here",
        "return (None if row else row) and Outcome(None)  # here",
        "if row:\n    return row, []  # here\nreturn Outcome(row)",
        "for _ in range(2):\n    return {'balance': 1}  # here\nreturn Outcome(row)",
        "if (new := AccountRow(balance=1)):\n    return new  # here\nreturn Outcome(row)",
        "return event  # here",
        "return event.data  # here",
        "return row.balance  # here",
        "return Rejected('no')  # here",
        "if row:  # here\n    return Outcome(row)",
        "if row:\n    balance = 1  # here\nelse:\n    return Outcome(row)",
        "if row:\n    pass  # here\nelif event:\n    return Outcome(row)",
        "match row:\n    case None:\n        return Outcome(row)\n    case _:\n        balance = 1  # here",
        "try:\n    return Outcome(row)\nexcept ValueError:\n    balance = 1  # here",
        "try:\n    balance = 1  # here\nexcept* ValueError:\n    raise",
        "with open_it():\n    balance = 1  # here",
        "balance = 1  # here",
    ],
)
def test_a_handler_that_returns_no_outcome_is_found(write: Write, body: str) -> None:
    """Its event would be parked: a row alone, nothing, a tuple, in a name or as one of two cases."""
    app, file, line = write(handler_returning(body))
    [found] = [breach for breach in check(app) if breach.law == "BadSignature"]
    assert (found.file, found.line) == (str(file), line)
    assert found.message.startswith("the handler of account.open returns ")
    assert found.message.endswith("; a handler returns Outcome(row, emit=[…])")


@pytest.mark.parametrize(
    "body",
    [
        "return Outcome(row)",
        "new = Outcome(row)\nreturn new",
        "outcome = None\nif row:\n    outcome = Outcome(row)\nelse:\n    outcome = Outcome(None)\nreturn outcome",
        "return made(row)",
        "return (row is None and Outcome(None)) or Outcome(row)",
        "return row is None and Outcome(None) or row is not None and Outcome(row) or Outcome(None)",
        "return None or Outcome(row)",
        "return () or {} or 0 or Outcome(row)",
        "return [1] and Outcome(row)",
        "new = None\nreturn new or Outcome(row)",
        "return AccountRow(balance=1) and Outcome(row)",
        "return (None if row else made(row)) or Outcome(row)",
        "return (new := row is None and Outcome(None)) or Outcome(row)",
        "return Outcome(None) if row is None and event.key else Outcome(row)",
        "return (outcome := made(row)) and outcome",
        "def inner():\n    return row\ninner()\nreturn Outcome(row)",
        "return replace(Outcome(row), emit=[])",
        "for outcome in [Outcome(row)]:\n    return outcome",
        "raise Rejected('no')",
        "with open_it() as outcome:\n    return outcome",
        "event = made(row)\nreturn event",
        "outcome = made(row)\nreturn outcome.other",
        "if row is None:\n    return Outcome(row)\nelif row:\n    return Outcome(row)",
        "match row:\n    case None:\n        return Outcome(row)\n    case AccountRow():\n        return Outcome(row)",
        "while True:\n    if row:\n        return Outcome(row)",
        "for _ in event.data:\n    pass\nelse:\n    return Outcome(row)",
        "try:\n    balance = 1\nfinally:\n    return Outcome(row)",
        "try:\n    balance = int(1)\nexcept ValueError:\n    raise\nelse:\n    return Outcome(row)",
        "with open_it():\n    return Outcome(row)",
        "if row:\n    return Outcome(row)\nreject(row)",
    ],
)
def test_an_outcome_in_whatever_form_is_no_breach(write: Write, body: str) -> None:
    """What cannot be read is taken for right: mypy and the first test know more."""
    app, _, _ = write(handler_returning(body))
    assert [breach for breach in check(app) if "returns" in breach.message] == []


def test_a_handler_with_a_yield_is_found(write: Write) -> None:
    """Calling it would run none of it."""
    app, file, line = write(handler_returning("yield Outcome(row)").replace("(AccountOpen)", "(AccountOpen)  # here"))
    [found] = [breach for breach in check(app) if breach.law == "BadSignature"]
    assert (found.file, found.line) == (str(file), line)
    assert "returns a generator" in found.message


def test_a_handler_that_is_annotated_with_its_row_is_found(write: Write) -> None:
    """Its return annotation says what its author thinks."""
    code = handler_returning("return made(row)").replace("account(row, event):", "account(row, event) -> AccountRow:  # here")
    app, file, line = write(code)
    [found] = [breach for breach in check(app) if breach.law == "BadSignature"]
    assert (found.file, found.line) == (str(file), line - 1)
    assert "is annotated to return AccountRow" in found.message


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("import datetime\nnow = datetime.datetime.now()  # here", "the clock"),
        ("import datetime as d\nnow = d.date.today()  # here", "the clock"),
        ("from datetime import datetime\nnow = datetime.utcnow()  # here", "the clock"),
        ("from datetime import datetime as d\nnow = d.now  # here", "the clock"),
        ("import uuid\nnew = uuid.uuid4()  # here", "chance"),
        ("from uuid import uuid4 as new\nnew()  # here", "chance"),
        ("if row:\n    import builtins\n    builtins.open('f')  # here", "the outside world"),
        ("import importlib  # here", "code that nobody can check"),
        ("now = getattr(datetime, 'now')()  # here", "the clock"),
    ],
)
def test_an_import_inside_a_handler_hides_nothing(write: Write, body: str, why: str) -> None:
    """What it binds is known, as what the module imports."""
    app, file, line = write(handler(body))
    found = {(breach.file, breach.line) for breach in check(app) if breach.law == "ImpureHandler" and why in breach.message}
    assert (str(file), line) in found


def test_a_helper_that_is_imported_inside_a_handler_is_read(write: Write, tmp_path: Path) -> None:
    """It is part of what the handler does."""
    helper = tmp_path / f"helper_{next(NUMBERS)}.py"
    helper.write_text("import datetime\n\ndef stamp():\n    return datetime.datetime.now()\n")
    app, _, _ = write(handler(f"from {helper.stem} import stamp\nstamp()"))
    assert (str(helper), 4) in {(breach.file, breach.line) for breach in check(app)}


@pytest.mark.parametrize(
    "body",
    [
        "return Outcom(row)  # here",
        "rows = [replac(row) for _ in range(2)]  # here",
        "def inner():\n    return misspelt  # here\ninner()",
        "if row:\n    raise Rejectd('no')  # here",
    ],
)
def test_a_name_that_nobody_defines_is_found(write: Write, body: str) -> None:
    """Python would find it when the event is there, and the event would be parked."""
    app, file, line = write(handler(body))
    [found] = [breach for breach in check(app) if breach.law == "NameError"]
    assert (found.file, found.line) == (str(file), line)
    assert "which is not defined: import or correct it" in found.message


@pytest.mark.parametrize(
    "body",
    [
        "from msgspec.structs import replace\nreturn Outcome(replace(row, balanc=1))  # here",
        "from msgspec.structs import replace\nfrom streams import required\nkept = required(row, 'none')\n"
        "return Outcome(replace(kept, balanc=1))  # here",
        "from tests.applications.bank.events import AccountRow as Made\nreturn Outcome(Made(balanc=1))  # here",
    ],
    ids=["the row", "the required row", "a new row"],
)
def test_a_field_that_a_class_does_not_have_is_found(write: Write, body: str) -> None:
    """Python would find it when the event is there, and the event would be parked."""
    app, file, line = write(handler(body))
    [found] = [breach for breach in check(app) if breach.law == "UnknownField"]
    assert (found.file, found.line) == (str(file), line)
    assert "the field 'balanc' (did you mean balance?); it has balance" in found.message


@pytest.mark.parametrize(
    "body",
    [
        "return Outcome(replace(row, balance=1))",
        "row = event\nreturn Outcome(replace(row, balanc=1))",
        "for row in []:\n    replace(row, balanc=1)",
        "return Outcome(replace(row, **{'balanc': 1}))",
        "return Outcome(replace(event.data, balanc=1))",
        "inner = lambda row: replace(row, balanc=1)",
    ],
)
def test_a_class_that_is_not_certain_is_no_breach(write: Write, body: str) -> None:
    """Another row by the same name, fields that are computed, a value of another class."""
    app, _, _ = write(handler(f"from msgspec.structs import replace\n{body}"))
    assert [breach for breach in check(app) if breach.law == "UnknownField"] == []


def test_names_that_are_defined_somewhere_are_no_breach(write: Write) -> None:
    """Locals, builtins, what an import inside binds, a class's own names, annotations that nobody evaluates."""
    body = """\
import math as m
total: NotThere = sum(len(str(n)) for n in range(int(m.floor(2))))
class Inner:
    one = 1
    two = one + 1
try:
    total += Inner.two
except ValueError as error:
    print(error)
with_star, *rest = [total, 1]
(lambda x: x + total)(1)"""
    app, _, _ = write(handler(body))
    assert [breach for breach in check(app) if breach.law == "NameError"] == []


def many_handlers(count: int) -> str:
    """So many handlers, all of which call one function of the application."""
    lines = ["many = Namespace('many', row=AccountRow)", "def shared(row, event):", "    return Outcome(row)"]
    for number in range(count):
        lines += [
            f"class Do{number}(EventData, frozen=True, kw_only=True):",
            f"    event_type, key_field, schemas = 'many.do{number}', 'name', ('x',)",
            "    name: str",
            f"@many.handles(Do{number})",
            f"def do{number}(row, event):",
            "    return shared(row, event)",
        ]
    return "\n".join([*lines, "def app():", "    return App(name='written', namespaces=[many])"])


def calls_of(act: Callable[[], object]) -> int:
    """How many calls of Python functions it takes: a measure that does not depend on the machine."""
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        act()
    finally:
        sys.setprofile(None)
    return calls


def test_a_check_takes_twice_as_long_for_twice_as_many_handlers(write: Write) -> None:
    """A worker and a server check at each start, and a module may have many handlers, which share functions."""
    small, large = (write(many_handlers(count))[0] for count in (15, 30))
    assert calls_of(lambda: check(large)) < 2.5 * calls_of(lambda: check(small))
