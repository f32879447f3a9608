"""What the AsyncAPI says of queries as streams, and of the WebSocket."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from itertools import chain, count
from typing import Any, Final, NamedTuple

from streams.app import App
from streams.data import EventData, Record
from streams.server.http import shapes
from streams.server.http.json_schema import Spec, components, reference
from streams.server.http.spec_examples import Samples
from streams.server.http.stream_spec import ANSWER, GONE, READY, UNREADABLE_ROW
from streams.server.http.web_sockets import PATH, PROTOCOL

JSON: Final = "application/json"
WEBSOCKET_BINDING: Final = "0.1.0"
"""The version of AsyncAPI's words for WebSockets."""
PART: Final = re.compile(r"{(\w+)}")
ID: Final = {"id": shapes.NUMBER}
OF_ROWS: Final[Mapping[str, tuple[str, Spec]]] = {
    "gone": ("The row is not in the query any more.", GONE),
    "unreadable": ("The row does not read here; the reason is said, and its values are not known.", UNREADABLE_ROW),
    "ready": ("All rows of the query were told; changes follow.", READY),
    "reset": ("What was told counts no more: all rows follow.", {"type": "object"}),
}
ASKED: Final[Mapping[str, tuple[str, Spec]]] = {
    "hello": ("Shows a token, as the first message.", shapes.shape("id", op=shapes.one_of("hello"), token=shapes.TEXT, **ID)),
    "watch": (
        "Watches any stream of this API, from a place on if one is given.",
        shapes.shape("after", op=shapes.one_of("watch"), **ID, url=shapes.TEXT, after=shapes.TEXT),
    ),
    "publish": (
        "Publishes an event; `key` is as Idempotency-Key, `wait` (s) as Prefer.",
        shapes.shape(
            "key", "wait", op=shapes.one_of("publish"), **ID, type=shapes.TEXT, data={"type": "object"}, key=shapes.TEXT,
            wait={"type": "number"},
        ),
    ),
    "stop": ("Ends a stream.", shapes.shape(op=shapes.one_of("stop"), **ID)),
}  # fmt: skip
"""What a client sends over the WebSocket."""
TOLD: Final[Mapping[str, tuple[str, Spec]]] = {
    "answer": ("What HTTP would answer.", shapes.shape("body", id=shapes.or_null(shapes.NUMBER), status=shapes.NUMBER, body={})),
    "event": (
        "An event of a stream, with its place.", shapes.shape("at", "data", **ID, event=shapes.TEXT, at=shapes.TEXT, data={})
    ),
    "places": (
        "Where each stream goes on, before the connection is closed.",
        shapes.shape(places={"type": "object", "additionalProperties": shapes.TEXT}),
    ),
}
"""What the server sends over it."""


class RowStream(NamedTuple):
    """A table whose rows can be watched."""

    channel: str
    address: str
    row_type: type[Record]
    put: Spec


def row_streams(app: App) -> Iterator[RowStream]:
    for space in app.namespaces:
        put = shapes.of_table(reference(space.row_type))
        yield RowStream(f"{space.name}-rows", f"/rows/{space.name}", space.row_type, put)
    for it in app.projections:
        put = shapes.of_projection(reference(it.row_type))
        yield RowStream(f"{it.name}-projection", f"/projections/{it.name}", it.row_type, put)


def stream_messages(app: App) -> dict[str, Spec]:
    """By their names in the components."""
    streams = [*row_streams(app)]
    samples = Samples(components([it.row_type for it in streams]))
    found = {it.channel: ("put", "A row that is in the query, as it is now.", it.put) for it in streams}
    found |= {f"rows.{name}": (name, words, payload) for name, (words, payload) in OF_ROWS.items()}
    found |= {"view": ("answer", "The whole answer of the view.", ANSWER)} if app.views else {}
    found |= {f"ws.{name}": (name, words, payload) for name, (words, payload) in (*ASKED.items(), *TOLD.items())}
    return {
        key: {
            "name": name, "title": key, "summary": words, "contentType": JSON, "payload": payload,
            "examples": [{"name": "example", "payload": samples.of(payload)}],
        }
        for key, (name, words, payload) in found.items()
    }  # fmt: skip


def stream_channels(app: App, logs: Mapping[str, Iterable[type[EventData]]]) -> dict[str, Spec]:
    """`logs` has the types of the events of each namespace, in whose messages its log is told."""
    found = {
        it.channel: _channel(it.address, "With filters: rows that are in a query, as they change.", [it.channel, *_of_rows()])
        for it in row_streams(app)
    }
    for view in app.views:
        names = PART.findall(view.path)
        found[_view_channel(view.path, found)] = {
            **_channel(f"/views/{view.path}", "Another answer, whenever there is one.", ["view"]),
            **({"parameters": {name: {"description": f"The view's {name}."} for name in names}} if names else {}),
        }
    for space, types in logs.items():
        told = [f"live.{data.event_type}" for data in types]
        found[f"{space}-events"] = _channel(f"/events/{space}", "With filters: the log, as it grows.", told)
    return {**found, "websocket": _websocket()}


def stream_operations(channels: Mapping[str, Spec]) -> dict[str, Spec]:
    """Of these channels: the application tells, but for what comes in over the WebSocket."""
    found = {
        f"watch-{name}": _operation("send", name, it["messages"]) for name, it in channels.items() if name != "websocket"
    }
    return {
        **found,
        "websocket-asked": _operation("receive", "websocket", ASKED),
        "websocket-told": _operation("send", "websocket", TOLD),
    }


def _of_rows() -> list[str]:
    return [f"rows.{name}" for name in OF_ROWS]


def _view_channel(path: str, others: Container[str]) -> str:
    """A name that no other channel has: all that is no letter, digit or `_` is `-` in it, so two paths may come to the same."""
    name = f"view-{'-'.join(re.findall(r'[A-Za-z0-9_]+', path))}"
    return next(it for it in chain([name], (f"{name}-{number}" for number in count(2))) if it not in others)


def _channel(address: str, description: str, messages: Iterable[str]) -> Spec:
    return {
        "address": address, "description": f"{description} As server-sent events, with `Accept: text/event-stream`.",
        "servers": [{"$ref": "#/servers/http"}],
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
    }  # fmt: skip


def _websocket() -> Spec:
    protocol = {"type": "object", "properties": {"Sec-WebSocket-Protocol": shapes.one_of(PROTOCOL)}}
    return {
        "address": PATH, "description": "Many streams, and events both ways, over one connection.",
        "servers": [{"$ref": "#/servers/ws"}],
        "messages": {name: {"$ref": f"#/components/messages/ws.{name}"} for name in (*ASKED, *TOLD)},
        "bindings": {"ws": {"method": "GET", "headers": protocol, "bindingVersion": WEBSOCKET_BINDING}},
    }  # fmt: skip


def _operation(action: str, channel: str, messages: Iterable[str]) -> dict[str, Any]:
    at = f"#/channels/{channel}"
    return {"action": action, "channel": {"$ref": at}, "messages": [{"$ref": f"{at}/messages/{name}"} for name in messages]}
