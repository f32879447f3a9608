"""What is measured beside the plain work: the same events, of which each is a root that emits two others."""

from __future__ import annotations

from ops.bench.chain.events import BenchRow, BenchSignup, LeafPut, LeafRow
from streams import App, Event, Namespace, Outcome

bench = Namespace("bench", row=BenchRow)
leaf = Namespace("leaf", row=LeafRow)


@bench.handles(BenchSignup, emits=[LeafPut])
def signup(row: BenchRow | None, event: Event[BenchSignup]) -> Outcome[BenchRow]:
    """What the plain work does, and two events follow."""
    new = event.data
    leaves = [LeafPut(leaf=f"{new.user}/{side}", email=new.email, credits=new.credits) for side in ("left", "right")]
    return Outcome(BenchRow(email=new.email, plan=new.plan, n=row.n + 1 if row else 1), emit=leaves)


@leaf.handles(LeafPut)
def put(row: LeafRow | None, event: Event[LeafPut]) -> Outcome[LeafRow]:
    """The last address, and how often."""
    return Outcome(LeafRow(email=event.data.email, n=row.n + 1 if row else 1))


def app() -> App:
    return App(name="retold-bench-chain", namespaces=[bench, leaf])
