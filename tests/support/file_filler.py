"""Writes into a read model's file and is killed in the midst, by `python -c PROGRAM FOLDER`.

For each line of stdin a writer is forked and killed, and a line of stdout says so: a process for each would be 25 starts.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from streams import Event, Projection
from streams.codec import codec_of
from streams.server.readmodel.store import Store
from streams.server.readmodel.store_writer import StoreWriter
from tests.applications import bank
from tests.applications.bank.events import AccountOpen, AccountRow
from tests.applications.shop.events import OrdersPerDayRow

PROGRAM = "import sys; from pathlib import Path; from tests.support.file_filler import main; main(Path(sys.argv[1]), *sys.argv[2:])"
AT = ("log", "account", 0)
KEYS = 500
NOW = datetime(2026, 1, 1, tzinfo=UTC)
OPENED = Projection("opened", row=OrdersPerDayRow)


@OPENED.folds(AccountOpen, key=lambda event: event.key)
def count(row: OrdersPerDayRow | None, event: Event[AccountOpen]) -> OrdersPerDayRow:
    return OrdersPerDayRow(count=(row.count if row else 0) + 1)


BANK = replace(bank.app(), projections=[OPENED])


def fill(writer: StoreWriter, sequences: Iterable[int], balances: dict[str, int] | None = None) -> None:
    """One transaction in which every event adds 1 to the balance of a key, and to its row of the projection."""
    balances = {} if balances is None else balances
    for sequence in sequences:
        key = f"k{random.randrange(KEYS)}"
        balances[key] = balances.get(key, 0) + 1
        writer.fold(Event(AccountOpen(account=key, balance=1), f"id-{sequence}", NOW), f"account-0:{sequence}")
        writer.put_row("account", 0, key, sequence, AccountRow(balance=balances[key]))
        writer.put_records([(
            0, "account", 0, sequence, 0, key, "account.open", f"id-{sequence}", sequence, "root", 0, 1, sequence - 1,
            b"value" * 20, b"headers" * 20,
        )])  # fmt: skip
        writer.reached(AT, sequence, sequence, 0)
    writer.commit()


def write(folder: Path, begun: int, *, first: bool) -> None:
    """Without end; `first`: all is read for the first time."""
    store = Store(folder, "", BANK, codec_of(BANK))
    store.open()
    if not first:
        store.completed()
    writer = store.writer()
    rows = store._db.execute("select key, f_balance from r_account").fetchall()
    balances, last = dict(rows), writer.positions[AT].sequence if AT in writer.positions else 0
    os.write(begun, b".")
    while True:
        fill(writer, range(last + 1, last + 101), balances)
        last += 100


def main(folder: Path, what: str = "") -> None:
    chance = random.Random(12)
    for _ in sys.stdin:
        begins, begun = os.pipe()
        if (child := os.fork()) == 0:
            write(folder, begun, first=what == "first")
        os.read(begins, 1)
        time.sleep(chance.uniform(0.0, 0.1))  # until the point of the kill, which is to be any
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        print("killed", flush=True)
