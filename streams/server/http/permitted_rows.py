"""Which rows are there for a principal: those of which its `only` holds, and the events of their keys."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from streams.errors import WrongVersion
from streams.receipt import EventOutcome
from streams.server.access.principal import Principal
from streams.server.http.parts import ServerParts
from streams.server.http.problems import Problem
from streams.server.http.snapshot import refuse_rows
from streams.server.readmodel.store_moment import FoundRow

KeyOfTable = tuple[str, str]
HIDDEN_VERSION: Final = "wrong version: no row that you may see is at the expected one"
"""In place of a reason that tells at which version a row is. It is the same for a key that has no row."""


def permitted_row(parts: ServerParts, principal: Principal, name: str, key: str) -> FoundRow | None:
    """A row of a namespace or a projection as it is now; None also for one that is not there for this principal."""
    model, conditions = parts.model, principal.only.get(name)
    table = model.tables.get(name) or model.projected[name]
    found = model.row(table, key)
    if found is None or conditions is None:
        return found
    with model.moment() as moment:
        return moment.row(table, model.row_types[name], key, conditions)


def hidden_keys(parts: ServerParts, principal: Principal, keys: Iterable[KeyOfTable]) -> set[KeyOfTable]:
    """Of these, with their namespaces, those whose rows are not there for this principal.

    Raises a 503 problem if nobody knows that, since the rows are of a generation that is not there.
    """
    asked: dict[str, set[str]] = {}
    for name, key in keys:
        if name in principal.only:
            asked.setdefault(name, set()).add(key)
    if not asked:
        return set()
    model, hidden = parts.model, set[KeyOfTable]()
    with model.moment() as moment:
        for name, some in asked.items():
            refuse_rows(model, name)
            shown = moment.keys_of(model.tables[name], model.row_types[name], some, principal.only[name])
            hidden |= {(name, key) for key in some - shown}
    return hidden


def refuse_hidden_version(parts: ServerParts, principal: Principal, name: str, key: str, version: int | None) -> None:
    """Raises a 412 problem for an expected version of a row that is there, and not for this principal: it could guess it."""
    if version is None or name not in principal.only or permitted_row(parts, principal, name, key) is not None:
        return
    if parts.model.row(parts.model.tables[name], key) is not None:
        raise Problem(WrongVersion.status, HIDDEN_VERSION)


def told_outcome(parts: ServerParts, principal: Principal, name: str, key: str, became: EventOutcome) -> EventOutcome:
    """An outcome as its publisher is told it: without the version of a row that is not there for this principal."""
    if not became.wrong_version or name not in principal.only or permitted_row(parts, principal, name, key) is not None:
        return became
    return msgspec.structs.replace(became, reason=HIDDEN_VERSION)


def refuse_past(principal: Principal, *names: str) -> None:
    """Raises a 403 problem for one that sees some rows alone: then these may have been somebody else's."""
    restricted = [name for name in names if name in principal.only]
    if restricted:
        what = ", ".join(restricted)
        raise Problem(
            403, f"{principal.name} sees some rows of {what} alone (`only`), so it is not told how {what} was at another time",
            kind="missing-right", right=f"read {what} without `only`",
        )  # fmt: skip
