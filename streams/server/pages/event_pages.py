"""Pages of events: what was handled, one event with what led to it and what followed, and the past without it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

import msgspec

from streams.errors import UNREADABLE_JSON
from streams.server.http.problems import Problem
from streams.server.pages.filter_form import address
from streams.server.pages.page_request import Elsewhere, Page, PageRefused, PageRequest
from streams.server.pages.page_templates import aside_url, event_url
from streams.server.readmodel.event_listing import OUTCOMES

FILTERS = ("type", "key", "id", "outcome")
ROOT, TAIL = "root", 100
MOST = 200
"""Differences of a kind that a page shows."""
KINDS = ("row", "projection", "missing", "surplus", "changed", "call", "timer", "waiting", "raised", "untold")


async def events(asked: PageRequest) -> Page | Elsewhere:
    pairs = [pair for pair in asked.pairs if pair[1] or pair[0].startswith("_")]
    given = dict(pairs)
    if len(pairs) != len(asked.pairs) or "namespace" in given:  # a form sends what is empty, too
        base = f"/events/{quote(given.pop('namespace'), safe='')}" if "namespace" in given else "/events"
        return Elsewhere(address(base, [*given.items()]))
    answer = await asked.answer()
    found, app = answer.value, asked.parts.app
    kept = [pair for pair in pairs if pair[0] != "_next"]
    following = address(asked.path, [*kept, ("_next", found["next"])]) if found["next"] else None
    spaces = asked.principal.some("read", "events/", [space.name for space in app.namespaces])
    values = {
        **found, "namespace": unquote(asked.names.get("namespace", "")), "given": {name: given.get(name, "") for name in FILTERS},
        "namespaces": spaces, "types": sorted(app.event_types()), "following": following,
        "is_first": "_next" not in given, "outcomes": [*OUTCOMES],
    }  # fmt: skip
    return Page("events.html", "Events", "/events", values, answer)


async def live(asked: PageRequest) -> Page:
    """The latest events; the page looks again by itself."""
    answer = await asked.answer("/events", f"_limit={TAIL}")
    return Page("live.html", "Live", "/live", answer.value, answer, as_json="/events?_form=json")


async def event(asked: PageRequest) -> Page:
    """By its id or its position, with its whole story."""
    answer = await asked.answer()
    return _story_page(answer.value, Page("event.html", "", "/events", {}, answer))


async def event_at(asked: PageRequest) -> Page | Elsewhere:
    """By its offset in the inbox: what became of it, and its story as soon as there is one."""
    answer = await asked.answer()
    found = answer.value
    namespace, partition, offset = found["namespace"], found["partition"], found["offset"]
    if found["outcome"] in ("parked", "unanswered", "quarantined"):
        return Elsewhere(aside_url(f"{namespace}-{partition}@{offset}"))
    if found["sequence"] is None:
        return Page("pending.html", "Not handled yet", "/events", found, answer)
    return Elsewhere(event_url(found["position"]))


def _story_page(story: Mapping[str, Any], page: Page) -> Page:
    it = story["event"]
    root = it if it["kind"] == ROOT else next((cause for cause in story["causes"] if cause["kind"] == ROOT), None)
    replaced = [each["data"] for each in it.get("corrections", ()) if each.get("data") is not None]
    counts = replaced[-1] if replaced else it["data"]  # forms begin with what a person last said of it
    values = {**story, "root": root, "data": msgspec.json.format(msgspec.json.encode(counts), indent=2).decode()}
    return page._replace(title=f"{it['type']} {it['key']}", values=values)


async def what_if(asked: PageRequest) -> Page:
    """The past without an event (`remove`), or with other data of it (`replace` and `data`)."""
    document = _change(asked.form)
    answer = await asked.api.post("/what-if", document)
    if not answer.is_good:
        raise PageRefused(answer)
    *found, summary = answer.lines
    groups: dict[str, list[Any]] = {kind: [] for kind in KINDS}
    for it in found:
        groups.setdefault(it["difference"], []).append(it)
    name = document["remove"][0] if "remove" in document else next(iter(document["replace"]))
    values = {
        "summary": summary, "groups": {kind: some[:MOST] for kind, some in groups.items()}, "name": name,
        "left_out": {kind: max(len(some) - MOST, 0) for kind, some in groups.items()}, "removed": "remove" in document,
        "event": await _named(asked, name),
    }  # fmt: skip
    return Page("what_if.html", "What if", "/events", values, answer, as_json=None)


async def _named(asked: PageRequest, name: str) -> Any:
    story = await asked.api.get(event_url(name), "_depth=0")
    return story.value["event"] if story.is_good else None


def _change(form: Mapping[str, str]) -> dict[str, Any]:
    if form.get("remove"):
        return {"remove": [form["remove"]]}
    if not form.get("replace"):
        raise Problem(422, "the form names no event: `remove`, or `replace` and `data`, was expected", field="remove")
    try:
        return {"replace": {form["replace"]: msgspec.json.decode(form.get("data", ""))}}
    except UNREADABLE_JSON as error:
        raise Problem(422, f"the data are no JSON: {error}", field="data") from error
