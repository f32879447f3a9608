"""The path of a request, exactly as it was sent."""

from __future__ import annotations

from urllib.parse import unquote

from starlette.convertors import Convertor, register_url_convertor
from starlette.types import Scope

from streams.server.http.problems import Problem


class RestOfPath(Convertor[str]):
    """`{key:rest}`: the rest of the path. Starlette's `path` stops at a newline, and so would find another key's row."""

    regex = "(?s:.*)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("rest", RestOfPath())


def escaped_path(scope: Scope) -> str:
    """The path still percent-encoded, so that an escaped slash differs from one between two names.

    Raises a 400 problem for bytes that are not UTF-8: replaced by the server, they would name another key.
    """
    raw: str = scope["raw_path"].decode("ascii")
    try:
        unquote(raw, errors="strict")
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise Problem(
            400, f"the path holds the byte %{byte:02X}, which is no UTF-8; every letter escaped as UTF-8 was expected"
        ) from None
    return raw
