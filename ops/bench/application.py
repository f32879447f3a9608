"""What retold is measured with: one namespace, one handler, written as any user would."""

from __future__ import annotations

from ops.bench.events import BenchRow, BenchSignup
from streams import App, Event, Namespace, Outcome

bench = Namespace("bench", row=BenchRow)


@bench.handles(BenchSignup)
def signup(row: BenchRow | None, event: Event[BenchSignup]) -> Outcome[BenchRow]:
    """The last address and plan, and how often."""
    new = event.data
    return Outcome(BenchRow(email=new.email, plan=new.plan, n=row.n + 1 if row else 1))


def app() -> App:
    return App(name="retold-bench", namespaces=[bench])
