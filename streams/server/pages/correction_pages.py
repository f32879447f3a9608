"""Pages of corrections: the list, one with all that it changes, and the forms that plan, apply and withdraw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from streams.errors import UNREADABLE_JSON
from streams.history.difference.row_changes import row_changes
from streams.history.story.story_members import change_members
from streams.server.http.problems import Problem
from streams.server.pages.filter_form import address, without_empty
from streams.server.pages.page_request import Elsewhere, Page, PageRefused, PageRequest

NAV = "/corrections"
CHANGED = ("rows", "missing", "surplus", "changed", "calls")
MOST = 200
"""Of a kind that a page shows."""


async def corrections(asked: PageRequest) -> Page | Elsewhere:
    if (same := without_empty(asked)) is not None:
        return same
    answer = await asked.answer()
    found, given = answer.value, dict(asked.pairs)
    calls = await asked.answer(f"{NAV}/calls")
    following = address(NAV, [*({**given, "_next": found["next"]}).items()]) if found["next"] else None
    values = {**found, "state": given.get("state", ""), "following": following, "open": len(calls.value["calls"])}
    return Page("corrections.html", "Corrections", NAV, values, answer)


async def correction(asked: PageRequest) -> Page:
    answer = await asked.answer()
    found = answer.value
    changes: Mapping[str, Any] = found["changes"] or {name: [] for name in CHANGED} | {"open": 0, "projections": []}
    rows = [{**it, "changes": _changed(it["before"], it["after"])} for it in changes["rows"][:MOST]]
    values = {
        **found, "rows_set": found["rows"], **{name: changes[name][:MOST] for name in CHANGED}, "rows": rows,
        "left_out": {name: max(len(changes[name]) - MOST, 0) for name in CHANGED}, "open": changes["open"],
        "projections": changes["projections"], "tag": answer.headers.get("ETag", ""),
    }  # fmt: skip
    return Page("correction.html", f"Correction {found['correction'][:8]}", NAV, values, answer)


def _changed(before: Any, after: Any) -> list[Mapping[str, Any]]:
    return [change_members(it) for it in row_changes(before, after)] if before is not None and after is not None else []


async def calls(asked: PageRequest) -> Page:
    answer = await asked.answer()
    return Page("correction_calls.html", "Calls that are wrong", NAV, answer.value, answer)


async def plan(asked: PageRequest) -> Elsewhere:
    """From the page of an event: it is taken out (`remove`), gets other data (`replace`), or another one is put in (`type`)."""
    answer = await asked.api.post(NAV, _document(asked.form))
    if not answer.is_good:
        raise PageRefused(answer)
    return Elsewhere(answer.headers["Location"])


async def apply(asked: PageRequest) -> Elsewhere:
    """As it was seen: the form has the ETag of what was shown."""
    form = asked.form
    headers = {"If-Match": form["tag"]} if form.get("tag") else {}
    return await _done(asked, {"calls": form["calls"]} if form.get("calls") else {}, asked.path.removesuffix("/apply"), headers)


async def withdraw(asked: PageRequest) -> Elsewhere:
    return await _done(asked, {}, NAV)


async def close(asked: PageRequest) -> Elsewhere:
    return await _done(asked, {"why": asked.form.get("why", "")}, f"{NAV}/calls")


async def _done(asked: PageRequest, body: Mapping[str, str], url: str, headers: dict[str, str] | None = None) -> Elsewhere:
    answer = await asked.api.post(asked.path, body, headers)
    if not answer.is_good:
        raise PageRefused(answer)
    return Elsewhere(url)


def _document(form: Mapping[str, str]) -> dict[str, Any]:
    why = {"why": form.get("why", "")}
    if form.get("remove"):
        return {**why, "remove": [form["remove"]]}
    if form.get("replace"):
        return {**why, "replace": {form["replace"]: _json(form)}}
    if form.get("type"):
        time = {"time": form["time"]} if form.get("time") else {"after": form.get("after", "")}
        return {**why, "insert": [{"type": form["type"], "data": _json(form), **time}]}
    raise Problem(422, "the form names no event: `remove`, or `replace` or `type` with `data`, was expected", field="remove")


def _json(form: Mapping[str, str]) -> Any:
    try:
        return msgspec.json.decode(form.get("data", ""))
    except UNREADABLE_JSON as error:
        raise Problem(422, f"the data are no JSON: {error}", field="data") from error

