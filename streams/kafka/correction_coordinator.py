"""The coordinator of a correction: it brings the present to what the corrected past makes of it, and says so in a topic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, suppress
from itertools import takewhile

from streams.app import App
from streams.engine.records import Codec
from streams.engine.step import CorrectionStep
from streams.errors import BrokerError, StalePlan
from streams.history.branch.change import Change
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.correction.corrected_past import Signature
from streams.history.correction.correction_plan import CorrectionPlan, refuse_other_log
from streams.history.correction.fixed_point import check_steps, reach_fixed_point
from streams.history.past import Past
from streams.kafka.clients import Clients
from streams.kafka.correction_claim import CorrectionClaim
from streams.kafka.corrections_topic import APPLIED, APPLYING, CorrectionState
from streams.kafka.step_writer import StepWriter

RecordedLog = Callable[[], AbstractContextManager[Past]]
"""Opens the log as it is now, up to what is committed. Raises StreamsError if not all of it can be read."""


class CorrectionCoordinator:
    """Of one application. Used by one thread, for one plan."""

    def __init__(
        self, clients: Clients, prefix: str, app: App, codec: Codec, recorded: RecordedLog, *, name: str, largest: int
    ) -> None:
        """`name` is its own among all coordinators, `largest` how many bytes an event may hold."""
        self._clients, self._prefix, self._app, self._codec = clients, prefix, app, codec
        self._recorded, self._largest = recorded, largest
        self._handlers = ApplicationHandlers(app, codec)
        self._claim = CorrectionClaim(clients, prefix, name)
        self._opened = ExitStack()
        self._steps = 0
        """Of this correction, in the log."""

    def apply(self, plan: CorrectionPlan) -> int:
        """Returns how many steps were taken. Raises StalePlan, HistoryError, BrokerError and OutcomeTimeout."""
        known = self._claim.known(self._app.name)
        self._refuse_another(plan, known.states)
        before = next((it for it in known.states if it.correction == plan.correction), None)
        stored = {it.correction: it.change for it in known.states}
        stored.setdefault(plan.correction, plan.change)
        changes = [it.read(self._codec) for it in stored.values()]
        with self._recorded() as log:
            refuse_other_log(plan, self._app.name, log)
            differ = check_steps(log, self._handlers, changes, _signature(plan), self._largest)
        if not differ and before is not None and before.state == APPLIED:
            return 0
        state = before or self._new_state(plan, known.states)
        self._claim.take(state, before, stored)
        try:
            taken = self._reach(state, changes)
            self._claim.look()
        except StalePlan:  # another one is at work, and says how it stands
            raise
        except BaseException:  # whoever goes on need not wait
            with suppress(BrokerError):
                self._claim.end(APPLYING, state.steps)
            raise
        self._claim.end(APPLIED, self._steps)
        return taken

    def _reach(self, state: CorrectionState, changes: Sequence[Change]) -> int:
        namespaces = [space.name for space in self._app.namespaces]
        with self._opened, closing(StepWriter(self._clients, self._prefix, namespaces)) as writer:

            def publish(steps: Sequence[CorrectionStep]) -> None:
                self._claim.look()
                writer.send(steps, self._claim.stay)

            def log() -> Past:
                self._claim.stay()
                self._opened.close()
                found = self._opened.enter_context(self._recorded())
                self._steps = sum(it.event.data.correction == state.correction for it in found.steps())
                self._claim.stay()  # deciding on it may take long
                return found

            return reach_fixed_point(log, self._handlers, changes, _signature(state), publish, self._largest)

    @staticmethod
    def _refuse_another(plan: CorrectionPlan, known: Sequence[CorrectionState]) -> None:
        """Of corrections that were stopped, the first is applied to its end first."""
        for state in takewhile(lambda it: it.correction != plan.correction, known):
            if state.state == APPLYING:
                raise StalePlan(
                    f"the correction {state.correction} by {state.by} is not applied to its end: it is at work, or was stopped. "
                    "Apply it again until nothing differs; then make a new plan"
                )

    def _new_state(self, plan: CorrectionPlan, known: Sequence[CorrectionState]) -> CorrectionState:
        now, number = self._clients.clock.now(), max((it.number for it in known), default=0) + 1
        return CorrectionState(
            self._app.name, plan.correction, number, plan.by, plan.why, plan.change, APPLYING, now, now, open=plan.calls
        )


def _signature(of: CorrectionPlan | CorrectionState) -> Signature:
    return Signature(of.correction, of.by, of.why)
