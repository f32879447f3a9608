"""The probe with handlers that do not return: one sleeps, one holds Python's lock in a call of C, one crashes."""

from __future__ import annotations

import faulthandler
import re
import time

from streams import App, Event, Namespace, Outcome
from tests.applications.probe.events import ProbeDo, ProbeRow

probe = Namespace("probe", row=ProbeRow)
LONG = "a" * 60 + "b"
WAYS = {"sleep": time.sleep}
"""What `check` cannot see into."""


@probe.handles(ProbeDo)
def do(row: ProbeRow | None, event: Event[ProbeDo]) -> Outcome[ProbeRow]:
    how = event.data.how
    if how == "sleep":
        WAYS[how](3600)
    if how == "regex":
        re.match("(a+)+$", LONG)
    if how == "crash":
        faulthandler._sigsegv()  # type: ignore[attr-defined]  # for tests like this one
    return Outcome(ProbeRow(count=(row.count if row else 0) + 1, texts={}))


def app() -> App:
    return App(name="stuck", namespaces=[probe])
