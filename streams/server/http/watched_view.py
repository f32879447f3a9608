"""What a view answers, whenever that is otherwise than before: the source of a stream, and the view on its address."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from hashlib import blake2b
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from streams.server.access.principal import Principal
from streams.server.http.access_checks import principal_of
from streams.server.http.answers import ready, standing
from streams.server.http.open_stream import open_stream
from streams.server.http.parameters import known_params
from streams.server.http.parts import ServerParts
from streams.server.http.questions import VIEW
from streams.server.http.shared_stream import Batch, Begin, First, Threads
from streams.server.http.stream_begin import OURS, begin_in
from streams.server.http.stream_text import StreamEvent
from streams.server.http.view_answers import kinds_of
from streams.server.http.view_asking import ask_view
from streams.server.readmodel.row_json import to_json
from streams.view import View

PACE: Final = 0.25
"""s between two answers at least."""


class WatchedView:
    """The whole answer each time. Its place is a digest of it."""

    def __init__(self, parts: ServerParts, view: View, names: Mapping[str, str], principal: Principal) -> None:
        self._parts, self._view, self._names, self._principal = parts, view, names, principal
        self._seen: object = None
        self._told = StreamEvent("", b"")

    def is_behind(self) -> bool:
        model = self._parts.model
        return model.waits is None and self._seen is not model.changes

    def is_far_behind(self) -> bool:
        return False

    def advance(self) -> Batch:
        seen, before = self._parts.model.changes, self._told.place
        value, at = ask_view(self._parts, self._view, self._names, self._principal.only)
        self._seen = seen
        place = blake2b(bytes(value), digest_size=9).hexdigest()
        if place == before:
            return Batch((), place)
        body = to_json({"answer": msgspec.Raw(value), "positions": at.texts, "lag": at.lag})
        self._told = StreamEvent("answer", body, place)
        return Batch([self._told], place)

    def join(self, begin: Begin, held: ExitStack) -> tuple[Batch, First]:
        batch = self.advance() if self.is_behind() else Batch((), self._told.place)
        held.close()
        is_known = begin.how == "place" and begin.place == self._told.place
        return batch, First(iter([] if is_known else [[self._told]]))


async def watch_view(request: Request, parts: ServerParts, view: View, names: Mapping[str, str]) -> Response:
    """Raises Problem."""
    model, principal = ready(parts), principal_of(request)
    given = known_params(request.query_params.multi_items(), *OURS)
    begin = begin_in(request, given, ("now", "snapshot"))
    only = tuple((name, tuple(it)) for name, it in principal.only.items())
    same = ("view", view.path, tuple(names.items()), only)
    source = partial(WatchedView, parts, view, names, principal)
    call = partial(parts.questions.call, VIEW, f"the view {view.path}")
    shared = partial(parts.shared_streams.of, same, source, Threads(call, call), PACE)
    return await open_stream(request, parts, shared, begin, standing(model, kinds_of(parts.app), model.partitions()).headers)
