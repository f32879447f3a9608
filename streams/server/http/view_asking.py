"""Asks a view what it answers now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from streams.query.filters import Filter
from streams.server.http.answers import AnswerPosition, ready
from streams.server.http.parts import ServerParts
from streams.server.http.problems import Problem
from streams.server.http.question_forms import TableStates, ViewFound, ViewQuestion, stored_filters
from streams.server.http.questions import VIEW, problem_in
from streams.server.http.view_answers import kinds_of
from streams.view import View


class ViewAnswer(NamedTuple):
    value: msgspec.Raw
    at: AnswerPosition


def ask_view(parts: ServerParts, view: View, names: Mapping[str, str], only: Mapping[str, Sequence[Filter]]) -> ViewAnswer:
    """The value as JSON, of the rows that are there by `only`, and its position. Blocks. Raises as `Questions.ask`."""
    model = parts.model
    remade, lag = model.remade, model.lag(kinds_of(parts.app), model.partitions())
    question = ViewQuestion(view.path, dict(names), stored_filters(only), TableStates.of(model))
    found = parts.questions.answer(VIEW, f"the view {view.path}", model.readers.opened(), question, ViewFound)
    ready(parts)  # the model may have been reset meanwhile
    at = _position(parts, found, lag).of_tables(remade, found.asked)
    if found.refused is not None:
        refused = problem_in(found.refused)
        detail = f"the view {view.path} rests on a table that is not whole: {refused.detail}"
        raise Problem(refused.status, detail, kind=refused.kind, headers={**refused.headers, **at.headers})
    return ViewAnswer(msgspec.Raw(found.value), at)


def _position(parts: ServerParts, found: ViewFound, lag: int | None) -> AnswerPosition:
    there = {(namespace, number): sequence for namespace, number, sequence in found.positions}
    return AnswerPosition({each: there.get(each, 0) for each in parts.model.partitions()}, lag)
