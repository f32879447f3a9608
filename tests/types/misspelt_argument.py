"""A handler that builds an event with a field which it does not have."""

from __future__ import annotations

from streams import Event, Namespace, Outcome
from tests.applications.bank.events import AccountDebit, TransferRow, TransferStart

transfer = Namespace("transfer", row=TransferRow)


@transfer.handles(TransferStart, emits=[AccountDebit])
def start(row: TransferRow | None, event: Event[TransferStart]) -> Outcome[TransferRow]:
    it = event.data
    taken = AccountDebit(account=it.source, transfer=it.transfer, amuont=it.amount)  # wrong: call-arg
    return Outcome(row, emit=[taken])
