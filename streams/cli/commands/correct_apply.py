"""Applies a plan: one coordinator brings the present to what the corrected past makes of it, and says so in a topic."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from itertools import takewhile
from pathlib import Path

from streams.cli.output.screen import plural, talk
from streams.cli.process.opened_past import OpenedPast, open_past
from streams.cli.process.session import Session
from streams.engine.step import CorrectionStep
from streams.errors import BrokerError, HistoryError, StalePlan, unwritable_state
from streams.history.branch.change import Change
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.correction.corrected_past import Signature
from streams.history.correction.correction_plan import CorrectionPlan, refuse_other_log
from streams.history.correction.fixed_point import check_steps, reach_fixed_point
from streams.history.past import Past
from streams.kafka.correction_claim import CorrectionClaim, is_at_work, own_name
from streams.kafka.corrections_topic import APPLIED, APPLYING, Corrections, CorrectionState, read_claims
from streams.kafka.step_writer import StepWriter
from streams.kafka.topics import ensure
from streams.private_files import lock_private, make_private


class CorrectionRun:
    """Of one application. Used by one thread."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._clients, self._prefix, self._app = session.clients, session.config.prefix, session.app
        self._claim = CorrectionClaim(session.clients, session.config.prefix, own_name())
        self._opened = ExitStack()
        self._steps = 0
        """Of this correction, in the log."""

    def apply(self, plan: CorrectionPlan) -> int:
        """Returns how many steps were taken. Raises StalePlan, HistoryError, BrokerError and OutcomeTimeout."""
        ensure(self._clients.admin(), self._session.config, self._session.namespaces)
        known = read_claims(self._clients, self._prefix, self._app.name)
        self._refuse_another(plan, known)
        before = next((it for it in known.states if it.correction == plan.correction), None)
        stored = {it.correction: it.change for it in known.states}
        stored.setdefault(plan.correction, plan.change)
        changes = [it.read(self._session.codec) for it in stored.values()]
        with self._opened:
            log = self._log()
            refuse_other_log(plan, self._app.name, log)
            handlers = self._past.handlers
            differ = check_steps(log, handlers, changes, _signature(plan), self._largest)
        if not differ and before is not None and before.state == APPLIED:
            return 0
        state = before or self._new_state(plan, known.states)
        self._claim.take(state, before, stored)
        try:
            taken = self._reach(state, handlers, changes)
            self._claim.look()
        except StalePlan:  # another one is at work, and says how it stands
            raise
        except BaseException:  # whoever goes on need not wait
            with suppress(BrokerError):
                self._claim.end(APPLYING, state.steps)
            raise
        self._claim.end(APPLIED, self._steps)
        return taken

    @property
    def _largest(self) -> int:
        return self._session.config.max_event_bytes

    def _reach(self, state: CorrectionState, handlers: ApplicationHandlers, changes: Sequence[Change]) -> int:
        with self._opened, closing(StepWriter(self._clients, self._prefix, self._session.namespaces)) as writer:

            def publish(steps: Sequence[CorrectionStep]) -> None:
                self._claim.look()
                writer.send(steps, self._claim.stay)

            def log() -> Past:
                self._claim.stay()
                found = self._log()
                self._claim.stay()  # deciding on it may take long
                return found

            by = _signature(state)
            taken = reach_fixed_point(log, handlers, changes, by, publish, self._largest)
            self._steps = sum(it.event.data.correction == state.correction for it in self._past.past.steps())
            return taken

    def _log(self) -> Past:
        """The log as it is now."""
        self._opened.close()
        self._past: OpenedPast = self._opened.enter_context(open_past(session=self._session, with_unhandled=False))
        if self._past.source.stuck:
            raise HistoryError(f"the past cannot be corrected, since not all of it can be read: {self._past.source.stuck[0]}")
        return self._past.past

    def _refuse_another(self, plan: CorrectionPlan, known: Corrections) -> None:
        """Of corrections that were stopped, the first is applied to its end first."""
        for state in takewhile(lambda it: it.correction != plan.correction, known.states):
            if state.state == APPLYING:
                raise StalePlan(
                    f"the correction {state.correction} by {state.by} is not applied to its end: it is at work, or was stopped. "
                    "Apply it again until nothing differs; then make a new plan"
                )
        now = self._clients.clock.now()
        for it in known.claims.values():
            if is_at_work(it, now):
                raise StalePlan(
                    f"the correction {it.correction} is being applied by {it.coordinator}, which was at work "
                    f"{(now - it.seen) / 1e6:.0f} s ago: let it end"
                )

    def _new_state(self, plan: CorrectionPlan, known: Sequence[CorrectionState]) -> CorrectionState:
        now, number = self._clients.clock.now(), max((it.number for it in known), default=0) + 1
        return CorrectionState(
            self._app.name, plan.correction, number, plan.by, plan.why, plan.change, APPLYING, now, now, open=plan.calls
        )


def _signature(of: CorrectionPlan | CorrectionState) -> Signature:
    return Signature(of.correction, of.by, of.why)


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
    with the_only_one(session.config.state):
        taken = CorrectionRun(session).apply(plan)
    if taken:
        talk(f"The correction {plan.correction} is applied: {plural(taken, 'row')} set.")
        if plan.projections:
            names = ', '.join(plan.projections)
            talk(f"A server's projections keep what the events had made of them, and are not corrected: {names}.")
    else:
        talk("Nothing differs: nothing was written.")
    return taken
