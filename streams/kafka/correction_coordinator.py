"""The coordinator of a correction: it brings the present to what the corrected past makes of it, and says so in a topic."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from contextlib import AbstractContextManager, ExitStack, closing, suppress
from itertools import takewhile

from msgspec.structs import replace

from streams.app import App
from streams.codec import AvroCodec
from streams.engine.readable import in_a_line, shortened
from streams.engine.step import CorrectionStep
from streams.errors import BeforeHistory, HistoryError, NoSuchEvent, StalePlan, StreamsError
from streams.history.branch.change import Change
from streams.history.code.application_handlers import ApplicationHandlers
from streams.history.correction.corrected_log import naming_corrections
from streams.history.correction.corrected_past import CorrectedPast, Signature
from streams.history.correction.correction_calls import ASK, SettledCalls, refuse_unknown_policy, settle_calls
from streams.history.correction.correction_plan import CorrectionPlan, refuse_other_log, schema_ids_of
from streams.history.correction.fixed_point import check_steps, reach_fixed_point
from streams.history.correction.last_corrected import LastCorrected
from streams.history.correction.merged_change import refuse_stale
from streams.history.correction.unknown_corrections import refuse_unknown
from streams.history.past import Past
from streams.kafka.cancellable_steps import Cancelled, never_cancelled
from streams.kafka.clients import Clients
from streams.kafka.correction_calls_topic import read_calls, write_calls
from streams.kafka.correction_claim import CorrectionClaim
from streams.kafka.corrections_topic import (
    APPLIED,
    APPLYING,
    PLANNED,
    CorrectionState,
    find_correction,
    read_claims,
    take_back,
    write_correction,
)
from streams.kafka.last_markers import refuse_other_generation
from streams.kafka.schemas_topic import LearningCodec
from streams.kafka.step_writer import STILL, StepWriter
from streams.kafka.undo_publisher import UndoPublisher
from streams.kafka.unsettled_consequences import why_unsettled

BETWEEN_LOOKS = 1.0
"""s between two looks whether what is in flight has been handled."""
LONGEST_WHY = 500
"""Characters of why a coordinator has ended before its end."""
RecordedLog = Callable[[], AbstractContextManager[Past]]
"""Opens the log as it is now, up to what is committed. Raises StreamsError if not all of it can be read."""


class CorrectionCoordinator:
    """Of one application. Used by one thread, for one plan."""

    def __init__(  # noqa: PLR0913 - what it uses of its process
        self, clients: Clients, prefix: str, app: App, codec: AvroCodec, recorded: RecordedLog, *, name: str, largest: int,
        stopped: Cancelled = never_cancelled,
    ) -> None:  # fmt: skip
        """`name` is its own among all coordinators, `largest` how many bytes an event may hold; `stopped`: its process ends."""
        self._clients, self._prefix, self._app, self._codec = clients, prefix, app, codec
        self._recorded, self._largest, self._stopped = recorded, largest, stopped
        self._handlers, self._learning = ApplicationHandlers(app, codec), LearningCodec(codec, clients, prefix)
        self._claim = CorrectionClaim(clients, prefix, name)
        self._opened = ExitStack()
        self._steps = 0
        """Of this correction, in the log."""
        self.settled = SettledCalls([], [])
        """What became of calls of gateways."""

    def apply(
        self, plan: CorrectionPlan | CorrectionState, calls: str | None = None, begun: Callable[[], None] = lambda: None
    ) -> int:
        """Returns how many steps were taken. Raises StalePlan, HistoryError, BrokerError and OutcomeTimeout.

        `calls` says what to do about calls of gateways that it has made wrong; None: as when it was begun. It calls `begun` once
        it is at work: nobody else is then.
        """
        refuse_unknown_policy(calls or ASK)
        known = self._claim.known(self._app.name)
        others = [it for it in known.states if it.state != PLANNED]
        self._refuse_another(plan, others)
        before = next((it for it in known.states if it.correction == plan.correction), None)
        stored = {it.correction: it.change for it in others}
        stored.setdefault(plan.correction, plan.change)
        self._learning.texts_of(schema_ids_of(stored.values()))
        changes = [it.read(self._codec) for it in stored.values()]
        applied = before is not None and before.state == APPLIED
        were = [it for name, it in zip(stored, changes, strict=True) if applied or name != plan.correction]
        decided = LastCorrected(self._handlers, changes, were)
        with self._opened:
            log = self._open()
            refuse_other_log(plan, self._app.name, log)
            refuse_unknown(log, stored.keys())
            if all(it.correction != plan.correction for it in others):
                refuse_stale(log, changes[:-1], changes[-1])
            try:
                differ = check_steps(decided.of(log), _signature(plan), self._largest)
            except (BeforeHistory, NoSuchEvent):
                with naming_corrections():  # is it an event of this one that is gone, or of those before?
                    LastCorrected(self._handlers, were).of(log)
                raise
            if not differ and before is not None and before.state == APPLIED and calls is None:
                return 0
            refuse_other_generation(self._clients, self._prefix, self._app)  # before it holds up all others
            state = before if before is not None and before.state != PLANNED else self._new_state(plan, others)
            state = replace(state, calls=calls or state.calls, stopped="")
            self._claim.take(state, before, stored)
            begun()
            return self._to_its_end(state, changes, decided)

    def _to_its_end(self, state: CorrectionState, changes: Sequence[Change], decided: LastCorrected) -> int:
        try:
            taken = self._reach(state, changes, decided)
            self._claim.look()
        except StalePlan:  # another one is at work, and says how it stands
            raise
        except BaseException as error:  # whoever goes on need not wait
            with suppress(StreamsError):  # the first error counts; and it may have lost its turn
                self._claim.look()
                self._claim.end(APPLYING, self._steps or state.steps, shortened(_why(error), LONGEST_WHY))
            raise
        self._claim.end(APPLIED, self._steps)
        return taken

    def keep(self, plan: CorrectionPlan) -> None:
        """Keep a plan, so that whoever knows its id can apply it. Nothing happens yet.

        Raises InvalidChange for one that is too large to be kept, and BrokerError.
        """
        known = read_claims(self._clients, self._prefix, self._app.name)
        if all(it.correction != plan.correction for it in known.states):
            state = replace(self._new_state(plan, ()), state=PLANNED, number=0)
            write_correction(self._clients, self._prefix, state)

    def withdraw(self, name: str) -> CorrectionState:
        """As if it had never been planned or begun. Raises StalePlan if it may have changed anything, and BrokerError."""
        found = find_correction(self._claim.known(self._app.name), name)
        if found.sent or found.state == APPLIED or found.steps:
            raise StalePlan(
                f"the correction {found.correction} has been applied, at least in part, and stays in the log. Apply it to its end, "
                "then correct it: take out what it put in, put in again what it took out, or replace what it replaced"
            )
        take_back(self._clients, self._prefix, found.correction)
        return found

    def _open(self) -> Past:
        """The log as it is now, in place of the one that was opened before."""
        self._opened.close()
        return self._opened.enter_context(self._recorded())

    def _reach(self, state: CorrectionState, changes: Sequence[Change], decided: LastCorrected) -> int:
        """The log is looked at anew: it may be long ago that it was checked."""
        generations, looked_at = {space.name: space.generation for space in self._app.namespaces}, list[Past]()
        with closing(StepWriter(self._clients, self._prefix, generations)) as writer:

            def publish(steps: Sequence[CorrectionStep]) -> None:
                self._claim.send()
                writer.send(steps, self._stay)

            def log() -> Past:
                self._stay()
                found = self._open()
                looked_at[:] = [found]
                self._steps = sum(it.event.data.correction == state.correction for it in found.steps())
                self._stay()  # deciding on it may take long
                return found

            waits_since: list[float] = []

            def pass_all() -> None:
                """So workers of another generation are met, and one that goes over to other rows later knows of this correction."""
                self._claim.look()
                writer.pass_all(self._stay)

            def await_handled(past: Past, otherwise: Set[str]) -> bool:
                pass_all()
                if not (why := why_unsettled(self._clients, self._prefix, self._app, self._handlers, past, otherwise)):
                    return True
                clock = self._clients.clock
                waits_since.append(clock.monotonic())
                if clock.monotonic() - waits_since[0] > STILL:
                    raise HistoryError(f"{why}. All that was set before stands: apply the correction again when it is handled")
                clock.sleep(BETWEEN_LOOKS)
                return False

            pass_all()  # before any step: it is no step to workers of another generation
            taken = reach_fixed_point(
                log, self._handlers, changes, _signature(state), publish, self._largest, await_handled, decided
            )
            if not decided.of(looked_at[0]).otherwise:  # else all have passed already
                pass_all()
            if self._app.gateways:
                self._settle_calls(state, decided.of(looked_at[0]), looked_at[0])
            return taken

    def _stay(self) -> None:
        if self._stopped():
            raise HistoryError("its process was stopped. All that was set before stands: apply the correction again")
        self._claim.stay()

    def _settle_calls(self, state: CorrectionState, corrected: CorrectedPast, log: Past) -> None:
        """What is published is in its inbox before that is kept: whoever is stopped in between publishes it again, by its id."""
        known = read_calls(self._clients, self._prefix, self._app.name)
        undo = UndoPublisher(self._clients, self._prefix, self._codec, self._largest)
        self._claim.look()
        self.settled = settle_calls(
            corrected, log, self._handlers, known, correction=state.correction, by=state.by, policy=state.calls,
            now=self._clients.clock.now(), publish=undo.publish,
        )  # fmt: skip
        undo.flush()
        write_calls(self._clients, self._prefix, *self.settled)

    @staticmethod
    def _refuse_another(plan: CorrectionPlan | CorrectionState, begun: Sequence[CorrectionState]) -> None:
        """Of corrections that were stopped, the first is applied to its end first."""
        for state in takewhile(lambda it: it.correction != plan.correction, begun):
            if state.state == APPLYING:
                raise StalePlan(
                    f"the correction {state.correction} by {state.by} is not applied to its end: it is at work, or was stopped. "
                    "Apply it again until nothing differs; then make a new plan"
                )

    def _new_state(self, plan: CorrectionPlan | CorrectionState, known: Sequence[CorrectionState]) -> CorrectionState:
        now, number = self._clients.clock.now(), max((it.number for it in known), default=0) + 1
        return CorrectionState(
            self._app.name, plan.correction, number, plan.by, plan.why, plan.change, APPLYING, now, now, first=plan.first,
            digest=plan.digest, touches=plan.touches,
        )  # fmt: skip


def _why(error: BaseException) -> str:
    """Why a coordinator has ended before its end: its process was told to stop by what is no Exception."""
    if isinstance(error, StreamsError):
        return str(error)
    if isinstance(error, Exception):
        return f"a fault of retold's own: {in_a_line(error)}. The log of its coordinator says more. All that was set before stands"
    return "its process was stopped"


def _signature(of: CorrectionPlan | CorrectionState) -> Signature:
    return Signature(of.correction, of.by, of.why)
