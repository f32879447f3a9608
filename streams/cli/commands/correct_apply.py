"""Applies a plan: one coordinator on this machine, which reads the past as other commands do."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streams.cli.output.screen import plural, talk
from streams.cli.process.opened_past import open_past
from streams.cli.process.session import Session
from streams.errors import HistoryError, StalePlan, unwritable_state
from streams.history.correction.correction_plan import CorrectionPlan
from streams.history.past import Past
from streams.kafka.correction_claim import own_name
from streams.kafka.correction_coordinator import CorrectionCoordinator
from streams.kafka.topics import ensure
from streams.private_files import lock_private, make_private


@contextmanager
def the_only_one(folder: Path) -> Iterator[None]:
    """Raises StalePlan if another coordinator of this project is at work on this machine."""
    try:
        make_private(folder)
        file = lock_private(folder / "correction.lock")
    except OSError as error:
        raise unwritable_state(folder, error) from error
    if file is None:
        raise StalePlan("another `retold correct apply` of this project is at work on this machine: let it end")
    try:
        yield
    finally:
        os.close(file)


def apply_plan(session: Session, plan: CorrectionPlan) -> int:
    """Returns how many rows were set."""

    @contextmanager
    def recorded() -> Iterator[Past]:
        with open_past(session=session, with_unhandled=False) as opened:
            if opened.source.stuck:
                raise HistoryError(f"the past cannot be corrected, since not all of it can be read: {opened.source.stuck[0]}")
            yield opened.past

    config = session.config
    with the_only_one(config.state):
        ensure(session.clients.admin(), config, session.namespaces)
        coordinator = CorrectionCoordinator(
            session.clients, config.prefix, session.app, session.codec, recorded, name=own_name(), largest=config.max_event_bytes
        )
        taken = coordinator.apply(plan)
    if taken:
        talk(f"The correction {plan.correction} is applied: {plural(taken, 'row')} set.")
        if plan.projections:
            names = ', '.join(plan.projections)
            talk(f"Each server folds these projections again, and says in its answers until when they are not corrected: {names}.")
    else:
        talk("Nothing differs: nothing was written.")
    return taken
