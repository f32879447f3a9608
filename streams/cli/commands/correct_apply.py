"""Applies a plan: one coordinator brings the present to what the corrected past makes of it, and says so in a topic."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from msgspec.structs import replace

from streams.cli.output.screen import plural, talk
from streams.cli.process.opened_past import OpenedPast, open_past
from streams.cli.process.session import Session
from streams.engine.step import CorrectionStep
from streams.errors import BrokerError, HistoryError, StalePlan, unwritable_state
from streams.history.branch.change import Change
from streams.history.correction.corrected_past import Signature
from streams.history.correction.correction_plan import CorrectionPlan, refuse_other_log
from streams.history.correction.fixed_point import next_steps, reach_fixed_point
from streams.history.past import Past
from streams.kafka.corrections_topic import (
    APPLIED,
    APPLYING,
    CorrectionState,
    read_corrections,
    write_corrections,
)
from streams.kafka.step_writer import StepWriter
from streams.kafka.topics import ensure
from streams.private_files import lock_private, make_private

ALONE = 20_000_000
"""µs without a sign of another coordinator, on another machine, after which its correction is taken over."""


class CorrectionRun:
    """Of one application. Used by one thread."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._clients, self._prefix, self._app = session.clients, session.config.prefix, session.app
        self._name = f"{socket.gethostname()}-{os.getpid()}"
        self._opened = ExitStack()
        self._steps = 0
        """Of this correction, in the log."""

    def apply(self, plan: CorrectionPlan) -> int:
        """Returns how many steps were taken. Raises StalePlan, HistoryError, BrokerError and OutcomeTimeout."""
        ensure(self._clients.admin(), self._session.config, self._session.namespaces)
        known = read_corrections(self._clients, self._prefix, self._app.name)
        self._refuse_another(plan, known)
        stored = {it.correction: it.change for it in known}
        stored.setdefault(plan.correction, plan.change)
        changes = [it.read(self._session.codec) for it in stored.values()]
        with self._opened:
            log = self._log()
            refuse_other_log(plan, self._app.name, log)
            next_steps(log, self._past.handlers, changes, _signature(plan))  # what cannot be done is not begun
        state = self._begun(plan, known)
        try:
            taken = self._reach(state, changes)
        except BaseException:  # whoever goes on need not wait
            with suppress(BrokerError):
                self._say(replace(state, coordinator=""))
            raise
        self._say(replace(state, state=APPLIED, coordinator="", steps=self._steps))
        return taken

    def _reach(self, state: CorrectionState, changes: Sequence[Change]) -> int:
        with self._opened, closing(StepWriter(self._clients, self._prefix, self._session.namespaces)) as writer:

            def publish(steps: Sequence[CorrectionStep]) -> None:
                self._say(state)
                writer.send(steps)

            self._log()
            by = _signature(state)
            taken = reach_fixed_point(self._log, self._past.handlers, changes, by, publish)
            self._steps = sum(it.event.data.correction == state.correction for it in self._past.past.steps())
            return taken

    def _log(self) -> Past:
        """The log as it is now."""
        self._opened.close()
        self._past: OpenedPast = self._opened.enter_context(open_past(session=self._session, with_unhandled=False))
        if self._past.source.stuck:
            raise HistoryError(f"the past cannot be corrected, since not all of it can be read: {self._past.source.stuck[0]}")
        return self._past.past

    def _refuse_another(self, plan: CorrectionPlan, known: Sequence[CorrectionState]) -> None:
        now = self._clients.clock.now()
        for it in known:
            if it.correction != plan.correction and it.state == APPLYING:
                raise StalePlan(
                    f"the correction {it.correction} by {it.by} is not applied to its end: it is at work, or was stopped. Apply it "
                    "again until nothing differs; then make a new plan"
                )
            at_work = it.state == APPLYING and it.coordinator not in ("", self._name) and now - it.seen < ALONE
            if at_work and not _has_ended(it.coordinator):
                raise StalePlan(
                    f"the correction {it.correction} is being applied by {it.coordinator}, which was at work "
                    f"{(now - it.seen) / 1e6:.0f} s ago: let it end"
                )

    def _begun(self, plan: CorrectionPlan, known: Sequence[CorrectionState]) -> CorrectionState:
        """The state of this correction, which is written; it keeps its number if it was begun before."""
        now = self._clients.clock.now()
        was = next((it for it in known if it.correction == plan.correction), None)
        if was is None:
            number = max((it.number for it in known), default=0) + 1
            was = CorrectionState(
                self._app.name, plan.correction, number, plan.by, plan.why, plan.change, APPLYING, now, now, open=plan.calls
            )
        state = replace(was, state=APPLYING, coordinator=self._name)
        self._say(state)
        return state

    def _say(self, state: CorrectionState) -> None:
        write_corrections(self._clients, self._prefix, [replace(state, seen=self._clients.clock.now())])


def _signature(of: CorrectionPlan | CorrectionState) -> Signature:
    return Signature(of.correction, of.by, of.why)


def _has_ended(coordinator: str) -> bool:
    """Whether a coordinator of this machine has ended; of another machine's it is not known."""
    host, _, number = coordinator.rpartition("-")
    if host != socket.gethostname() or not number.isdigit():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


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
