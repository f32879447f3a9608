"""What is asked of corrections: plans, what they have changed, and how they stand. All of it may block for seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from streams.data import namespace_of
from streams.engine.readable import harmless, shortened
from streams.errors import UNREADABLE_JSON, HistoryError, InvalidEvent
from streams.history.branch.change_document import ChangeDocument, InsertedDocument, bounded
from streams.history.correction.corrected_log import KnownCorrection
from streams.history.correction.correction_calls import CorrectionCall
from streams.history.correction.correction_plan import CorrectionPlan, decode_plan
from streams.history.correction.planning import refuse_unsigned
from streams.history.correction.told_correction import ToldCorrection
from streams.history.stored.stored_past import state_of
from streams.kafka.correction_coordinator import LONGEST_WHY
from streams.kafka.correction_document import correction_document
from streams.kafka.corrections_topic import APPLIED, PLANNED, CorrectionState
from streams.server.access.principal import Principal, Right
from streams.server.corrector import Corrector, OpenedLog
from streams.server.http.access_checks import require
from streams.server.http.parts import ServerParts
from streams.server.http.problems import Problem
from streams.server.http.question_forms import AnswerBody, ChangedQuestion, PlanAgainQuestion, PlanQuestion, Question
from streams.server.http.questions import CORRECTION

SHOWN = ("rows", "missing", "surplus", "changed")


class CorrectionDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A change, and why it is made."""

    why: str
    insert: list[InsertedDocument] = []
    remove: list[str] = []
    replace: dict[str, dict[str, Any]] = {}
    assume_answers: bool = False


def read_correction(body: bytes) -> CorrectionDocument:
    """Raises InvalidEvent."""
    try:
        return msgspec.json.decode(body, type=CorrectionDocument)
    except UNREADABLE_JSON as error:
        raise InvalidEvent(
            f"this is no correction: {error}. A JSON object with why, and insert, remove or replace, was expected, as docs/http.md "
            "describes"
        ) from error


class CorrectionQuestions:
    """Of one server."""

    def __init__(self, parts: ServerParts, corrector: Corrector) -> None:
        self._parts, self._corrector = parts, corrector

    def plan(self, asked: CorrectionDocument, principal: Principal) -> tuple[CorrectionPlan, CorrectionState]:
        """Plan it, and keep the plan. Raises a problem for what the principal may not correct."""
        document = bounded(ChangeDocument(asked.insert, asked.remove, asked.replace))
        refuse_unsigned(principal.name, asked.why)
        begun, who = _begun(self._corrector.states()), replace(principal, only={}, publish_only={}, digest=b"")
        question = PlanQuestion(msgspec.json.encode(document), who, asked.why.strip(), begun, asked.assume_answers)
        plan = decode_plan(self._answer("the plan of a correction", question))
        self.permit(principal, plan.touches)
        self._corrector.keep(plan)
        return plan, self.state(plan.correction)

    def plan_again(self, state: CorrectionState) -> CorrectionPlan:
        """Of one that is kept, as it is by now."""
        question = PlanAgainQuestion(state, _begun(self._corrector.states()))
        return decode_plan(self._answer(f"the plan of {state.correction}", question))

    def _answer(self, what: str, question: Question) -> bytes:
        """Of the log up to what is committed."""
        with self._corrector.log() as log:
            return self._told_by(log, what, question)

    def _told_by(self, log: OpenedLog, what: str, question: Question) -> bytes:
        return self._parts.questions.answer(CORRECTION, what, log.file, question, AnswerBody).content

    def state(self, correction: str) -> CorrectionState:
        """Raises a 404 problem."""
        for it in self._corrector.states():
            if it.correction == correction:
                return it
        raise Problem(404, f"there is no correction {shortened(correction, 80)!r}: it was never planned, or is withdrawn")

    def permit(self, principal: Principal, touches: Sequence[str] | None) -> None:
        """Raises a 403 problem for a namespace that it may not correct; None: it may be any."""
        for name in self._touched(touches):
            require(principal, Right("correct", name))

    def permitted(self, principal: Principal, states: Sequence[CorrectionState]) -> list[CorrectionState]:
        """Those that it may see."""
        return [
            it for it in states if all(principal.may(Right("correct", name)) for name in self._touched(it.touches))
        ]

    def _touched(self, touches: Sequence[str] | None) -> Sequence[str]:
        return [space.name for space in self._parts.app.namespaces] if touches is None else touches

    def whole(self, state: CorrectionState, principal: Principal) -> tuple[Mapping[str, Any], str]:
        """All that is told of one, and the digest of its plan; of one that was begun, the one that it was begun with."""
        untold, digest, changes = None, state.digest, None
        try:
            if state.state == PLANNED:
                plan = self.plan_again(state)
                self.permit(principal, plan.touches)
                digest, changes = plan.digest, plan_members(plan)
            else:
                told = self._told(state)
                self.permit(principal, told.touches)
                changes = {**told._asdict(), "calls": [], "open": 0, "projections": []}
        except HistoryError as error:
            untold = str(error)
        calls = [it for it in self._corrector.calls().values() if it.correction == state.correction and may_correct(principal, it)]
        members = {
            **self.document(state), "digest": digest, "touches": [*self._touched(state.touches)], "changes": changes,
            "untold": untold, "wrong_calls": [call_members(it) for it in calls],
        }  # fmt: skip
        return members, digest

    def document(self, state: CorrectionState) -> Mapping[str, Any]:
        """How it stands: also why this server has not applied it, where nobody has begun to."""
        found, attempt = correction_document(state), self._corrector.attempt(state.correction)
        if attempt is None or attempt.error is None or state.coordinator or state.stopped or state.state == APPLIED:
            return found
        return {**found, "stopped": shortened(harmless(str(attempt.error)), LONGEST_WHY)}

    def _told(self, state: CorrectionState) -> ToldCorrection:
        before = [it for it in self._corrector.states() if it.state != PLANNED and it.number < state.number]
        what = f"what {state.correction} has changed"
        with self._corrector.log() as log:

            def tell() -> ToldCorrection:
                question = ChangedQuestion(state.correction, [it.change for it in before], state.change)
                return msgspec.json.decode(self._told_by(log, what, question), type=ToldCorrection)

            key = state_of(log.past), state.correction, tuple(it.correction for it in before)
            return self._parts.told.of(key, tell)


def _begun(states: Sequence[CorrectionState]) -> list[KnownCorrection]:
    return [it.known for it in states if it.state != PLANNED]


def plan_members(plan: CorrectionPlan) -> Mapping[str, Any]:
    """What a plan says that it would change."""
    return {name: getattr(plan, name) for name in (*SHOWN, "calls", "open", "projections")}


def may_correct(principal: Principal, call: CorrectionCall) -> bool:
    return principal.may(Right("correct", namespace_of(call.type)))


def call_members(it: CorrectionCall) -> Mapping[str, Any]:
    """As `retold correct open --json` has it."""
    return {name: value for name, value in msgspec.structs.asdict(it.told).items() if name not in ("wanted", "deed")}
