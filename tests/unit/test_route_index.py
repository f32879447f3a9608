"""Routes that are found by the first step of a path are those that would be found one after the other."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from starlette.routing import Match

from streams.server.http.route_index import RouteIndex, TableRoute
from streams.server.http.route_table import ROUTES

INDEX = RouteIndex(TableRoute(entry, is_told=True) for entry in ROUTES)
STEPS = sorted({step for it in ROUTES for step in it.path.split("/")} | {"order", "o1", "\n", "%2F", "*"})
PATHS = st.lists(st.sampled_from(STEPS) | st.text(max_size=3), max_size=6).map(lambda steps: "/" + "/".join(steps))


def one_after_the_other(scope: dict[str, Any]) -> tuple[Match, Any, Any]:
    found = [(it, *it.matches(scope)) for it in INDEX.routes]
    for wanted in (Match.FULL, Match.PARTIAL):
        for route, match, of_route in found:
            if match is wanted:
                return match, route, of_route["path_params"]
    return Match.NONE, None, None


@example("/\n", "GET")
@example("/rows\n", "PUT")
@given(PATHS | st.sampled_from(["", "*"]), st.sampled_from(["GET", "POST", "PUT"]))
def test_the_index_finds_what_the_order_of_the_table_says(path: str, method: str) -> None:
    """Whatever is asked; also which route refuses a method, and what stands in its braces."""
    scope = {"type": "http", "path": path, "root_path": "", "method": method}
    match, of_route = INDEX.matches(scope)
    assert (match, of_route.get("route"), of_route.get("path_params")) == one_after_the_other(scope)


def test_every_route_of_the_table_is_found() -> None:
    """Each by a path of its own, unless an earlier one takes it."""
    found = set()
    for entry in ROUTES:
        path = entry.path.replace("{", "").replace("}", "").replace(":rest", "")
        found.add(INDEX.matches({"type": "http", "path": path, "root_path": "", "method": entry.method})[1]["route"].path)
    assert found == {it.path for it in ROUTES}
