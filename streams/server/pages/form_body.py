"""The body of a form, as a browser sends it."""

from __future__ import annotations

from urllib.parse import parse_qsl

from starlette.requests import Request

from streams.server.http.problems import Problem
from streams.server.http.requests import read_body

FORM = "application/x-www-form-urlencoded"
LARGEST = 1024 * 1024
"""Bytes."""
FIELDS = 200


def is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM


async def read_form(request: Request) -> dict[str, str]:
    """The fields by their names. Raises a 413 or a 422 problem."""
    body = await read_body(request, LARGEST)
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=FIELDS, errors="strict")
    except ValueError as error:
        raise Problem(422, f"the form cannot be read: {error}") from error
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise Problem(422, f"the field {name[:100]!r} is given twice; one value was expected", field=name[:100])
        found[name] = value
    return found
