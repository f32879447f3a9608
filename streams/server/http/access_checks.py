"""Whether the principal that asks has a right: the routes' own checks, and those of the table of routes."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.requests import Request

from streams.server.access.principal import Kind, Principal, Right
from streams.server.http.parts import ServerParts
from streams.server.http.problems import Problem


def principal_of(request: Request) -> Principal:
    """Who asks. The guard lets nobody else come to a route that is not open."""
    found: Principal = request.state.principal
    return found


def require(principal: Principal, right: Right) -> None:
    """Raises a 403 problem."""
    if not principal.may(right):
        raise missing(principal, right)


def some_namespaces(principal: Principal, parts: ServerParts, kind: Kind, of: str = "") -> list[str] | None:
    """Those that it has the right to; None: to all. Raises a 403 problem if there is none."""
    names = [space.name for space in parts.app.namespaces]
    found = principal.some(kind, of, names)
    if not found:
        raise missing(principal, Right(kind, f"{of}…"))
    return None if found == names else found


def asked_namespaces(principal: Principal, parts: ServerParts, name: str | None, kind: Kind, of: str = "") -> list[str] | None:
    """The one that a list is asked for; else as `some_namespaces`."""
    if name is None:
        return some_namespaces(principal, parts, kind, of)
    require(principal, Right(kind, f"{of}{name}"))
    return [name]


def missing(principal: Principal, *rights: Right) -> Problem:
    wanted = " or ".join(map(str, rights))
    has = kinds_of(principal)
    may = f"may {' and '.join(has)}, but not this" if has else "may do nothing yet"
    detail = f"{principal.name} {may}: the right `{wanted}` is missing. Who keeps the tokens of this server can give it"
    return Problem(403, detail, kind="missing-right", right=wanted)


def kinds_of(principal: Principal) -> list[str]:
    """The kinds of rights that it has."""
    kinds: Iterable[Kind] = ("publish", "read", "operate", "correct")
    return [kind for kind in kinds if getattr(principal, kind)] + (["look after the server"] if principal.admin else [])
