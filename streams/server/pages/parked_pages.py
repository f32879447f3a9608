"""Pages of what is set aside: the list, one event with its queue, and what an operator decides about it.

A decision is asked for once more on a page of its own, which says what will happen. It is sent by a form, and ends where its
outcome is seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote

import msgspec

from streams.data import EventData
from streams.errors import UNREADABLE_JSON
from streams.hints import without_none
from streams.server.http.problems import Problem
from streams.server.pages.filter_form import filter_values, without_empty
from streams.server.pages.page_request import Elsewhere, Page, PageRefused, PageRequest
from streams.server.pages.page_templates import row_url

FILTERS = ("namespace", "key", "status")
FIELD = "field-"
"""Before the names of an answer's fields in a form."""
PENDING = 202


class AnswerField(NamedTuple):
    """An input of a form; `fixed` is the key, which is that of the request."""

    name: str
    fixed: str | None
    required: bool


async def parked(asked: PageRequest) -> Page | Elsewhere:
    if (same := without_empty(asked)) is not None:
        return same
    answer = await asked.answer()
    found = answer.value
    values = {**found, **filter_values(asked, FILTERS, found["next"], "operate"), "reasons": _reasons(found["events"])}
    return Page("parked.html", "Parked", "/parked", values, answer)


def _reasons(events: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    """Reasons that several events of the page share, the commonest first."""
    counts: dict[str, int] = {}
    for it in events:
        counts[it["reason"]] = counts.get(it["reason"], 0) + 1
    return sorted(((reason, count) for reason, count in counts.items() if count > 1), key=lambda it: -it[1])


async def one(asked: PageRequest) -> Page:
    answer = await asked.answer()
    found = answer.value
    return Page("parked_one.html", f"Parked: {found['type'] or found['position']}", "/parked", found, answer)


async def asks_once_more(asked: PageRequest) -> Page:
    """What will happen, and a button that does it."""
    decision = asked.names["decision"]
    path = asked.path.removesuffix(f"/{decision}")
    answer = await asked.answer(path)
    found = answer.value
    if found["key"] is None or found["first"] != found["position"]:
        raise Problem(409, _not_now(found))
    if decision == "answer" and not found["answers"]:
        raise Problem(409, f"{found['position']} is no request whose gateway may be answered for: retry or reject it")
    forms = {name: _fields(asked.parts.app.event_types()[name], found["key"]) for name in found["answers"]}
    values = {**found, "decision": decision, "path": path, "forms": forms if decision == "answer" else {}}
    return Page("decision.html", f"{decision.capitalize()} {found['position']}", "/parked", values, answer, as_json=None)


def _not_now(found: Mapping[str, Any]) -> str:
    if found["key"] is None:
        return f"{found['position']} is quarantined: it blocks nothing, and cannot be read. Publish a corrected event instead"
    return f"{found['position']} stands behind {found['first']}: decide about that one first, and those behind it follow"


def _fields(data: type[EventData], key: str) -> list[AnswerField]:
    fields: Iterable[Any] = msgspec.structs.fields(data)
    return [AnswerField(it.name, key if it.name == data.key_field else None, it.required) for it in fields]


async def decide(asked: PageRequest) -> Page | Elsewhere:
    """Send it, and show what came of it."""
    decision, form = asked.names["decision"], asked.form
    document: dict[str, Any] = {"why": form.get("why", "")}
    if decision == "answer":
        document |= {"type": form.get("type", ""), "data": _data(asked, form)}
    answer = await asked.api.post(asked.path, document)
    if not answer.is_good:
        raise PageRefused(answer)
    found = answer.value
    if answer.status == PENDING:
        return Page("decided.html", "Sent", "/parked", found, answer, as_json=None)
    is_timer = found["url"].startswith("/parked/")
    return Elsewhere(row_url(unquote(asked.names["namespace"]), found["key"]) if is_timer else found["url"])


def _data(asked: PageRequest, form: Mapping[str, str]) -> dict[str, Any]:
    """The fields of the answer as JSON has them: a text as it is, all else as it is written."""
    data = asked.parts.app.event_types().get(form.get("type", ""))
    hints = {} if data is None else {it.name: it for it in msgspec.structs.fields(data)}
    given = {name.removeprefix(FIELD): text for name, text in form.items() if name.startswith(FIELD)}
    return {
        name: _value(hints[name].type, text) if name in hints else text
        for name, text in given.items()
        if text or name not in hints or hints[name].required
    }


def _value(hint: Any, text: str) -> Any:
    if without_none(hint) is str:
        return text
    try:
        return msgspec.json.decode(text)
    except UNREADABLE_JSON:
        return text  # the API says what was expected
