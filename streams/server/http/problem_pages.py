"""`GET /-/problems/NAME`: what a type of problem is, and what helps."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from streams.errors import did_you_mean
from streams.server.http.parameters import known_params
from streams.server.http.problem_types import BY_NAME, PROBLEM_TYPES, ProblemType
from streams.server.http.problems import Problem
from streams.server.readmodel.row_json import to_json


async def types(request: Request) -> Response:
    known_params(request.query_params.multi_items())
    return Response(to_json({"problems": list(map(_members, PROBLEM_TYPES))}), media_type="application/json")


async def one(request: Request) -> Response:
    name = request.path_params["name"]
    known_params(request.query_params.multi_items())
    found = BY_NAME.get(name)
    if found is None:
        there = ", ".join(BY_NAME)
        raise Problem(404, f"there is no type of problem {name[:100]!r}{did_you_mean(name, BY_NAME)}; there are {there}")
    return Response(to_json(_members(found)), media_type="application/json")


def _members(of: ProblemType) -> dict[str, object]:
    return {"type": of.url, **of._asdict()}
