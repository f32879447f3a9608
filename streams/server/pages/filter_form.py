"""Lists with a form of filters above them: `GET` sends all of its fields, also the empty ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from streams.server.access.principal import Kind
from streams.server.pages.page_request import Elsewhere, PageRequest


def address(path: str, pairs: Sequence[tuple[str, str]]) -> str:
    return f"{path}?{urlencode(pairs)}" if pairs else path


def without_empty(asked: PageRequest) -> Elsewhere | None:
    """The same without what is empty; None if nothing is."""
    pairs = [pair for pair in asked.pairs if pair[1]]
    return None if len(pairs) == len(asked.pairs) else Elsewhere(address(asked.path, pairs))


def filter_values(
    asked: PageRequest, names: Sequence[str], following: str | None, kind: Kind, of: str = ""
) -> dict[str, Any]:
    """What the form shows: the filters of these `names`, and the namespaces that there is a right to (`kind`, `of`).

    `following` is the `next` of the API's page.
    """
    given = dict(asked.pairs)
    return {
        "given": {name: given.get(name, "") for name in names},
        "namespaces": asked.principal.some(kind, of, [space.name for space in asked.parts.app.namespaces]),
        "following": address(asked.path, [*({**given, "_next": following}).items()]) if following else None,
    }
