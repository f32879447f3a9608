"""The head of a request over HTTP/2, as an ASGI scope."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import unquote

from starlette.types import Scope

from streams.server.http.problems import Problem

METHOD: Final = re.compile(rb"[A-Z]{1,20}")
TARGET: Final = re.compile(rb"/[!\"$-~]*")
"""Path and parameters: what is printed, but no `#`."""
CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
EMPTY: Final = {b":method": b"", b":path": b"", b":authority": b""}
Pairs = Iterable[tuple[bytes, bytes]]


def head_size(headers: Pairs) -> int:
    """Counted as those of HTTP/1 are: with a colon, a space and the end of a line for each."""
    return sum(len(name) + len(value) + 4 for name, value in headers)


def promised_by(headers: Pairs) -> int | None:
    """Bytes that the body has if the head is right; None: it does not say. h2 has seen that they are digits, and say one number."""
    return next((int(value) for name, value in headers if name == b"content-length"), None)


def scope_of(headers: Pairs, common: dict[str, Any]) -> Scope:
    """`common` is what all requests of a connection have. Raises a 400 problem for what HTTP/1 would not read either."""
    pseudo, given, cookies = dict(EMPTY), list[tuple[bytes, bytes]](), list[bytes]()
    for name, value in headers:
        if CONTROL.search(value):
            raise _unread()
        if name.startswith(b":"):
            pseudo[name] = value
        elif name == b"cookie":
            cookies.append(value)  # it may come in several; every application expects one
        elif name != b"host" or not pseudo[b":authority"]:
            given.append((name, value))
    if not (METHOD.fullmatch(pseudo[b":method"]) and TARGET.fullmatch(pseudo[b":path"])):
        raise _unread()
    path, _, query = pseudo[b":path"].partition(b"?")
    host = [(b"host", pseudo[b":authority"])] if pseudo[b":authority"] else []
    joined = [(b"cookie", b"; ".join(cookies))] if cookies else []
    return {
        **common, "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "2", "root_path": "",
        "method": pseudo[b":method"].decode(), "path": unquote(path.decode()), "raw_path": path, "query_string": query,
        "headers": [*host, *given, *joined], "state": {},
    }  # fmt: skip


def _unread() -> Problem:
    return Problem(400, "the request is not HTTP as this server reads it")
