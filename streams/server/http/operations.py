"""What the OpenAPI says of each route: a tag, a line, and what it takes and answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from streams.app import App
from streams.server.http import correction_spec, operating_specs, operation_specs, overview_spec
from streams.server.http.json_schema import Spec


class Operation(NamedTuple):
    """`spec` makes the members `parameters`, `requestBody` and `responses`.

    It is given the application and what the path is of: a namespace, a projection, a view or an event, which has a path of its own
    for each, and stands for the braces in `summary`; else an empty text.
    """

    tag: str
    summary: str
    spec: Callable[[App, str], Spec]


OPERATIONS: Final[Mapping[str, Operation]] = {name: Operation(*each) for name, each in {
    "GET /": ("overview", "What there is, and how it goes", overview_spec.overview),
    "GET /rows": ("overview", "The tables that there are", overview_spec.table_list),
    "GET /projections": ("overview", "The projections that there are", overview_spec.projection_list),
    "GET /asyncapi.json": ("overview", "The events of the application, as AsyncAPI 3.0", operation_specs.document),
    "POST /events/{event_type}": ("events", "Publish {}", operation_specs.publishing),
    "POST /events": ("events", "Publish many events", operation_specs.publishing_many),
    "POST /what-if": ("events", "What would have happened if", operation_specs.asking_what_if),
    "POST /corrections": ("corrections", "Plan a correction", correction_spec.planning),
    "GET /corrections": ("corrections", "Corrections", correction_spec.correction_list),
    "GET /corrections/calls": ("corrections", "Calls that corrections have made wrong", correction_spec.wrong_calls),
    "POST /corrections/calls/{request}/close": ("corrections", "Say that a person has seen to a call", correction_spec.closing),
    "GET /corrections/{correction}": ("corrections", "One correction", correction_spec.one_correction),
    "POST /corrections/{correction}/apply": ("corrections", "Apply a correction", correction_spec.applying),
    "POST /corrections/{correction}/withdraw": (
        "corrections", "Forget a correction that has changed nothing", correction_spec.withdrawing
    ),
    "GET /events/{event}/story": ("events", "The story of an event", operation_specs.story_of_event),
    "GET /rows/{namespace}/{key}/story": ("rows", "The story of a row of {}", operation_specs.story_of_row),
    "GET /events/{namespace}/{partition}/{offset}": ("events", "What became of an event of {}", operation_specs.becoming),
    "GET /events": ("events", "What was handled", overview_spec.event_list),
    "GET /events/{namespace}": ("events", "What was handled in {}", overview_spec.event_list),
    "GET /rows/{namespace}": ("rows", "Rows of {}", operation_specs.listing),
    "GET /rows/{namespace}/{key}": ("rows", "A row of {}", operation_specs.one_row),
    "GET /projections/{name}": ("projections", "Rows of the projection {}", operation_specs.projected),
    "GET /projections/{name}/{key}": ("projections", "A row of the projection {}", operation_specs.one_projected),
    "GET /parked": ("parked", "What is set aside", overview_spec.aside_list),
    "GET /parked/{namespace}/{partition}/{place}": ("parked", "An event of {} that is set aside", overview_spec.one_aside),
    "POST /parked/{namespace}/{partition}/{place}/{decision}": (
        "parked", "Decide about an event of {} that is set aside", overview_spec.deciding
    ),
    "GET /waiting/timers": ("waiting", "Timers that wait", overview_spec.timer_list),
    "GET /waiting/calls": ("waiting", "Calls without an answer", overview_spec.call_list),
    "GET /views/{path}": ("views", "The answer of the view {}", operation_specs.viewing),
    "GET /live": ("live", "That something has changed", overview_spec.changing),
    "GET /live/{namespace}": ("live", "The log of {}, as it grows", operation_specs.watching),
    "GET /live/{namespace}/{key}": ("live", "The events of a key of {}, as they come", operation_specs.watching),
    "GET /-/live": ("operation", "200 as long as this process answers", operating_specs.probe),
    "GET /-/ready": ("operation", "200 if this server can answer queries, else 503", operating_specs.probe),
    "GET /-/health": ("operation", "200 if nothing in the application needs an operator, else 503", operating_specs.health),
    "GET /-/status": ("operation", "The application and this server, as they are", operating_specs.status),
    "GET /-/metrics": ("operation", "Figures for Prometheus", operating_specs.metrics),
    "GET /-/problems": ("problems", "All types of problems that have a page", operating_specs.problem_types),
    "GET /-/problems/{name}": ("problems", "A type of problem", operating_specs.problem_type),
    "GET /schemas/ids/{schema_id}": ("schema registry", "A schema by its id", operating_specs.schema),
    "GET /schemas/ids/{schema_id}/schema": ("schema registry", "Its text alone", operating_specs.schema_text),
    "GET /schemas/ids/{schema_id}/versions": ("schema registry", "Where it is used", operating_specs.schema_uses),
    "GET /schemas/types": ("schema registry", "The kinds of schemas", operating_specs.names),
    "GET /config": ("schema registry", "How versions fit together", operating_specs.compatibility),
    "GET /subjects": ("schema registry", "Every event and row that has a schema", operating_specs.names),
    "GET /subjects/{subject}/versions": ("schema registry", "The versions of a subject", operating_specs.versions),
    "GET /subjects/{subject}/versions/{version}": ("schema registry", "A version, or the latest", operating_specs.version),
}.items()}  # fmt: skip
