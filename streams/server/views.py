"""`GET /views/PATH`: the application's own answers."""

from __future__ import annotations

import logging
from urllib.parse import unquote

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from streams.app import App
from streams.server import openapi
from streams.server.answers import answer, at_least, ready, standing
from streams.server.parameters import known_params
from streams.server.parts import Parts
from streams.server.paths import escaped_path
from streams.server.problems import Problem
from streams.view import Tables, View

log = logging.getLogger("retold.server")


def routes(parts: Parts) -> APIRouter:
    router = APIRouter(tags=["views"])
    extra = openapi.viewing(parts.app)

    @router.get("/views/{path:rest}", response_class=Response, openapi_extra=extra, summary="A view's answer")
    async def view(request: Request) -> Response:
        found, names = match(parts.app, escaped_path(request.scope)[1:].partition("/")[2])
        known_params(request.query_params.multi_items(), "_min_position")
        followed = ready(parts)
        kinds = ("table", "log") if parts.app.projections else ("table",)
        await at_least(request, followed, kinds)
        with followed.lock:
            at = standing(followed, kinds, followed.places())
            fault = next((it.fault for it in followed.projections.values() if it.fault is not None), None)
        if fault is not None:
            raise Problem(500, f"the view may rest on a projection that stands still: {fault}")

        def compute() -> Response:
            try:
                value = found.answer(Tables(followed.snapshot()), **names)
            except Exception as error:
                log.exception("the view %s raised", found.path)
                raise Problem(500, f"the view {found.path} raised {type(error).__name__}; the server's log says more") from error
            return answer(request, {"answer": value, "positions": at.texts, "lag": at.lag}, at)

        return await run_in_threadpool(compute)

    return router


def match(app: App, raw: str) -> tuple[View, dict[str, str]]:
    """The view of a path as it stands in the address: a name may hold an escaped slash. Raises a 404 problem."""
    got = [unquote(part) for part in raw.strip("/").split("/")]
    for view in app.views:
        pairs = list(zip(want := view.path.strip("/").split("/"), got, strict=False))
        if len(want) == len(got) and all(w == g or w.startswith("{") for w, g in pairs):
            return view, {w[1:-1]: g for w, g in pairs if w.startswith("{")}
    known = ", ".join(view.path for view in app.views) or "none"
    raise Problem(404, f"{app.name} has no view {'/'.join(got)[:200]!r}; it has {known}")
