"""One row of a table or of a projection, as an address asks for it: now, as it was, or as a stream."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from streams.history.recorded_event import NamespacePartition
from streams.server.http.access_checks import principal_of
from streams.server.http.answers import AnswerPosition, at_least, ready, standing
from streams.server.http.parameters import known_params
from streams.server.http.parts import ServerParts
from streams.server.http.past_answers import TIMES, split_times
from streams.server.http.permitted_rows import permitted_row, refuse_past
from streams.server.http.row_watching import watch_rows
from streams.server.http.stream_text import asks_for_stream
from streams.server.readmodel.model import ReadModel
from streams.server.readmodel.store_moment import FoundRow


@dataclass(frozen=True)
class TableAsked:
    """What differs between tables and projections.

    `kinds` are those of the topics that its rows are from, `projections` its name if it is one. `refuse` raises a problem while its
    rows are not to be told, `past` answers for another time.
    """

    kinds: tuple[str, ...]
    projections: Sequence[str]
    partitions: Callable[[ReadModel], Sequence[NamespacePartition]]
    """From which this row is."""
    refuse: Callable[[ReadModel, str], None]
    past: Callable[..., Awaitable[Response]]


class RowNow(NamedTuple):
    """`row` is None if there is none that the principal may see."""

    row: FoundRow | None
    at: AnswerPosition


async def asked_row(request: Request, parts: ServerParts, name: str, key: str, of: TableAsked) -> RowNow | Response:
    """The row as it is now; or the whole answer, if a stream or another time is asked for. Raises Problem."""
    if asks_for_stream(request.scope):
        return await watch_rows(request, parts, name, key)
    params, asked = split_times(request.query_params.multi_items())
    known_params(params, "_min_position", *TIMES)
    principal = principal_of(request)
    if asked is not None:
        refuse_past(principal, name)
        return await of.past(request, parts, name, key, asked)
    model = ready(parts)
    of.refuse(model, name)
    await at_least(request, model, of.kinds, of.projections)
    remade = model.remade
    at = standing(model, of.kinds, [*of.partitions(model)]).of_tables(remade, [name])  # before the row: never ahead of it
    found = permitted_row(parts, principal, name, key)
    of.refuse(ready(parts), name)  # the model may have been reset meanwhile
    return RowNow(found, at)
