"""Which problems an operation answers with, beside those that it tells of itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from streams.server.http.json_schema import AT, Spec
from streams.server.http.problems import MEDIA_TYPE
from streams.server.http.route_entry import RouteEntry

ERRORS: Final[Mapping[str, str]] = {
    "400": "The path, a header or the body cannot be read.",
    "401": "No token was shown, or one that does not count.",
    "403": "The right is missing that `x-right` or the answer names, or a page of another site asks.",
    "404": "What the path or a parameter names is not there.",
    "409": "It cannot be told how that was: the code of today decides otherwise.",
    "410": "What that rests on is not kept any more.",
    "413": "The body is too large.",
    "414": "The address is too long.",
    "415": "The body is of another type.",
    "421": "Without a token this server answers to names of its own machine.",
    "422": "A parameter, a header or the body is not as described here.",
    "429": "Too many requests, or streams, of one principal.",
    "500": "The application's own code raised, or ended the process that it answered in.",
    "503": "The server cannot answer now; `Retry-After` says when to ask again, if that helps.",
}
DEFAULT: Final = "What went wrong, in a sentence."
PROBLEM: Final[Spec] = {MEDIA_TYPE: {"schema": {"$ref": f"{AT}Problem"}}}


def error_components() -> dict[str, Spec]:
    """To be referred to."""
    found = {status: {"description": what, "content": PROBLEM} for status, what in ERRORS.items()}
    return {**found, "default": {"description": DEFAULT, "content": PROBLEM}}


def with_errors(route: RouteEntry, path: str, operation: Spec, *, token: bool) -> Spec:
    """The operation with all of its problems. `token`: whether one is needed."""
    own = {
        status: {**it, "content": PROBLEM} if status >= "400" else it for status, it in operation["responses"].items()
    }
    common = {it: {"$ref": f"#/components/responses/{it}"} for it in (*_statuses(route, path, operation, token), "default")}
    told = sorted({**common, **own}.items(), key=lambda it: it[0])
    return {**operation, "responses": dict(told)}


def _statuses(route: RouteEntry, path: str, operation: Spec, token: bool) -> Iterator[str]:
    yield from ("414", "503")
    yield from () if route.right.is_open else ("401", "429") if token else ("421",)
    asked = {it["name"] for it in operation.get("parameters", ())}
    has_names, has_body = "{" in path, "requestBody" in operation
    if has_names or has_body:
        yield "400"
    if has_names or "namespace" in asked:
        yield "404"
    if has_body:
        yield from ("403", "413", "415")
    if route.right.right is not None:
        yield "403"
    if operation["tags"] != ["schema registry"] or "schema_id" in asked:
        yield "422"
    if "_as_of" in asked:
        yield from ("409", "410")
    if _is_of_the_past(path):  # it names events
        yield from ("404", "410")
    if operation["tags"] in (["projections"], ["views"], ["corrections"]) or "_as_of" in asked or _is_of_the_past(path):
        yield "500"


def _is_of_the_past(path: str) -> bool:
    return path.endswith("/story") or path == "/what-if"
