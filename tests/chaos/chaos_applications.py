"""The applications that are run, and what is published into each."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from msgspec.structs import asdict

import processors
from processors.events import UserRename, UserSignup
from processors.mailers import Smtp, SmtpMailer
from processors.settings import Settings
from streams import App
from streams.data import EventData
from tests.applications import bank, shop, timed
from tests.applications.bank.events import AccountOpen, TransferStart
from tests.applications.shop.events import Line, OrderCancel, OrderPlace, StockReceive
from tests.applications.timed.events import AlarmTouch
from tests.chaos import deployments, mail_company

VERSIONS = deployments.__name__


@dataclass(frozen=True)
class Application:
    """`versions` names what workers run, and `apps` are the same; `last` is the number of the version that runs at the end.

    `make` gives the event of a number; `past` is how long ago the first one happened. What a gateway was asked is written down as
    `said` of the request; `mails`: by a mail server.
    """

    name: str
    versions: Sequence[str]
    apps: Sequence[Callable[[], App]]
    make: Callable[[int, random.Random], EventData]
    last: int = 0
    past: timedelta = timedelta()
    said: Callable[[EventData], str] = repr
    mails: bool = False

    def app(self) -> App:
        """By which all is explained in the end."""
        return self.apps[self.last]()


ACCOUNTS, ALARMS, SKUS = 200, 100, 40
RENAMES = 6
"""Events for each sign-up: a mail takes much longer than what else is handled."""


def demo() -> App:
    return processors.app(Settings(SmtpMailer(Smtp("127.0.0.1", 0)), reminders=True))


def transfer(number: int, dice: random.Random) -> EventData:
    """Accounts are opened first; then money moves, now and then to nobody, or more than there is."""
    if number < ACCOUNTS:
        return AccountOpen(account=f"a{number}", balance=2_000)
    source, target = dice.sample(range(ACCOUNTS + 2), 2)
    start = TransferStart(transfer=f"t{number}", source=f"a{source}", target=f"a{target}", amount=dice.randint(1, 200))
    return start if dice.random() < 0.5 else deployments.TransferStartNext(**asdict(start), note="to the next version")


def order(number: int, dice: random.Random) -> EventData:
    """Stock arrives first; then orders, some of which are cancelled."""
    if number < SKUS:
        return StockReceive(sku=f"s{number}", quantity=20_000, price=3)
    if dice.random() < 0.1:
        return OrderCancel(order=f"o{dice.randrange(SKUS, number + 1)}", why="changed my mind")
    lines = tuple(Line(sku=f"s{dice.randrange(SKUS + 1)}", quantity=dice.randint(1, 3)) for _ in range(dice.randint(1, 2)))
    return OrderPlace(order=f"o{number}", customer="c", lines=lines)


def touch(_number: int, dice: random.Random) -> EventData:
    """Each key hears of others, and schedules for itself and for others."""
    return AlarmTouch(
        name=f"n{dice.randrange(ALARMS)}", number=dice.choice([1, 2, 4, 5, 6, 8]), after=dice.choice([0, 0, 1, 2, 6]),
        other=dice.choice(["", "", "z", f"n{dice.randrange(ALARMS)}"]),
    )  # fmt: skip


def sign_up(number: int, dice: random.Random) -> EventData:
    """Users sign up, some of them twice, and each gets a mail and a folder; mostly they change their names."""
    user = f"u{number if number % RENAMES == 0 else dice.randrange(number + 1) // RENAMES * RENAMES}"
    if number % RENAMES == 0 or dice.random() < 0.01:
        return UserSignup(user=user, email=f"{user}@example.org")
    return UserRename(user=user, name=f"name {number}")


APPLICATIONS = {
    it.name: it
    for it in (
        Application(
            "bank", ("tests.applications.bank:app", f"{VERSIONS}:next_bank", f"{VERSIONS}:broken_bank"),
            (bank.app, deployments.next_bank, deployments.broken_bank), transfer, last=1,
        ),
        Application("timed", ("tests.applications.timed:app",), (timed.app,), touch, past=timedelta(hours=120)),
        Application("shop", ("tests.chaos.card_company:app",), (shop.app,), order),
        Application("mail", ("processors:app",), (demo,), sign_up, said=mail_company.said, mails=True),
    )
}  # fmt: skip
