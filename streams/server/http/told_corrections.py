"""What corrections would change, and have changed, in a process that answers questions."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import msgspec

from streams.app import App
from streams.data import namespace_of
from streams.engine.readable import named
from streams.errors import InvalidChange, NoSuchEvent
from streams.history.branch.change_document import ChangeDocument, Find, change_of
from streams.history.correction.corrected_log import CorrectedLog, KnownCorrection
from streams.history.correction.planning import plan_again, plan_correction
from streams.history.correction.told_correction import told_correction
from streams.history.event_lookup import in_file
from streams.history.recorded_event import RecordedEvent
from streams.history.stored.stored_past import StoredPast
from streams.history.stored.stored_waiting import StoredWaiting
from streams.history.story.named_event import POSITION
from streams.server.access.principal import Principal, Right
from streams.server.http.access_checks import require
from streams.server.http.answering_parts import AnsweringParts
from streams.server.http.problems import Problem
from streams.server.http.question_forms import AnswerBody, ChangedQuestion, PlanAgainQuestion, PlanQuestion

DECISIONS: Final = 100_000
"""Events that are decided for one plan: a server has others to give."""


def plan(parts: AnsweringParts, asked: PlanQuestion) -> AnswerBody:
    """Raises a problem for what the principal may not correct."""
    document = msgspec.json.decode(asked.document, type=ChangeDocument)

    def ask(stored: StoredPast, waiting: StoredWaiting) -> AnswerBody:
        so_far = _so_far(parts, stored, asked.begun)
        past, find = so_far.past(parts.handlers), in_file(stored, waiting, parts.app)

        change = change_of(parts.app, document, _permitted(parts.app, asked.principal, lambda name: find(past, name)))
        if not (change.insert or change.remove or change.replace):
            raise Problem(422, "nothing is changed: insert, remove or replace an event", field="insert")
        for it in change.insert:
            require(asked.principal, Right("correct", namespace_of(it.data.event_type)))
        planned = plan_correction(
            so_far, parts.handlers, change, asked.principal.name, asked.why, DECISIONS, assume_answers=asked.assume_answers
        )
        return AnswerBody(msgspec.json.encode(planned))

    return parts.ask_past(ask, codec=parts.codec)


def _permitted(app: App, principal: Principal, find: Find) -> Find:
    """Finds what the principal may correct. Whether there is any other event of a name is not told: not by another error either."""
    names = [space.name for space in app.namespaces]
    may = {name for name in names if principal.may(Right("correct", name))}

    def permitted(text: str) -> RecordedEvent:
        if len(may) == len(names):
            return find(text)
        at = POSITION.fullmatch(text)
        if at is not None and at[1] in names:
            require(principal, Right("correct", at[1]))
            return find(text)
        with suppress(NoSuchEvent, InvalidChange):  # the latter of a step, which can be anybody's
            if (found := find(text)).namespace in may:
                return found
        raise NoSuchEvent(
            f"there is no event of the id {named(text)!r} that {principal.name} may correct, or more than one: name one by its "
            "position, such as user-0:7"
        )

    return permitted


def plan_once_more(parts: AnsweringParts, asked: PlanAgainQuestion) -> AnswerBody:
    def ask(stored: StoredPast, _: StoredWaiting) -> AnswerBody:
        so_far = _so_far(parts, stored, asked.begun)
        return AnswerBody(msgspec.json.encode(plan_again(so_far, parts.handlers, asked.kept, DECISIONS)))

    return parts.ask_past(ask, codec=parts.codec)


def changed(parts: AnsweringParts, asked: ChangedQuestion) -> AnswerBody:
    def ask(stored: StoredPast, _: StoredWaiting) -> AnswerBody:
        before, change = [it.read(parts.codec) for it in asked.before], asked.change.read(parts.codec)
        found = told_correction(stored, parts.handlers, asked.correction, before, change, DECISIONS)
        return AnswerBody(msgspec.json.encode(found))

    return parts.ask_past(ask, codec=parts.codec)


def _so_far(parts: AnsweringParts, log: StoredPast, begun: Sequence[KnownCorrection]) -> CorrectedLog:
    return CorrectedLog.of(log, begun, parts.codec)
