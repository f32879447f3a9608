"""Which form of an answer is wanted: by the header Accept, or by the parameter `_form`."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode

from streams.server.http.accept import weights

HTML, ANY = "text/html", "*/*"
OURS = ("html", "json")


class AskedForm(NamedTuple):
    """Whether HTML is wanted, and the query without what said so; `named`: the parameter said it, so the header does not count."""

    html: bool
    query: str
    named: bool = False


def asked_form(accept: str, query: str) -> AskedForm:
    """`_form` is taken out of the query if it is `html` or `json`; every other value is not of the console's concern."""
    if "_form" not in query:
        return AskedForm(prefers_html(accept), query)
    pairs = parse_qsl(query, keep_blank_values=True)
    forms = [value for name, value in pairs if name == "_form"]
    if len(forms) != 1 or forms[0] not in OURS:
        return AskedForm(False, query)
    return AskedForm(forms[0] == "html", urlencode([pair for pair in pairs if pair[0] != "_form"]), named=True)


def prefers_html(accept: str) -> bool:
    """Whether HTML is named, and nothing that an API's client would name is wanted more: `*/*` alone means JSON."""
    wanted = dict(weights(accept))
    html = wanted.get(HTML, 0.0)
    return html > 0.0 and all(html >= weight for kind, weight in wanted.items() if kind != ANY)
