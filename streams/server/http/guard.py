"""The guard: access control, metrics, and answers for errors that no route expected."""

from __future__ import annotations

import base64
import binascii
import hmac
import time
from urllib.parse import urlencode, urlsplit

from fastapi import Request
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streams.server.connections import ALWAYS_ANSWERED
from streams.server.http.console_cookie import LOCAL_NAME, NAME, is_cookie_good
from streams.server.http.metrics import Metrics
from streams.server.http.paths import escaped_path
from streams.server.http.problems import Problem, is_stream, problem_of
from streams.server.http.registry import is_registry
from streams.server.pages.html_accept import prefers_html

LONGEST_ADDRESS = 8 * 1024
"""Bytes of path and parameters."""
LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
TOKEN_HOLDER, LOCAL = "token", "loopback"


LOGIN, STATIC_PATH, SITE_PATH = "/-/login", "/-/static/", "/app/"
UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class Guard:
    """Without a token only this machine has access, and only by a loopback name in the Host header.

    Otherwise a web page could point its own host name here (DNS rebinding), and a browser would give it our answers.
    """

    def __init__(
        self, app: ASGIApp, token: str | None, host: str, metrics: Metrics, origins: frozenset[str] = frozenset()
    ) -> None:
        self._app, self._metrics, self._origins = app, metrics, origins
        self._expected = None if token is None else token.encode()
        self._hosts = LOOPBACK | {host.lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, method = time.perf_counter(), 0, scope["method"]
        if method == "HEAD" and not is_stream(scope["path"]):
            scope = {**scope, "method": "GET"}  # the same headers; the server omits the body

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if status != 304 and scope["method"] != "GET":
                    message["headers"] = [*message["headers"], (b"cache-control", b"no-store")]
            await send(message)

        try:
            self._check(Request(scope))
            refuse_other_sites(Request(scope), self._origins)
            escaped_path(scope)
            await self._app(scope, receive, sending)
        except ClientDisconnect:
            pass  # the client left in the middle of its body
        except Exception as error:  # noqa: BLE001 - the last place where a fault can become an answer
            problem = problem_of(error)
            if status == 0:
                await problem.response(scope["path"])(scope, receive, sending)
        finally:
            self._metrics.answered(method, scope, status, time.perf_counter() - began)

    def _check(self, request: Request) -> None:
        """Raises a problem for a wrong host, or a missing or wrong token, which the answer does not distinguish."""
        size = len(request.scope["raw_path"]) + len(request.scope["query_string"])
        if size > LONGEST_ADDRESS:
            raise Problem(414, f"the address has {size} bytes; at most {LONGEST_ADDRESS} are taken", kind="address-too-long")
        request.state.trusted = self._expected is None
        request.state.principal = LOCAL if self._expected is None else TOKEN_HOLDER
        if self._expected is None:
            name = _host_name(request)
            if name not in self._hosts:
                raise Problem(
                    421, f"this server answers to {', '.join(sorted(self._hosts))} and not to {name[:100]!r}; for other "
                    "machines set RETOLD_HTTP_HOST and RETOLD_HTTP_TOKEN",
                )  # fmt: skip
        else:
            path = request.scope["path"]
            kind, shown = _credentials(request.headers.get("authorization", ""))
            taken = kind == "bearer" or (kind == "basic" and is_registry(path))
            request.state.trusted = hmac.compare_digest(shown, self._expected) and taken
            if not request.state.trusted and shown == b"":
                request.state.trusted = self._has_cookie(request)
            if not request.state.trusted and not _is_open(path):
                if request.method == "GET" and prefers_html(request.headers.get("accept", "")):
                    raise Problem(303, "log in first", headers={"Location": login_url(request), "Vary": "Accept"})
                raise Problem(
                    401, "the header `Authorization: Bearer …` with this server's token (RETOLD_HTTP_TOKEN) was expected; "
                    "a schema registry's client may show the token as the password of HTTP Basic",
                    headers={"WWW-Authenticate": "Bearer"},
                )  # fmt: skip

    def _has_cookie(self, request: Request) -> bool:
        """Whether a browser has shown the token before. Without TLS that counts on this machine alone."""
        value = request.cookies.get(LOCAL_NAME if is_local(request) else NAME, "")
        return self._expected is not None and is_cookie_good(self._expected, value, time.time())


def _is_open(path: str) -> bool:
    """What is answered without a token: probes, what a browser needs to show one, and the files of a front end."""
    return path in ALWAYS_ANSWERED or path in (LOGIN, SITE_PATH.rstrip("/")) or path.startswith((STATIC_PATH, SITE_PATH))


def login_url(request: Request) -> str:
    """Where a browser logs in, and comes back from."""
    query = f"?{request.url.query}" if request.url.query else ""
    return f"{LOGIN}?{urlencode({'next': escaped_path(request.scope) + query})}"


def is_local(request: Request) -> bool:
    """Whether this machine is asked by a name of its own."""
    return _host_name(request) in LOOPBACK


def _host_name(request: Request) -> str:
    """Of the Host header, without the port."""
    host = request.headers.get("host", "").lower()
    return host.rpartition(":")[0] if not host.endswith("]") and ":" in host else host


def refuse_other_sites(request: Request, origins: frozenset[str]) -> None:
    """Raises a 403 problem for what a page of another site makes a browser send: a form needs no permission to be posted.

    Browsers say in Sec-Fetch-Site where a request comes from; older ones, and those that reach this server without TLS over a
    network, in Origin. A program sends neither, and nobody can make a browser show a token that it does not have.
    A cookie is for our own pages alone, so with one `origins`, those of front ends elsewhere, do not count.
    """
    if request.method not in UNSAFE:
        return
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    is_shown = request.headers.get("authorization", "").lower().startswith("bearer ")
    if "cookie" not in request.headers and (is_shown or origin in origins):
        return
    if site is not None:
        ours = site in ("same-origin", "none")
    else:
        ours = origin is None or urlsplit(origin).netloc == request.headers.get("host")
    if not ours:
        raise Problem(
            403, f"a page of another site, {(origin or site or '')[:100]!r}, sent this; what changes something is taken from "
            "pages of this server and from programs",
        )  # fmt: skip


def _credentials(header: str) -> tuple[str, bytes]:
    """The scheme in lower case, and the token: with HTTP Basic it is the password, for any user.

    Schema registry clients know no other scheme, and send it without a challenge. A 401 does not offer it, since a browser
    would ask for the password, keep it, and send it with requests that other pages make.
    """
    kind, _, shown = header.partition(" ")
    raw = shown.encode("latin-1", "replace")
    if kind.lower() == "basic":
        try:
            raw = base64.b64decode(raw, validate=True).partition(b":")[2]
        except binascii.Error:
            raw = b""
    return kind.lower(), raw
