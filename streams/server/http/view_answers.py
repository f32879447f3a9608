"""What a view answers at a moment."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import msgspec

from streams.app import App
from streams.query.filters import Filter
from streams.server.http.answers import AnswerPosition, ready, standing_at
from streams.server.http.parts import ServerParts
from streams.server.http.problems import Problem
from streams.server.http.snapshot import TableSnapshot
from streams.server.readmodel.row_json import to_json
from streams.server.readmodel.store_moment import StoreMoment
from streams.view import Tables, View

log = logging.getLogger("retold.server")


def view_answer(
    parts: ServerParts, view: View, names: Mapping[str, str], only: Mapping[str, Sequence[Filter]], moment: StoreMoment
) -> tuple[msgspec.Raw, AnswerPosition]:
    """The value as JSON, of the rows that are there by `only`, and its position.

    Raises a problem: errors in the view, including those of encoding its value, are reported as the application's.
    """
    model = parts.model
    remade = model.remade
    at = standing_at(model, moment, kinds_of(parts.app), model.partitions())
    snapshot = TableSnapshot(model, moment, only)
    value, did = msgspec.Raw(), "raised"
    try:
        found = view.answer(Tables(snapshot), **names)
        did = "gave what cannot be written as JSON:"
        value = msgspec.Raw(to_json(found))
    except BaseException as error:  # in a pool thread none of these means a cancellation
        if snapshot.refused is None:
            log.exception("the view %s %s", view.path, did)
            detail = f"the view {view.path} {did} {type(error).__name__}; the server's log says more"
            raise Problem(500, detail) from error
    ready(parts)  # the model may have been reset meanwhile
    at = at.of_tables(remade, snapshot.asked)
    if snapshot.refused is not None:
        refused = snapshot.refused
        detail = f"the view {view.path} rests on a table that is not whole: {refused.detail}"
        raise Problem(refused.status, detail, headers={**refused.headers, **at.headers})
    return value, at


def kinds_of(app: App) -> tuple[str, ...]:
    """The kinds of topics that a view's answer may depend on."""
    return ("table", "log") if app.projections else ("table",)
