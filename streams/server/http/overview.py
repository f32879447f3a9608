"""`GET /`, `/rows` and `/projections`: what there is, and how it goes."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from streams.data import Record, namespace_of
from streams.engine.times import from_micros
from streams.kafka.status import NamespaceStatus
from streams.query.filters import operators_of
from streams.query.row_fields import KEY, fields_of
from streams.server.access.principal import ADMIN, Kind, Principal, Right
from streams.server.http.access_checks import principal_of
from streams.server.http.answers import latest
from streams.server.http.parameters import known_params
from streams.server.http.parts import ServerParts, parts_of
from streams.server.http.pools import in_thread
from streams.server.http.server_checks import all_checks
from streams.server.http.snapshot import stands_still
from streams.server.readmodel.store_figures import StoreFigures, store_figures
from streams.server.readmodel.store_readers import StoreAway

LINKS = {
    "rows": "/rows",
    "projections": "/projections",
    "events": "/events",
    "parked": "/parked",
    "timers": "/waiting/timers",
    "calls": "/waiting/calls",
    "live": "/live",
    "status": "/-/status",
    "openapi": "/openapi.json",
    "asyncapi": "/asyncapi.json",
}


FIGURE_RIGHTS: Mapping[str, Sequence[tuple[Kind, str]]] = {
    "rows": (("read", "rows/"),),
    **dict.fromkeys(("events", "calls", "timers", "last"), (("read", "events/"),)),
    **dict.fromkeys(("lag", "blocked"), (("read", "events/"), ("operate", ""))),
    **dict.fromkeys(("parked", "unanswered", "quarantined"), (("operate", ""),)),
}
"""Each figure of a namespace, with the rights to the namespace of which any gives it."""


async def overview(request: Request) -> Response:
    parts = parts_of(request)
    known_params(request.query_params.multi_items())
    return latest(await in_thread(parts.pools.memory, _overview, parts, principal_of(request)))


async def tables(request: Request) -> Response:
    parts = parts_of(request)
    known_params(request.query_params.multi_items())
    sizes = await in_thread(parts.pools.memory, parts.model.sizes)
    spaces, principal = parts.app.namespaces, principal_of(request)
    sizes = {name: size for name, size in sizes.items() if name not in principal.only}
    found = [_table(it.name, sizes, it.row_type) for it in spaces if principal.may(Right("read", f"rows/{it.name}"))]
    return latest({"tables": found})


async def projections(request: Request) -> Response:
    parts = parts_of(request)
    known_params(request.query_params.multi_items())
    model, principal = parts.model, principal_of(request)
    faults = {name: fault if principal.may(ADMIN) else stands_still(name) for name, fault in model.stopped.items()}
    sizes = await in_thread(parts.pools.memory, model.sizes)
    sizes = {name: size for name, size in sizes.items() if name not in principal.only}
    found = [
        {
            **_table(it.name, sizes, it.row_type), "folds": model.folded_by[it.name],
            "fault": faults.get(it.name), "rebuilding": model.rebuilding.get(it.name),
        }
        for it in parts.app.projections
        if principal.may(Right("read", f"projections/{it.name}"))
    ]  # fmt: skip
    return latest({"projections": found})


def _table(name: str, sizes: Mapping[str, int], row_type: type[Record]) -> dict[str, Any]:
    return {"name": name, "rows": sizes.get(name), **table_fields(row_type)}


def table_fields(row_type: type[Record]) -> dict[str, Any]:
    """`scalar` has the fields by which rows are sorted, `operators` how rows are chosen by each, the key among them."""
    found = fields_of(row_type).values()
    return {
        "fields": [field.name for field in msgspec.structs.fields(row_type)],
        "scalar": [field.name for field in found if field.is_scalar and field is not KEY],
        "operators": {field.name: operators_of(field) for field in found if operators_of(field)},
    }


def _overview(parts: ServerParts, principal: Principal) -> dict[str, Any]:
    """What the principal has any right to. It counts rows, so it runs in a thread."""
    app, sizes, figures = parts.app, parts.model.sizes(), _figures(parts)
    seen_spaces = [space for space in app.namespaces if _sees(principal, space.name)]
    names = {space.name for space in seen_spaces}
    status = parts.observed.status
    seen = {} if status is None else {space.name: space for space in status.namespaces}
    return {
        "application": app.name,
        "version": version("retold"),
        "links": LINKS,
        "checks": [asdict(each) for each in all_checks(parts) if each.state != "good"] if principal.may(ADMIN) else [],
        "namespaces": [
            {
                "name": space.name,
                "handles": [data.event_type for data in space.handlers],
                "calls_for": [g.data.event_type for g in app.gateways if namespace_of(g.data.event_type) == space.name],
                **_permitted(principal, space.name, {
                    "rows": sizes.get(space.name), **_counts(figures.get(space.name, StoreFigures()), seen.get(space.name)),
                }),
            }
            for space in seen_spaces
        ],
        "flow": {
            name: [it for it in out if namespace_of(it) in names]
            for name, out in app.flow().items()
            if namespace_of(name) in names
        },
        "views": [view.path for view in app.views if principal.may(Right("read", f"views/{view.path.strip('/')}"))],
    }


def _sees(principal: Principal, namespace: str) -> bool:
    """Whether it may see anything of a namespace."""
    rights = (Right("read", f"rows/{namespace}"), Right("read", f"events/{namespace}"), Right("operate", namespace))
    return any(map(principal.may, rights))


def _permitted(principal: Principal, namespace: str, figures: Mapping[str, Any]) -> dict[str, Any]:
    """Null in place of those that it has no right to; with `only` of all, since they count what is not there for it."""
    told = {
        name
        for name, rights in FIGURE_RIGHTS.items()
        if namespace not in principal.only and any(principal.may(Right(kind, f"{of}{namespace}")) for kind, of in rights)
    }
    return {name: value if name in told else None for name, value in figures.items()}


def _figures(parts: ServerParts) -> dict[str, StoreFigures]:
    """Empty while there is no file to read them from."""
    try:
        with parts.model.reading() as db:
            return store_figures(db, [space.name for space in parts.app.namespaces])
    except (StoreAway, sqlite3.Error):
        return {}


def _counts(found: StoreFigures, seen: NamespaceStatus | None) -> dict[str, Any]:
    """`lag` and `blocked` are null while the status of the application is not known."""
    return {
        "events": found.events,
        "lag": None if seen is None else seen.lag,
        "blocked": None if seen is None else len(seen.waiting),
        "parked": found.parked,
        "unanswered": found.unanswered,
        "quarantined": found.quarantined,
        "calls": found.calls,
        "timers": found.timers,
        "last": None if found.last is None else from_micros(found.last),
    }
