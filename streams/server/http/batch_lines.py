"""The lines of a batch: read and checked one by one, so that each that is wrong is named before any is published."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from streams.errors import InvalidEvent
from streams.prepared_event import prepare
from streams.server.access.principal import Principal, Right
from streams.server.http.access_checks import require
from streams.server.http.parts import ServerParts
from streams.server.http.problems import Problem, problem_of
from streams.server.http.requests import LINES, PublishRequest, cloud_event, kind_of, read_json
from streams.server.http.write import CheckedRequest, EventEndpoint, unknown_event
from streams.server.readmodel.key_uses import SOURCE

MOST_LINES = 1_000
MEMBERS = ("type", "data", "id", "key")
EXPECTED = 'an object such as {"type": "order.place", "data": {…}}'


class BatchLine(NamedTuple):
    """A line, from 1 up, and what is to be published; or why it may not be."""

    number: int
    wanted: CheckedRequest | None
    endpoint: EventEndpoint | None
    field: str = ""
    detail: str = ""
    status: int = 422
    problem: str = ""
    """The type of the problem, if it has a page."""

    @property
    def error(self) -> dict[str, Any]:
        told = {"line": self.number, "field": self.field, "detail": self.detail}
        return told | ({"problem": self.problem} if self.problem else {})


def lines_of(kind: str, body: bytes) -> list[tuple[int, bytes | Any]]:
    """By their numbers the texts of lines, or the events of a list. Raises a 400 or a 422 problem for what is neither."""
    found: list[tuple[int, bytes | Any]]
    if kind == LINES:
        found = [(number, line) for number, line in enumerate(body.split(b"\n"), 1) if line.strip()]
    else:
        value = read_json(body, "a list of CloudEvents")
        if not isinstance(value, list):
            raise Problem(422, f"the body is {kind_of(value)}; a list of CloudEvents was expected")
        found = [*enumerate(value, 1)]
    if not 0 < len(found) <= MOST_LINES:
        raise Problem(422, f"the batch has {len(found)} events; 1 to {MOST_LINES} were expected")
    return found


def checked_lines(
    parts: ServerParts, endpoints: Mapping[str, EventEndpoint], kind: str, body: bytes, principal: Principal
) -> Iterator[BatchLine]:
    """Each line, checked as far as that is possible before it is published; also whether this principal may publish it."""
    for number, given in lines_of(kind, body):
        try:
            event_type, asked, key = _asked(kind, given)
            endpoint = endpoints.get(event_type)
            if endpoint is None:
                raise InvalidEvent(unknown_event(parts, event_type), "type")
            require(principal, Right("publish", event_type))
            yield BatchLine(number, _checked(parts, endpoint, asked, key, principal), endpoint)
        except (InvalidEvent, Problem) as error:
            problem = problem_of(error)
            status = problem.status if problem.status in (403, 412) else 422
            known = problem.known
            yield BatchLine(number, None, None, problem.field, problem.detail, status, "" if known is None else known.url)


def _asked(kind: str, given: bytes | Any) -> tuple[str, PublishRequest, str | None]:
    """The type of the event, what is asked for, and its key, if the line names it."""
    value = read_json(given, EXPECTED) if kind == LINES else given
    if not isinstance(value, dict):
        raise InvalidEvent(f"the line is {kind_of(value)}; {EXPECTED} was expected")
    event_type = value.get("type")
    if not isinstance(event_type, str):
        raise InvalidEvent(f"the type is {kind_of(event_type)}; the name of an event was expected", "type")
    if kind == LINES:
        return event_type, _plain_event(value), value.get("key")
    return event_type, cloud_event(value, event_type), None


def _plain_event(value: Mapping[str, Any]) -> PublishRequest:
    for name in value:
        if name not in MEMBERS:
            raise InvalidEvent(f"a line has no member {name[:100]!r}; it has {', '.join(MEMBERS)}", name[:100])
    for name in ("id", "key"):
        if name in value and not (isinstance(value[name], str) and value[name]):
            raise InvalidEvent(f"the {name} is {value[name]!r:.80}; a text was expected", name)
    if not isinstance(value.get("data"), dict):
        raise InvalidEvent(f"the data are {kind_of(value.get('data'))}; an object with the event's fields was expected", "data")
    return PublishRequest(value["data"], value.get("id"))


def _checked(
    parts: ServerParts, endpoint: EventEndpoint, asked: PublishRequest, key: str | None, principal: Principal
) -> CheckedRequest:
    """Also what else is checked only when an event is published: its size, its id and its time."""
    wanted = endpoint.check(asked, principal)
    if key not in (None, wanted.data.key):
        raise InvalidEvent(f"the key is {key!r:.100}; the event's is {wanted.data.key!r:.100}", "key")
    limit = parts.config.max_event_bytes
    if len(wanted.content) > limit:
        raise InvalidEvent(f"the event holds {len(wanted.content)} bytes; an event may hold {limit} (RETOLD_MAX_EVENT_BYTES)")
    source = asked.source or SOURCE
    prepare(wanted.data, wanted.content, asked.id or "none", source, asked.time, wanted.version, asked.traceparent)
    return wanted
