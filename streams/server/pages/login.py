"""Logging in: a browser shows a token once, and gets a cookie; logging out drops it."""

from __future__ import annotations

import time
from collections.abc import Iterable

from jinja2 import Environment
from starlette.requests import Request
from starlette.responses import Response

from streams.server.access.principals import Principals
from streams.server.http.console_cookie import LOCAL_NAME, NAME, SECONDS, cookie_value, set_cookie
from streams.server.http.guard import LOGIN, is_local
from streams.server.http.problems import Problem
from streams.server.pages.form_body import is_form, read_form

LOGOUT = "/-/logout"
METHODS = {LOGIN: ("GET", "HEAD", "POST"), LOGOUT: ("POST",)}
"""HEAD comes as GET."""
LONGEST_COOKIE = 3_800
"""Bytes: a browser keeps 4,096 with the name and the attributes, and drops more in silence."""


class LoginPages:
    """`secret` is what cookies are signed with."""

    def __init__(self, templates: Environment, principals: Principals, secret: bytes) -> None:
        self._template, self._principals, self._secret = templates.get_template("login.html"), principals, secret

    def answers(self, method: str, path: str) -> bool:
        """Raises a 405 problem for another method than those."""
        allowed = METHODS.get(path, ())
        if allowed and method not in allowed:
            raise not_possible(method, path, allowed)
        return bool(allowed)

    async def response(self, request: Request) -> Response:
        """Raises a problem for a body that is no form."""
        path, name = request.url.path, LOCAL_NAME if is_local(request) else NAME
        if path == LOGOUT:
            return _elsewhere(LOGIN, set_cookie(name, "", 0))
        if not self._principals.needs_token:
            return _elsewhere("/")
        if request.method == "GET":
            return self._page(request.query_params.get("next", "/"), "", 200)
        form = await read_form(request) if is_form(request) else {}
        back, shown = form.get("next", "/"), form.get("token", "").strip().encode()
        holder = self._principals.of_token(shown)
        if holder is None:
            return self._page(back, "That is no token of this server.", 401)
        if holder.principal.role and len(shown) > LONGEST_COOKIE:
            return self._page(back, "That token is too long for a browser to keep. Programs may use it.", 401)
        value = cookie_value(self._secret, holder.principal, time.time(), shown.decode("ascii", "replace"))
        return _elsewhere(local_path(back), set_cookie(name, value, SECONDS))

    def _page(self, back: str, wrong: str, status: int) -> Response:
        text = self._template.render(back=local_path(back), wrong=wrong)
        return Response(text, status, {"Cache-Control": "no-store"}, media_type="text/html; charset=utf-8")


def not_possible(method: str, path: str, allowed: Iterable[str]) -> Problem:
    """A 405 problem."""
    listed = ", ".join(allowed)
    return Problem(405, f"{method} is not possible at {path}; {listed} is", headers={"Allow": listed})


def local_path(text: str) -> str:
    """A path of this server; `/` for whatever would lead a browser elsewhere."""
    is_path = text.startswith("/") and not text.startswith("//")
    return text if is_path and text.isascii() and text.isprintable() and "\\" not in text else "/"


def _elsewhere(path: str, cookie: str = "") -> Response:
    headers = {"Location": path, "Cache-Control": "no-store"}
    return Response(status_code=303, headers=headers | ({"Set-Cookie": cookie} if cookie else {}))
