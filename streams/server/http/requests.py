"""Reads a request to publish: its body and its headers."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from urllib.request import parse_http_list

import msgspec
from starlette.requests import Request

from streams.engine.attributes import TRACEPARENT
from streams.errors import InvalidEvent
from streams.event import OURS
from streams.eventfiles import numbers
from streams.eventfiles.numbers import json_number
from streams.eventfiles.repeats import no_repeats
from streams.prepared_event import refuse_ahead
from streams.server.http.problems import Problem

JSON, CLOUD_EVENT = "application/json", "application/cloudevents+json"
LINES, CLOUD_BATCH = "application/x-ndjson", "application/cloudevents-batch+json"
DRAINED = 16 * 1024 * 1024
"""Bytes of a too large body that are read before answering: else the client, still sending, would not get the answer."""
WANTED = "an object with the event's fields"
LONGEST_WAIT = 60.0
VERSION = re.compile(r'"([0-9]{1,18})(?:\.[0-9]{1,10})?"')
"""A row's ETag, of which the version alone is compared, or a version."""
WAIT = re.compile(r"[0-9]+(?:\.[0-9]+)?")
WITHOUT_REPEATS = json.JSONDecoder(
    object_pairs_hook=partial(no_repeats, noun="the name"), parse_int=str, parse_float=json_number
)  # fmt: skip
"""Made once: json.loads makes one for each text."""
PLAIN = frozenset({str, int, bool, type(None)})
ATTRIBUTES = ("specversion", "type", "source", "id", "time", "subject", "datacontenttype", "expectedversion", "data", "traceparent")


@dataclass(frozen=True)
class PublishRequest:
    """An event to publish, as it is in the request."""

    data: Mapping[str, Any]
    id: str | None = None
    source: str | None = None
    time: datetime | None = None
    subject: str | None = None
    expected_version: int | None = None
    traceparent: str | None = None


async def read_body(request: Request, limit: int, whose: str = " (RETOLD_MAX_EVENT_BYTES)") -> bytes:
    """The body. Raises a 413 problem for more than `limit` bytes; `whose` says where the limit is from."""
    size, parts = 0, []
    async for part in request.stream():
        size += len(part)
        if size <= limit:
            parts.append(part)
        elif size > limit + DRAINED:
            break
    if size > limit:
        least = "at least " if size > limit + DRAINED else ""
        raise Problem(413, f"the body has {least}{size} bytes; at most {limit} are taken{whose}")
    return b"".join(parts)


def media_type(request: Request, kinds: tuple[str, str] = (JSON, CLOUD_EVENT)) -> str:
    """The content type. Raises a 415 problem unless it is one of these, in UTF-8."""
    text = request.headers.get("content-type", "")
    name = _in_utf8(text)
    if name is None or name not in kinds:
        shown = repr(text[:100]) if text else "missing"
        raise Problem(415, f"the content type is {shown}; {' or '.join(kinds)} was expected", field="Content-Type")
    return name


def _in_utf8(text: str) -> str | None:
    """A media type in lower case; None if its charset is not UTF-8."""
    name, _, parameters = text.lower().partition(";")
    charset = re.search(r'charset="?([^";\s]*)', parameters)
    return None if charset and charset[1] not in ("utf-8", "utf8") else name.strip()


def no_binary_mode(request: Request) -> None:
    """Raises a 400 problem for a CloudEvent in binary mode: without its attributes, another event would be published."""
    found = next((name for name, _ in request.scope["headers"] if name.startswith(b"ce-")), None)
    if found is not None:
        name = found.decode("latin-1")
        raise Problem(
            400, f"the header {name[:100]} belongs to a CloudEvent in binary mode, which is not taken: send the whole event "
            f"in the body, in structured mode, with the content type {CLOUD_EVENT}", field=name[:100],
        )  # fmt: skip


def one_line(request: Request, name: str) -> str | None:
    """The value of a header. Raises a 400 problem if the header is there more than once."""
    lines = request.headers.getlist(name)
    if len(lines) > 1:
        raise Problem(400, f"the header {name} is there {len(lines)} times; one was expected", field=name)
    return lines[0] if lines else None


def read_asked(kind: str, body: bytes, event_type: str) -> PublishRequest:
    """Parse a body. Raises a 400 problem for invalid JSON, and a 422 problem for JSON of another form."""
    value = read_json(body)
    if not isinstance(value, dict):
        raise Problem(422, f"the body is {kind_of(value)}; {WANTED} was expected")
    return PublishRequest(value) if kind == JSON else cloud_event(value, event_type)


def read_json(body: bytes, wanted: str = WANTED) -> Any:
    """JSON in which no object has a name twice. Raises a 400 problem; `wanted` is what it says was expected."""
    try:
        value = msgspec.json.decode(body)
        if not _is_plain(value, body):
            WITHOUT_REPEATS.decode(body.decode())
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        begin = body[:40].decode("utf-8", "replace")
        raise Problem(
            400, f"the body, which begins with {begin!r}, is no JSON ({error}); {wanted} was expected"
        ) from None
    except RecursionError:
        raise Problem(400, "the body is nested too deeply") from None
    except InvalidEvent as error:
        if not error.field:
            raise Problem(400, f"the body does not read: {error}") from None
        raise Problem(400, f"{error} in one object of the body; each name was expected once", field=error.field) from None
    return value


def _is_plain(value: Any, body: bytes) -> bool:
    """Whether no name is there twice, and no number is rounded, as far as that is seen at once: a closer look takes longer.

    Each name that is written has a colon, so as many colons as names leave none for a second one.
    """
    return type(value) is dict and body.count(b":") == len(value) and PLAIN.issuperset(map(type, value.values()))


def cloud_event(whole: Mapping[str, Any], event_type: str) -> PublishRequest:
    """A CloudEvent in JSON. Raises InvalidEvent naming the attribute that is wrong."""
    value = {name: given for name, given in whole.items() if given is not None}  # null means that an attribute is absent
    for name in value:
        if name not in ATTRIBUTES:
            raise _wrong(name[:100], f"is not carried; there are {', '.join(ATTRIBUTES)}")
    if value.get("specversion") != "1.0":
        raise _wrong("specversion", f"is {value.get('specversion')!r:.80}; '1.0' was expected")
    _check_texts(value, event_type)
    if _in_utf8(str(value.get("datacontenttype", JSON))) != JSON:
        raise _wrong("datacontenttype", f"is {value['datacontenttype']!r:.80}; {JSON!r} was expected")
    if not isinstance(value.get("data"), dict):
        raise _wrong("data", f"is {kind_of(value.get('data'))}; {WANTED} was expected")
    version = value.get("expectedversion")
    if version is not None and (type(version) is not int or version < 0):
        raise _wrong("expectedversion", f"is {version!r:.80}; a whole number from 0 up was expected")
    subject, trace = value.get("subject"), _trace(value.get("traceparent"))
    return PublishRequest(value["data"], value["id"], value["source"], _time(value.get("time")), subject, version, trace)


def _check_texts(value: Mapping[str, Any], event_type: str) -> None:
    for name in ("type", "source", "id"):
        if not isinstance(value.get(name), str) or not value[name]:
            raise _wrong(name, f"is {value.get(name)!r:.80}; a text was expected")
    if value["type"] != event_type:
        raise _wrong("type", f"is {value['type']!r:.80}; {event_type!r} was expected, as in the address")
    if value["source"].startswith(OURS):
        raise _wrong("source", f"is {value['source']!r:.80}; what begins with {OURS} is written by retold alone")


def _trace(value: Any) -> str | None:
    if value is None or (isinstance(value, str) and TRACEPARENT.fullmatch(value)):
        return value
    raise _wrong("traceparent", f"is {value!r:.80}; one of W3C's Trace Context was expected")


def _time(text: Any) -> datetime | None:
    if text is None:
        return None
    try:
        time = numbers.time(text)
    except (TypeError, ValueError):
        raise _wrong("time", f"is {text!r:.80}; {numbers.TIME_EXPECTED} was expected") from None
    refuse_ahead(time)
    return time


def _wrong(name: str, what: str) -> InvalidEvent:
    return InvalidEvent(f"the attribute {name!r} {what}", name)


def kind_of(value: Any) -> str:
    """What a value of JSON is, in words."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def expected_version(request: Request) -> int | None:
    """From `If-Match: "7.1234"` or `"7"`, or `If-None-Match: *` (0: there is no row). Raises a 400 problem."""
    match, none = one_line(request, "If-Match"), one_line(request, "If-None-Match")
    if match is None and none is None:
        return None
    if match is None and none == "*":
        return 0
    found = None if none is not None else VERSION.fullmatch((match or "").strip())
    if found is None:
        name, value = ("If-None-Match", none) if none is not None else ("If-Match", match)
        raise Problem(
            400, f'{name} is {value!r:.80}; If-Match with the ETag of the row (such as "7.1234"), or If-None-Match: * if there '
            "should be no row, was expected", field=str(name),
        )  # fmt: skip
    return int(found[1])


def traceparent_of(request: Request) -> str | None:
    """The trace that the request belongs to. An invalid one begins a new trace, as W3C says: who sends it is no publisher."""
    lines = request.headers.getlist("traceparent")
    return lines[0] if len(lines) == 1 and TRACEPARENT.fullmatch(lines[0]) else None


def wait_of(request: Request) -> float | None:
    """The seconds of the first `Prefer: wait=5`, at most 60. Invalid values are ignored, as RFC 7240 says."""
    lines = request.headers.getlist("prefer")
    for preference in parse_http_list(",".join(lines)) if lines else ():
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == "wait":
            found = WAIT.fullmatch(value.strip().strip('"'))
            return None if found is None else min(float(found[0]), LONGEST_WAIT)
    return None
