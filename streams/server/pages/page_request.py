"""What a page is made from, and what it is: values for a template, or another address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from streams.server.access.principal import Principal
from streams.server.http.parts import ServerParts
from streams.server.pages.inner_api import InnerAnswer, InnerApi


class PageRefused(Exception):
    """The API refuses what the page is about: its problem is the page."""

    def __init__(self, answer: InnerAnswer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class Page(NamedTuple):
    """`nav` is the entry of the navigation that it belongs to. `answer` is the API's, whose position the page has.

    `as_json` is where a program finds the same; empty: at the same address; None: nowhere.
    """

    template: str
    title: str
    nav: str
    values: Mapping[str, Any]
    answer: InnerAnswer | None = None
    status: int = 200
    as_json: str | None = ""


class Elsewhere(NamedTuple):
    """What is asked for is seen at another address (303)."""

    url: str


@dataclass(frozen=True)
class PageRequest:
    """`names` are the parts of the path that the page's pattern names, percent-encoded as they were sent."""

    api: InnerApi
    parts: ServerParts
    path: str
    query: str
    names: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)

    @property
    def principal(self) -> Principal:
        return self.api.principal

    @property
    def pairs(self) -> list[tuple[str, str]]:
        return parse_qsl(self.query, keep_blank_values=True)

    async def answer(self, path: str | None = None, query: str = "") -> InnerAnswer:
        """The API's answer. Raises PageRefused for a problem."""
        answer = await self.api.get(self.path if path is None else path, self.query if path is None else query)
        if not answer.is_good:
            raise PageRefused(answer)
        return answer
