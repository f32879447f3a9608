"""What the OpenAPI says of each route: a tag, a line, and what it takes and answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from streams.app import App
from streams.server.http import operation_specs, overview_spec
from streams.server.http.json_schema import Spec


class Operation(NamedTuple):
    """`spec` makes the members `parameters`, `requestBody` and `responses`, for an application."""

    tag: str
    summary: str
    spec: Callable[[App], Spec]


def _plain(_: App) -> Spec:
    return {}


OPERATIONS: Final[Mapping[str, Operation]] = {name: Operation(*each) for name, each in {
    "GET /": ("overview", "What there is, and how it goes", overview_spec.overview),
    "GET /rows": ("overview", "The tables that there are", overview_spec.table_list),
    "GET /projections": ("overview", "The projections that there are", overview_spec.projection_list),
    "GET /asyncapi.json": ("overview", "The events of the application, as AsyncAPI 3.0", operation_specs.document),
    "POST /events": ("events", "Publish many events", operation_specs.publishing_many),
    "POST /what-if": ("events", "What would have happened if", operation_specs.asking_what_if),
    "GET /events/{event}/story": ("events", "The story of an event", operation_specs.story_of_event),
    "GET /rows/{namespace}/{key}/story": ("rows", "The story of a row", operation_specs.story_of_row),
    "GET /events/{namespace}/{partition}/{offset}": ("events", "What became of an event", operation_specs.becoming),
    "GET /events": ("events", "What was handled", overview_spec.event_list),
    "GET /events/{namespace}": ("events", "What was handled in a namespace", overview_spec.event_list),
    "GET /rows/{namespace}": ("rows", "Rows", operation_specs.listing),
    "GET /rows/{namespace}/{key}": ("rows", "A row", operation_specs.one_row),
    "GET /projections/{name}": ("projections", "A projection's rows", operation_specs.projected),
    "GET /projections/{name}/{key}": ("projections", "A projection's row", operation_specs.one_projected),
    "GET /parked": ("parked", "What is set aside", overview_spec.aside_list),
    "GET /parked/{namespace}/{partition}/{place}": ("parked", "An event that is set aside", overview_spec.one_aside),
    "POST /parked/{namespace}/{partition}/{place}/{decision}": (
        "parked", "Decide about an event that is set aside", overview_spec.deciding
    ),
    "GET /waiting/timers": ("waiting", "Timers that wait", overview_spec.timer_list),
    "GET /waiting/calls": ("waiting", "Calls without an answer", overview_spec.call_list),
    "GET /views/{path}": ("views", "A view's answer", operation_specs.viewing),
    "GET /live": ("live", "That something has changed", overview_spec.changing),
    "GET /live/{namespace}": ("live", "The log of a namespace, as it grows", operation_specs.watching),
    "GET /live/{namespace}/{key}": ("live", "The events of a key", operation_specs.watching),
    "GET /-/live": ("operation", "200 as long as this process answers", _plain),
    "GET /-/ready": ("operation", "200 if this server can answer queries, else 503", _plain),
    "GET /-/health": ("operation", "200 if nothing in the application needs an operator, else 503", _plain),
    "GET /-/status": ("operation", "The application and this server, as they are", _plain),
    "GET /-/metrics": ("operation", "Figures for Prometheus", _plain),
    "GET /-/problems": ("problems", "All types of problems that have a page", _plain),
    "GET /-/problems/{name}": ("problems", "A type of problem", _plain),
    "GET /schemas/ids/{schema_id}": ("schema registry", "A schema by its id", _plain),
    "GET /schemas/ids/{schema_id}/schema": ("schema registry", "Its text alone", _plain),
    "GET /schemas/ids/{schema_id}/versions": ("schema registry", "Where it is used", _plain),
    "GET /schemas/types": ("schema registry", "The kinds of schemas", _plain),
    "GET /config": ("schema registry", "How versions fit together", _plain),
    "GET /subjects": ("schema registry", "Every event and row that has a schema", _plain),
    "GET /subjects/{subject}/versions": ("schema registry", "The versions of a subject", _plain),
    "GET /subjects/{subject}/versions/{version}": ("schema registry", "A version, or the latest", _plain),
}.items()}  # fmt: skip
