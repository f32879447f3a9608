"""The probe with a handler that takes about 10 ms an event, so that a transaction has a middle; to raise takes longer."""

from __future__ import annotations

import time

from streams import App, Event, Namespace, Outcome
from tests.applications.probe.events import ProbeDo, ProbeRow

probe = Namespace("probe", row=ProbeRow)


@probe.handles(ProbeDo)
def do(row: ProbeRow | None, event: Event[ProbeDo]) -> Outcome[ProbeRow]:
    if event.data.how == "raise":
        time.sleep(0.5)  # as below
        raise RuntimeError("told to raise")
    time.sleep(0.01)  # what is tried is a handler that takes this long
    return Outcome(ProbeRow(count=(row.count if row else 0) + 1, texts={}))


def app() -> App:
    return App(name="slow", namespaces=[probe])
