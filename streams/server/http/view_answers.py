"""What a view answers at a moment, in a process that answers questions."""

from __future__ import annotations

import logging

from streams.app import App
from streams.history.past_views import no_answer
from streams.outcome import Rejected
from streams.server.http.answering_parts import AnsweringParts
from streams.server.http.problems import Problem
from streams.server.http.question_forms import Refused, ViewFound, ViewQuestion, read_filters
from streams.server.http.snapshot import TableSnapshot
from streams.server.readmodel.row_json import to_json
from streams.view import Tables, View

log = logging.getLogger("retold.server")


def view_found(parts: AnsweringParts, asked: ViewQuestion) -> ViewFound:
    """The value as JSON, of the rows that are there by `only`.

    Raises a problem: errors in the view, including those of encoding its value, are reported as the application's.
    """
    model, view = parts.model, view_at(parts.app, asked.path)
    asked.states.put_in(model)
    with model.moment() as moment:
        snapshot = TableSnapshot(model, moment, read_filters(asked.only, model.row_types))
        value, did = b"", "raised"
        try:
            found = view.answer(Tables(snapshot), **asked.names)
            did = "gave what cannot be written as JSON:"
            value = to_json(found)
        except BaseException as error:  # in this process none of these means an end
            if snapshot.refused is None:
                raise raised_in(view, did, error) from error
        positions = [(*at, sequence) for at, sequence in moment.positions(kinds_of(parts.app)).items()]
    refused = None if snapshot.refused is None else refused_by(snapshot.refused)
    return ViewFound(value, sorted(snapshot.asked), positions, refused)


def view_at(app: App, path: str) -> View:
    return next(it for it in app.views if it.path == path)


def raised_in(view: View, did: str, error: BaseException) -> Problem:
    """The problem of what a view did, which is logged if it is a fault of the view's."""
    if isinstance(error, Rejected):
        return Problem(404, no_answer(view.path, error))
    log.error("the view %s %s", view.path, did, exc_info=error)
    return Problem(500, f"the view {view.path} {did} {type(error).__name__}; the server's log says more")


def refused_by(problem: Problem) -> Refused:
    return Refused(problem.status, problem.detail, problem.field, problem.kind, problem.headers, problem.members)


def kinds_of(app: App) -> tuple[str, ...]:
    """The kinds of topics that a view's answer may depend on."""
    return ("table", "log") if app.projections else ("table",)
