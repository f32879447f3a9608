"""The bank's events as aggregates of the library `eventsourcing`, and how fast they are read back.

It reads lines of JSON `[namespace, key, type, data]` from the file that is named first, keeps them in a SQLite file beside it, and
says for each round how many events a second of CPU time were rehydrated, and how many in all.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from pathlib import Path
from uuid import NAMESPACE_URL, UUID, uuid5

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event


class Account(Aggregate):
    @event("Opened")
    def __init__(self, account: str, balance: int) -> None:
        self.account, self.balance = account, balance

    @staticmethod
    def create_id(account: str, balance: int) -> UUID:  # noqa: ARG004 - what it is called with
        return uuid5(NAMESPACE_URL, f"account/{account}")

    @event("Debited")
    def debit(self, account: str, transfer: str, amount: int) -> None:  # noqa: ARG002 - what the event has
        self.balance -= amount

    @event("Credited")
    def credit(self, account: str, transfer: str, amount: int) -> None:  # noqa: ARG002 - what the event has
        self.balance += amount


class Transfer(Aggregate):
    @event("Started")
    def __init__(self, transfer: str, source: str, target: str, amount: int) -> None:  # noqa: ARG002 - what the event has
        self.source, self.target, self.amount, self.status = source, target, amount, "debiting"

    @staticmethod
    def create_id(transfer: str, source: str, target: str, amount: int) -> UUID:  # noqa: ARG004 - as above
        return uuid5(NAMESPACE_URL, f"transfer/{transfer}")

    @event("Done")
    def done(self, transfer: str, step: str) -> None:  # noqa: ARG002 - what the event has
        self.status = "crediting" if step == "debit" else "done"

    @event("Failed")
    def failed(self, transfer: str, step: str, why: str) -> None:  # noqa: ARG002 - what the event has
        self.status = "failed" if step == "debit" else "returning"


MADE = {"account.open": Account, "transfer.start": Transfer}
METHODS = {"account.debit": "debit", "account.credit": "credit", "transfer.done": "done", "transfer.failed": "failed"}


def main(file: Path, rounds: int) -> None:
    database = str(file.with_suffix(".sqlite"))
    bank = Application[UUID](env={"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": database})
    there: dict[tuple[str, str], Aggregate] = {}
    count = 0
    for line in file.open():
        namespace, key, event_type, data = json.loads(line)
        if event_type in MADE:
            there[namespace, key] = MADE[event_type](**data)
        else:
            getattr(there[namespace, key], METHODS[event_type])(**data)
        count += 1
    bank.save(*there.values())
    ids = [it.id for it in there.values()]
    there.clear()
    for _ in range(rounds):
        gc.collect()
        began = time.process_time()
        for each in ids:
            bank.repository.get(each)
        print(count / (time.process_time() - began), count, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
