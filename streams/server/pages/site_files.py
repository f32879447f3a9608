"""The files of a front end of the application's own, at /app/: a browser loads them here and uses the API beside them."""

from __future__ import annotations

import os
from pathlib import Path

from anyio import Path as AsyncPath
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import PathLike, StaticFiles
from starlette.types import Scope

from streams.server.http.guard import ICON_PATH, SITE_PATH
from streams.server.pages.page_templates import SECURITY


async def to_the_site(_: Request) -> Response:
    """Leads from /app to /app/, since the addresses in the files are relative."""
    return RedirectResponse(SITE_PATH, 308)


async def icon(request: Request) -> Response:
    """What browsers ask for where a page names no icon: the front end's, if its folder has one, else nothing, which is no error."""
    site, name = request.app.state.parts.config.site, ICON_PATH.removeprefix("/")
    if site is not None and await AsyncPath(site, name).is_file():
        return RedirectResponse(SITE_PATH + name, 307)
    return Response(status_code=204, headers={"Cache-Control": "max-age=3600"})


class SiteFiles(StaticFiles):
    """They may be seen without a token, as the page for logging in may: what they show, they ask the API for.

    A browser asks again each time (`no-cache`) and is told if nothing has changed, so a new version is seen at once.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(directory=folder, html=True)

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        """Hidden files are not served: an editor or git may have left some."""
        if any(part.startswith(".") and part != "." for part in Path(path).parts):
            return "", None
        return super().lookup_path(path)

    def file_response(
        self, full_path: PathLike, stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update({"Cache-Control": "no-cache", **SECURITY})
        return response
