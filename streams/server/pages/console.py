"""Answers browsers with pages, and everyone else with what the API answers.

It stands before the API, inside of the guard, and asks it as a client would: no route knows that there are pages.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

import msgspec
from jinja2 import Environment
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streams.server.access.principal import Kind, Principal, Right
from streams.server.http.guard import PAGES_ALONE, STATIC_PATH
from streams.server.http.parts import ServerParts
from streams.server.http.pools import in_thread
from streams.server.http.problems import MEDIA_TYPE, Problem
from streams.server.pages.form_body import is_form, read_form
from streams.server.pages.html_accept import asked_form
from streams.server.pages.inner_api import InnerAnswer, InnerApi
from streams.server.pages.login import LoginPages, not_possible
from streams.server.pages.page_request import Elsewhere, Page, PageRefused, PageRequest
from streams.server.pages.page_table import FORMS, MakePage, links_for, page_at
from streams.server.pages.page_templates import SECURITY, STATIC, environment, static_file
from streams.server.pages.server_state import server_state
from streams.server.readmodel.aside_listing import aside_counts
from streams.server.readmodel.row_json import to_json
from streams.server.readmodel.store_readers import StoreAway

POSITION = ("Retold-Position", "Retold-Lag", "Retold-Rebuilding", "Retold-Uncorrected", "Retold-As-Of")
"""Headers of the API's answer that its page has, too."""
FOR_GOOD = "public, max-age=31536000, immutable"


class Console:
    """`app` is the API."""

    def __init__(self, app: ASGIApp, parts: ServerParts) -> None:
        self._app, self._parts = app, parts
        self._templates: Environment = environment()
        self._login = LoginPages(self._templates, parts.principals, parts.console_secret)
        self._static = {STATIC_PATH + name: (static_file(name), kind) for name, kind in STATIC.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["raw_path"].decode("ascii") if scope["type"] == "http" else ""
        if path and self._login.answers(scope["method"], path):
            await self._send_login(scope, receive, send)
            return
        if path and path not in self._static and scope["state"]["principal"] is None:
            await self._app(scope, receive, send)  # a page would tell a stranger more than a probe does
            return
        if path and scope["method"] == "POST" and is_form(Request(scope)) and (posted := page_at(path, FORMS)) is not None:
            await self._page(scope, receive, send, scope["query_string"].decode("ascii"), *posted)
            return
        if scope.get("method") != "GET" and (path in PAGES_ALONE or path in self._static):
            raise not_possible(scope["method"], path, ("GET", "HEAD"))
        if not path or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        if path in self._static:
            content, kind = self._static[path]
            headers = {"Cache-Control": FOR_GOOD, "X-Content-Type-Options": "nosniff"}
            await Response(content, headers=headers, media_type=kind)(scope, receive, send)
            return
        query = scope["query_string"].decode("ascii")
        form, found = asked_form(Headers(scope=scope).get("accept", ""), query), page_at(path)
        scope["query_string"] = form.query.encode("ascii")
        is_page = found is not None and (form.html or path in PAGES_ALONE)
        if form.named or is_page:
            accepted = b"text/html" if form.html and not is_page else b"application/json"  # a page is made of the API's JSON
            scope["headers"] = [*(pair for pair in scope["headers"] if pair[0] != b"accept"), (b"accept", accepted)]
        if is_page and found is not None:
            await self._page(scope, receive, send, form.query, *found)
        else:
            sending = self._as_page(scope, send) if form.html else _varied(send) if found is not None else send
            await self._app(scope, receive, sending)

    async def _page(
        self, scope: Scope, receive: Receive, send: Send, query: str, make: MakePage, names: Mapping[str, str]
    ) -> None:
        path = scope["raw_path"].decode("ascii")
        try:
            fields = await read_form(Request(scope, receive)) if scope["method"] == "POST" else {}
            page = await make(PageRequest(InnerApi(self._app, scope, receive), self._parts, path, query, names, fields))
        except PageRefused as refused:
            page = _problem_page(refused.answer)
        except Problem as problem:
            page = _problem_page(InnerAnswer(problem.status, Headers(problem.headers), to_json(problem.body(path))))
        if isinstance(page, Elsewhere):
            response = Response(status_code=303, headers={"Location": page.url, "Vary": "Accept"})
        else:
            response = await in_thread(self._parts.pools.memory, self._rendered, page, path, query, scope["state"]["principal"])
        await response(scope, receive, send)

    async def _send_login(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await self._login.response(request)
        except Problem as problem:
            response = problem.response(request.url.path)
        response.headers.update(SECURITY)
        await response(scope, receive, send)

    def _rendered(self, page: Page, path: str, query: str, principal: Principal) -> Response:
        def may(kind: Kind, of: str = "") -> bool:
            return principal.may(Right(kind, of))

        same, parts = f"?{query}&_form=json" if query else "?_form=json", self._parts
        text = self._templates.get_template(page.template).render(
            title=page.title, current=page.nav, application=parts.app.name, path=path,
            navigation=links_for(principal, [*parts.model.row_types]), may=may,
            state=server_state(self._parts.model), set_aside=self._set_aside(principal), page=page.values,
            logged_in=principal.name if parts.principals.needs_token else "",
            json_url=same if page.as_json == "" else page.as_json,
            uncorrected="" if page.answer is None else page.answer.headers.get("Retold-Uncorrected", ""),
        )  # fmt: skip
        headers = {"Vary": "Accept", "Cache-Control": "no-cache", **SECURITY}
        if page.answer is not None:
            headers |= {name: page.answer.headers[name] for name in POSITION if name in page.answer.headers}
        return Response(text, page.status, headers, media_type="text/html; charset=utf-8")

    def _set_aside(self, principal: Principal) -> int | None:
        """How many events are set aside that it may decide about; None: it is not known."""
        try:
            with self._parts.model.reading() as db:
                return sum(aside_counts(db, principal.some("operate", "", self._parts.model.tables)).values())
        except (StoreAway, sqlite3.Error):
            return None

    def _as_page(self, scope: Scope, send: Send) -> Send:
        """Passes an answer on, but a problem as a page: of what has no page a browser sees at least that."""
        begun: Message | None = None
        body: list[bytes] = []

        async def sending(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                if Headers(raw=message["headers"]).get("content-type") == MEDIA_TYPE:
                    begun = message
                    return
            elif begun is not None:
                body.append(message.get("body", b""))
                if not message.get("more_body", False):
                    answer = InnerAnswer(begun["status"], Headers(raw=begun["headers"]), b"".join(body))
                    await self._send_problem(scope, send, answer)
                return
            await send(message)

        return sending

    async def _send_problem(self, scope: Scope, send: Send, answer: InnerAnswer) -> None:
        path = scope["raw_path"].decode("ascii")
        page, principal = _problem_page(answer), scope["state"]["principal"]
        response = await in_thread(self._parts.pools.memory, self._rendered, page, path, "", principal)

        async def nothing() -> Message:
            return {"type": "http.disconnect"}

        await response(scope, nothing, send)


def _problem_page(answer: InnerAnswer) -> Page:
    """The API's problem, in the same words."""
    problem = msgspec.json.decode(answer.body)
    return Page("problem.html", problem["title"], "", problem, answer, answer.status)


def _varied(send: Send) -> Send:
    """The answer is another one for a browser: a cache has to know."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(raw=message["headers"])
            if "accept" not in headers.get("vary", "").lower():
                headers.add_vary_header("Accept")
        await send(message)

    return sending
