"""Every route of the server, in the order in which they are tried, with who answers and which right that asks for.

A handler takes a request and gives a response, or raises: `problems.py` says which errors become which answers.
What the OpenAPI says of a route is in `operations.py`.
"""

from __future__ import annotations

from typing import Final

from streams.server.access.principal import ADMIN
from streams.server.http import (
    branches,
    change_stream,
    correction_routes,
    decisions,
    documents,
    event_batch,
    event_list,
    events,
    health,
    live,
    overview,
    problem_pages,
    projections,
    registry,
    set_aside,
    stories,
    table_rows,
    views,
    waiting_lists,
    write,
)
from streams.server.http.guard import ICON_PATH, SITE_PATH
from streams.server.http.route_entry import ALL_READ, ANY, KNOWN, OPEN, RouteEntry, RouteRight, needs
from streams.server.pages.site_files import icon, to_the_site

PUBLISHING: Final = "/events/{event_type}"
"""Each event of the application has a route of its own beside it: for the OpenAPI, and for metrics."""
SITE: Final = SITE_PATH.rstrip("/")
"""There with the setting `site` alone."""
CORRECTING: Final = needs("correct", ANY)
"""Further to each namespace of which a correction changes anything, which is known once it is planned."""
NOT_TOLD: Final = frozenset({"/openapi.json", SITE, ICON_PATH})
"""Paths of which the OpenAPI says nothing."""


ROUTES: Final = tuple(RouteEntry(*each) for each in (
    ("GET", "/", overview.overview, KNOWN),  # about the namespaces of which it may see anything
    ("GET", "/rows", overview.tables, KNOWN),  # those that it may read
    ("GET", "/projections", overview.projections, KNOWN),  # those that it may read
    ("GET", "/openapi.json", documents.openapi, KNOWN),
    ("GET", "/asyncapi.json", documents.asyncapi, KNOWN),
    ("POST", PUBLISHING, write.publish, needs("publish", "{event_type}")),
    ("POST", "/events", event_batch.publish, KNOWN),  # each line is checked
    ("POST", "/what-if", branches.asked, ALL_READ),
    ("POST", "/corrections", correction_routes.plan, CORRECTING),
    ("GET", "/corrections", correction_routes.listed, CORRECTING),
    ("GET", "/corrections/calls", correction_routes.calls, CORRECTING),
    ("POST", "/corrections/calls/{request:rest}/close", correction_routes.close, CORRECTING),
    ("GET", "/corrections/{correction}", correction_routes.one, CORRECTING),
    ("POST", "/corrections/{correction}/apply", correction_routes.apply, CORRECTING),
    ("POST", "/corrections/{correction}/withdraw", correction_routes.withdraw, CORRECTING),
    ("GET", "/events/{event:rest}/story", stories.of_event, ALL_READ),  # before what ends with whatever a key may be
    ("GET", "/rows/{namespace}/{key:rest}/story", stories.of_row, needs("read", "rows/{namespace}")),  # for the story itself: all
    ("GET", "/events/{namespace}/{partition}/{offset}", events.event, KNOWN),  # also for who may publish such an event
    ("GET", "/events", event_list.events, needs("read", f"events/{ANY}")),
    ("GET", "/events/{namespace}", event_list.of_namespace, needs("read", "events/{namespace}")),
    ("GET", "/rows/{namespace}", table_rows.rows, needs("read", "rows/{namespace}")),
    ("GET", "/rows/{namespace}/{key:rest}", table_rows.row, needs("read", "rows/{namespace}")),
    ("GET", "/projections/{name}", projections.rows, needs("read", "projections/{name}")),
    ("GET", "/projections/{name}/{key:rest}", projections.row, needs("read", "projections/{name}")),
    ("GET", "/parked", set_aside.aside, needs("operate", ANY)),
    ("GET", "/parked/{namespace}/{partition}/{place}", set_aside.one, needs("operate", "{namespace}")),
    ("POST", "/parked/{namespace}/{partition}/{place}/{decision}", decisions.decide, needs("operate", "{namespace}")),
    ("GET", "/waiting/timers", waiting_lists.timers, needs("read", f"events/{ANY}")),
    ("GET", "/waiting/calls", waiting_lists.calls, needs("read", f"events/{ANY}")),
    ("GET", "/views/{path:rest}", views.view, needs("read", "views/{view}")),
    ("GET", "/live", change_stream.changes, KNOWN),  # it tells positions alone
    ("GET", "/live/{namespace}", live.of_namespace, needs("read", "events/{namespace}")),
    ("GET", "/live/{namespace}/{key:rest}", live.of_key, needs("read", "events/{namespace}")),
    ("GET", "/-/live", health.live, OPEN),
    ("GET", "/-/ready", health.ready, OPEN),
    ("GET", "/-/health", health.health, OPEN),
    ("GET", "/-/status", health.status, RouteRight(ADMIN)),
    ("GET", "/-/metrics", health.figures, RouteRight(ADMIN)),
    ("GET", "/-/problems", problem_pages.types, KNOWN),
    ("GET", "/-/problems/{name}", problem_pages.one, KNOWN),
    ("GET", "/schemas/ids/{schema_id}", registry.by_id, KNOWN),
    ("GET", "/schemas/ids/{schema_id}/schema", registry.text_by_id, KNOWN),
    ("GET", "/schemas/ids/{schema_id}/versions", registry.versions_by_id, KNOWN),
    ("GET", "/schemas/types", registry.types, KNOWN),
    ("GET", "/config", registry.config, KNOWN),
    ("GET", "/subjects", registry.subjects, KNOWN),
    ("GET", "/subjects/{subject}/versions", registry.versions, KNOWN),
    ("GET", "/subjects/{subject}/versions/{version}", registry.version, KNOWN),
    ("GET", ICON_PATH, icon, OPEN),  # browsers ask for it, whatever page they show
    ("GET", SITE, to_the_site, OPEN),  # where it leads are files, which show nothing that they do not ask for
))  # fmt: skip
"""A route that is not here is not there."""
