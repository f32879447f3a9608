"""An event published by a plain form, as a browser without a script sends it."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import msgspec

from streams.errors import InvalidEvent
from streams.eventfiles.convert import Converter
from streams.server.http.problems import problem_of
from streams.server.pages.page_request import Elsewhere, PageRefused, PageRequest
from streams.server.readmodel.row_json import to_json

WAIT = {"Prefer": "wait=5"}


async def publish(asked: PageRequest) -> Elsewhere:
    """Leads to the page of the event, whatever became of it. Raises PageRefused if it was not published."""
    answer = await asked.api.ask("POST", asked.path, body=to_json(_data(asked)), headers=WAIT)
    found = answer.value
    receipt = found if answer.is_good else found.get("receipt")
    if receipt is None:
        raise PageRefused(answer)
    return Elsewhere(receipt["url"])


def _data(asked: PageRequest) -> Any:
    """The event's data from the texts of its fields. An empty one is left out, if it may be. Raises a 422 problem."""
    data = asked.parts.app.event_types().get(unquote(asked.names["type"]))
    if data is None:
        return asked.form  # the API says what there is
    optional = {it.name for it in msgspec.structs.fields(data) if not it.required}
    given = {name: text for name, text in asked.form.items() if text or name not in optional}
    try:
        return Converter(data, texts=True, noun="field")(given)
    except InvalidEvent as error:
        raise problem_of(error) from error
