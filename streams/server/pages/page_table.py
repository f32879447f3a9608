"""Which address has which page: one table, from the first that fits."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from streams.server.access.principal import ADMIN, Principal, Right
from streams.server.pages import (
    correction_pages,
    docs_page,
    event_form,
    event_pages,
    finding,
    parked_pages,
    status_pages,
    table_pages,
    waiting_pages,
)
from streams.server.pages.flow_page import flow
from streams.server.pages.page_request import Elsewhere, Page, PageRequest

MakePage = Callable[[PageRequest], Awaitable[Page | Elsewhere]]


class PageRoute(NamedTuple):
    """`pattern` is of the whole percent-encoded path."""

    pattern: str
    make: MakePage


ASIDE = r"/parked/(?P<namespace>[^/]+)/(?P<partition>[^/]+)/(?P<place>[^/]+)"
DECISION = r"(?P<decision>retry|reject|answer)"
PAGES: Sequence[PageRoute] = (
    PageRoute(r"/", flow),
    PageRoute(r"/rows", table_pages.tables),
    PageRoute(r"/rows/(?P<name>[^/]+)", table_pages.rows),
    PageRoute(r"/rows/(?P<namespace>[^/]+)/(?P<key>.+?)(/story)?", table_pages.row),
    PageRoute(r"/projections", table_pages.projections),
    PageRoute(r"/projections/(?P<name>[^/]+)", table_pages.projected_rows),
    PageRoute(r"/projections/(?P<name>[^/]+)/(?P<key>.+)", table_pages.projected_row),
    PageRoute(r"/views/.+", table_pages.view),
    PageRoute(r"/events", event_pages.events),
    PageRoute(r"/events/.+/story", event_pages.event),
    PageRoute(r"/events/(?P<namespace>[^/]+)", event_pages.events),
    PageRoute(r"/events/[^/]+/[^/]+/[^/]+", event_pages.event_at),
    PageRoute(r"/parked", parked_pages.parked),
    PageRoute(f"{ASIDE}", parked_pages.one),
    PageRoute(f"{ASIDE}/{DECISION}", parked_pages.asks_once_more),
    PageRoute(r"/corrections", correction_pages.corrections),
    PageRoute(r"/corrections/calls", correction_pages.calls),
    PageRoute(r"/corrections/[^/]+", correction_pages.correction),
    PageRoute(r"/waiting/timers", waiting_pages.timers),
    PageRoute(r"/waiting/calls", waiting_pages.calls),
    PageRoute(r"/live", event_pages.live),
    PageRoute(r"/-/status", status_pages.status),
    PageRoute(r"/-/docs", docs_page.docs),
    PageRoute(r"/-/problems(/[^/]+)?", docs_page.problems),
    PageRoute(r"/-/go", finding.go),
)
"""Seen with GET."""
FORMS: Sequence[PageRoute] = (
    PageRoute(r"/events/(?P<type>[^/]+)", event_form.publish),
    PageRoute(r"/what-if", event_pages.what_if),
    PageRoute(f"{ASIDE}/{DECISION}", parked_pages.decide),
    PageRoute(r"/corrections", correction_pages.plan),
    PageRoute(r"/corrections/calls/.+/close", correction_pages.close),
    PageRoute(r"/corrections/[^/]+/apply", correction_pages.apply),
    PageRoute(r"/corrections/[^/]+/withdraw", correction_pages.withdraw),
)
"""What a form of a page sends, with POST."""


class PageLink(NamedTuple):
    """What each page links to, for who has the right: to `of` and the name of a table at least, where `of` ends with a slash."""

    url: str
    name: str
    right: Right | None = None


NAVIGATION: Sequence[PageLink] = (
    PageLink("/", "Flow"),
    PageLink("/rows", "Rows", Right("read", "rows/")),
    PageLink("/projections", "Projections", Right("read", "projections/")),
    PageLink("/events", "Events", Right("read", "events/")),
    PageLink("/parked", "Parked", Right("operate")),
    PageLink("/corrections", "Corrections", Right("correct")),
    PageLink("/waiting/timers", "Waiting", Right("read", "events/")),
    PageLink("/live", "Live", Right("read", "events/")),
    PageLink("/-/status", "Status", ADMIN),
    PageLink("/-/docs", "API"),
)


def links_for(principal: Principal, tables: Sequence[str]) -> Sequence[PageLink]:
    """Those of the navigation that lead it somewhere. `tables` are the names of all namespaces and projections."""
    return [it for it in NAVIGATION if it.right is None or _has_some(principal, it.right, tables)]


def _has_some(principal: Principal, right: Right, tables: Sequence[str]) -> bool:
    return principal.may(right) if right == ADMIN else bool(principal.some(right.kind, right.of, tables))


def page_at(path: str, pages: Sequence[PageRoute] = PAGES) -> tuple[MakePage, Mapping[str, str]] | None:
    """The page of a percent-encoded path, and the parts of the path that it names; None: there is none."""
    for it in pages:
        if (found := re.fullmatch(it.pattern, path)) is not None:
            return it.make, {name: text for name, text in found.groupdict().items() if text is not None}
    return None
