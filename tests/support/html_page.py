"""A page as a test looks at it: its texts, links and forms, read by Python's own parser."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser

EMPTY = frozenset({"meta", "link", "input", "br"})


@dataclass
class HtmlForm:
    action: str
    method: str
    fields: dict[str, str] = field(default_factory=dict)


class HtmlPage(HTMLParser):
    """`tags` has each tag with its attributes, in order; `unclosed` what was opened and not closed, or the other way round."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, Mapping[str, str]]] = []
        self.forms: list[HtmlForm] = []
        self.unclosed: list[str] = []
        self._open: list[str] = []
        self._texts: dict[str, list[str]] = {}
        self._all: list[str] = []
        self.feed(text)
        self.close()
        self.unclosed += self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.append((tag, given))
        if tag == "form":
            self.forms.append(HtmlForm(given.get("action", ""), given.get("method", "get")))
        elif tag in ("input", "textarea") and "name" in given and self.forms:
            self.forms[-1].fields[given["name"]] = given.get("value", "")
        if tag not in EMPTY:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if self._open and self._open[-1] == tag:
            self._open.pop()
        else:
            self.unclosed.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        self._all.append(data)
        if self._open:
            self._texts.setdefault(self._open[-1], []).append(data)
        if self._open and self._open[-1] == "textarea" and self.forms:
            name = next(given["name"] for tag, given in reversed(self.tags) if tag == "textarea")
            self.forms[-1].fields[name] = data

    @property
    def text(self) -> str:
        return " ".join("".join(self._all).split())

    def texts(self, tag: str) -> list[str]:
        """What stands directly in these tags."""
        return [" ".join(it.split()) for it in self._texts.get(tag, []) if it.strip()]

    def links(self) -> list[str]:
        return [given["href"] for tag, given in self.tags if tag == "a" and "href" in given]

    def ids(self) -> list[str]:
        return [given["id"] for _, given in self.tags if "id" in given]
