"""Which form of an answer a request asks for."""

from __future__ import annotations

import pytest

from streams.server.pages.html_accept import asked_form, prefers_html

CHROMIUM = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        (CHROMIUM, True), (FIREFOX, True), ("text/html", True), ("Text/HTML;q=0.5", True),
        ("text/html, application/json;q=0.9", True),
        ("", False), ("*/*", False), ("application/json", False), ("application/json, text/html;q=0.9", False),
        ("text/event-stream", False), ("text/html;q=0", False), ("text/html;q=x", False), ("application/json, */*", False),
    ],
)  # fmt: skip
def test_html_is_for_those_who_ask_for_it(accept: str, html: bool) -> None:
    """Browsers name it first; programs name JSON, or anything."""
    assert prefers_html(accept) == html


def test_the_address_may_say_it() -> None:
    """Then the header does not count, and the API does not see the parameter; another value is the API's to answer."""
    assert asked_form(FIREFOX, "status=paid&_form=json&x=a%26b") == (False, "status=paid&x=a%26b", True)
    assert asked_form("*/*", "_form=html") == (True, "", True)
    assert asked_form(FIREFOX, "_form=csv") == (False, "_form=csv", False)
    assert asked_form(FIREFOX, "_form=html&_form=json") == (False, "_form=html&_form=json", False)
    assert asked_form(FIREFOX, "status=a%20b") == (True, "status=a%20b", False)
