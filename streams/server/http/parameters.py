"""Query parameters: unknown ones are refused, since a misspelt one would silently change the query."""

from __future__ import annotations

from collections.abc import Iterable

from streams.errors import did_you_mean
from streams.server.http.problems import Problem


def known_params(pairs: Iterable[tuple[str, str]], *known: str) -> dict[str, str]:
    """The parameters by name. Raises a 422 problem for one that is unknown or given twice."""
    found: dict[str, str] = {}
    for name, text in pairs:
        if name not in known:
            there = f"there are {', '.join(known)}" if known else "there is none"
            raise Problem(422, f"{name[:100]!r} is no parameter here; {there}{did_you_mean(name, known)}", field=name[:100])
        if name in found:
            raise Problem(422, f"the parameter {name!r} is given twice; one value was expected", field=name)
        found[name] = text
    return found
