"""`GET /-/problems/NAME`: what a type of problem is, and what helps."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from streams.errors import did_you_mean
from streams.server.http.parameters import known_params
from streams.server.http.problem_types import BY_NAME, PROBLEM_TYPES, ProblemType
from streams.server.http.problems import Problem
from streams.server.readmodel.row_json import to_json


def routes() -> APIRouter:
    router = APIRouter(tags=["problems"])

    @router.get("/-/problems", response_class=Response, summary="All types of problems that have a page")
    async def types(request: Request) -> Response:
        known_params(request.query_params.multi_items())
        return Response(to_json({"problems": list(map(_members, PROBLEM_TYPES))}), media_type="application/json")

    @router.get("/-/problems/{name}", response_class=Response, summary="A type of problem")
    async def one(request: Request, name: str) -> Response:
        known_params(request.query_params.multi_items())
        found = BY_NAME.get(name)
        if found is None:
            there = ", ".join(BY_NAME)
            raise Problem(404, f"there is no type of problem {name[:100]!r}{did_you_mean(name, BY_NAME)}; there are {there}")
        return Response(to_json(_members(found)), media_type="application/json")

    return router


def _members(of: ProblemType) -> dict[str, object]:
    return {"type": of.url, **of._asdict()}
