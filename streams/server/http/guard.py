"""The guard: access control, metrics, and answers for errors that no route expected."""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Mapping
from functools import partial
from math import ceil, inf
from urllib.parse import urlencode

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streams.listening import LOOPBACK, host_name
from streams.server.access.principal import Principal
from streams.server.connections import ALWAYS_ANSWERED
from streams.server.http.console_cookie import LOCAL_NAME, NAME, cookie_holder
from streams.server.http.cross_origin import is_ours, origins_of
from streams.server.http.metrics import Metrics
from streams.server.http.parts import ServerParts
from streams.server.http.paths import escaped_path
from streams.server.http.problems import Problem, is_stream, problem_of
from streams.server.http.registry import is_registry
from streams.server.http.stream_text import asks_for_stream
from streams.server.pages.html_accept import prefers_html

LONGEST_ADDRESS = 8 * 1024
"""Bytes of path and parameters."""
LOGIN, STATIC_PATH, SITE_PATH, ICON_PATH = "/-/login", "/-/static/", "/app/", "/favicon.ico"
PAGES_ALONE = frozenset({"/-/docs", "/-/go", LOGIN})
"""Pages of addresses where the API has nothing."""
OPEN_PATHS = ALWAYS_ANSWERED | {LOGIN, SITE_PATH.rstrip("/"), ICON_PATH}
UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})
FROM_BROWSERS = frozenset({b"sec-fetch-site", b"origin"})
"""One of these is there if a page made a browser send it; without them there is no other site that it could be from."""
Head = Mapping[bytes, bytes]
"""The headers of a request by name, each with its first value."""


class Guard:
    """Without tokens only this machine has access, and only by a loopback name in the Host header.

    Otherwise a web page could point its own host name here (DNS rebinding), and a browser would give it our answers.
    Routes find who asks in `request.state.principal` (None: nobody that is known), in `request.state.lasts` whether that is still
    so, and in `request.state.count_more` how to count what a request holds against the rate.
    """

    def __init__(self, app: ASGIApp, parts: ServerParts, metrics: Metrics) -> None:
        self._app, self._metrics, self._origins = app, metrics, origins_of(parts.config)
        self._principals, self._secret = parts.principals, parts.console_secret
        self._hosts = LOOPBACK | {parts.config.http_host.lower()}
        self._rates, self._rate, self._refused = parts.rates, parts.config.http_rate, parts.connections.refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status, method = time.perf_counter(), 0, scope["method"]
        if method == "HEAD" and not (is_stream(scope["path"]) or asks_for_stream(scope)):
            scope = {**scope, "method": "GET"}  # the same headers; the server omits the body

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if status != 304 and scope["method"] != "GET":
                    message["headers"] = [*message["headers"], (b"cache-control", b"no-store")]
            await send(message)

        try:
            head = first_values(scope)
            self._check(scope, head)
            refuse_other_sites(scope["method"], head, self._origins)
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

    def _check(self, scope: Scope, head: Head) -> None:
        """Finds out who asks. Raises a problem for a wrong host, or for nobody that is known, whatever the reason."""
        size = len(scope["raw_path"]) + len(scope["query_string"])
        if size > LONGEST_ADDRESS:
            raise Problem(414, f"the address has {size} bytes; at most {LONGEST_ADDRESS} are taken", kind="address-too-long")
        principal, until = self._local(head), inf
        if self._principals.needs_token:
            principal, until = self._shown(scope, head)
        state = scope.setdefault("state", {})
        state["principal"] = principal
        state["lasts"] = partial(self._lasts, principal, until)
        state["count_more"] = partial(self._count_more, principal)
        if principal is None and not _is_open(scope["path"]):
            if scope["method"] == "GET" and prefers_html(head.get(b"accept", b"").decode("latin-1")):
                raise Problem(303, "log in first", headers={"Location": login_url(Request(scope)), "Vary": "Accept"})
            raise Problem(
                401, "the header `Authorization: Bearer …` with a token of this server was expected; a schema registry's client "
                "may show the token as the password of HTTP Basic", headers={"WWW-Authenticate": "Bearer"},
            )  # fmt: skip

        if principal is not None and principal.bounded and scope["path"] not in ALWAYS_ANSWERED:
            self._take(principal)

    def _take(self, principal: Principal) -> None:
        """Raises a 429 problem for more requests than a principal may send."""
        rate = principal.rate or self._rate
        self._refuse_later(principal, rate, self._rates.take(principal.name, rate, time.monotonic()))

    def _count_more(self, principal: Principal | None, count: int) -> None:
        """What a request holds beside the first: a batch counts as its events. Raises a 429 problem."""
        if principal is not None and principal.bounded and count > 0:
            rate = principal.rate or self._rate
            self._refuse_later(principal, rate, self._rates.take_more(principal.name, rate, time.monotonic(), count))

    def _refuse_later(self, principal: Principal, rate: int, wait: float) -> None:
        if wait:
            self._refused["rate"] += 1
            raise Problem(
                429, f"{principal.name} sends more than {rate} requests a second; the next one is taken in {wait:.3f} s",
                kind="too-many-requests", headers={"Retry-After": str(ceil(wait))},
            )  # fmt: skip

    def _local(self, head: Head) -> Principal | None:
        """Who asks where no token is needed. Raises a 421 problem for a host that is not this machine's."""
        local = self._principals.local()
        if local is not None and host_name(host := head.get(b"host", b"").decode("latin-1")) not in self._hosts:
            raise Problem(
                421, f"this server answers to {', '.join(sorted(self._hosts))} and not to {host[:100]!r}; for other "
                "machines set RETOLD_HTTP_HOST and RETOLD_HTTP_TOKEN",
            )  # fmt: skip
        return local

    def _shown(self, scope: Scope, head: Head) -> tuple[Principal | None, float]:
        """Whose token or cookie it is, and until when (s since 1970). Without TLS a cookie counts on this machine alone."""
        kind, shown = _credentials(head.get(b"authorization", b""))
        if shown == b"":
            request = Request(scope)
            value = request.cookies.get(LOCAL_NAME if is_local(request) else NAME, "")
            holder = cookie_holder(self._secret, value, self._principals, time.time())
            return (None, 0.0) if holder is None else holder
        taken = kind == "bearer" or (kind == "basic" and is_registry(scope["path"]))
        holder = self._principals.of_token(shown) if taken else None
        return (None, 0.0) if holder is None else holder

    def _lasts(self, principal: Principal | None, until: float) -> bool:
        """Whether it still has the token and the rights that it had: what takes long ends when that is over."""
        return principal is not None and time.time() < until and self._principals.is_current(principal)


def _is_open(path: str) -> bool:
    """What is answered without a token: probes, what a browser needs to show one, and the files of a front end."""
    return path in OPEN_PATHS or path.startswith((STATIC_PATH, SITE_PATH))


def login_url(request: Request) -> str:
    """Where a browser logs in, and comes back from."""
    query = f"?{request.url.query}" if request.url.query else ""
    return f"{LOGIN}?{urlencode({'next': escaped_path(request.scope) + query})}"


def is_local(request: Request) -> bool:
    """Whether this machine is asked by a name of its own."""
    return host_name(request.headers.get("host")) in LOOPBACK


def first_values(scope: Scope) -> Head:
    """Its headers by name, in one pass: of one that is there twice the first value, as Starlette gives it."""
    return dict(reversed(scope["headers"]))


def refuse_other_sites(method: str, head: Head, origins: frozenset[str]) -> None:
    """Raises a 403 problem for what a page of another site makes a browser send: a form needs no permission to be posted.

    Browsers say in Sec-Fetch-Site where a request comes from; older ones, and those that reach this server without TLS over a
    network, in Origin. A program sends neither, and nobody can make a browser show a token that it does not have.
    A cookie is for our own pages alone, so with one `origins`, those of front ends elsewhere, do not count.
    """
    if method not in UNSAFE or FROM_BROWSERS.isdisjoint(head):
        return
    site, origin = _text(head, b"sec-fetch-site"), _text(head, b"origin")
    is_shown = head.get(b"authorization", b"").lower().startswith(b"bearer ")
    if b"cookie" not in head and (is_shown or origin in origins):
        return
    ours = site in ("same-origin", "none") if site is not None else is_ours(origin, _text(head, b"host"))
    if not ours:
        raise Problem(
            403, f"a page of another site, {(origin or site or '')[:100]!r}, sent this; what changes something is taken from "
            "pages of this server and from programs",
        )  # fmt: skip


def _text(head: Head, name: bytes) -> str | None:
    found = head.get(name)
    return None if found is None else found.decode("latin-1")


def _credentials(header: bytes) -> tuple[str, bytes]:
    """The scheme in lower case, and the token: with HTTP Basic it is the password, for any user.

    Schema registry clients know no other scheme, and send it without a challenge. A 401 does not offer it, since a browser
    would ask for the password, keep it, and send it with requests that other pages make.
    """
    kind, _, raw = header.partition(b" ")
    if kind.lower() == b"basic":
        try:
            raw = base64.b64decode(raw, validate=True).partition(b":")[2]
        except binascii.Error:
            raw = b""
    return kind.lower().decode("latin-1"), raw
