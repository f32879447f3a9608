"""Applies a plan: one coordinator on this machine, which reads the past as other commands do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from streams.cli.output.screen import plural, talk
from streams.cli.process.opened_past import open_past
from streams.cli.process.session import Session
from streams.errors import HistoryError
from streams.history.correction.correction_calls import OPEN, UNDONE
from streams.history.correction.correction_plan import CorrectionPlan
from streams.history.past import Past
from streams.kafka.coordinator_name import own_name
from streams.kafka.correction_coordinator import CorrectionCoordinator
from streams.kafka.correction_lock import the_only_one
from streams.kafka.corrections_topic import CorrectionState, ensure_corrections


def coordinator_of(session: Session) -> CorrectionCoordinator:
    @contextmanager
    def recorded() -> Iterator[Past]:
        with open_past(session=session, with_unhandled=False) as opened:
            if opened.source.stuck:
                raise HistoryError(f"the past cannot be corrected, since not all of it can be read: {opened.source.stuck[0]}")
            yield opened.past

    config = session.config
    ensure_corrections(session.clients.admin(), config, session.namespaces)
    return CorrectionCoordinator(
        session.clients, config.prefix, session.app, session.codec, recorded, name=own_name(), largest=config.max_event_bytes
    )


def apply_plan(session: Session, plan: CorrectionPlan | CorrectionState, calls: str | None = None) -> int:
    """Returns how many rows were set. `calls` as for CorrectionCoordinator."""
    with the_only_one(session.config.state):
        coordinator = coordinator_of(session)
        taken = coordinator.apply(plan, calls)
    changed = coordinator.settled.changed
    if taken:
        talk(f"The correction {plan.correction} is applied: {plural(taken, 'row')} set. Servers fold their projections again.")
    elif not changed:
        talk("Nothing differs: nothing was written.")
    if undone := sum(it.state == UNDONE for it in changed):
        talk(f"{plural(undone, 'call')} of gateways taken back, each by an event.")
    if left := sum(it.state == OPEN for it in changed):
        talk(f"{plural(left, 'call')} of gateways left to a person: retold correct open")
    return taken
