"""The AsyncAPI of an application: which events there are, where they come in, who handles them, and what they lead to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

from streams.app import App
from streams.config import Config
from streams.data import EventData, namespace_of
from streams.kafka.topics import topic_names
from streams.server.http import shapes
from streams.server.http.asyncapi_streams import row_streams, stream_channels, stream_messages, stream_operations
from streams.server.http.json_schema import Spec, components, reference
from streams.server.http.spec_examples import Samples, cloud_sample, event_sample, texts_of_answers

VERSION = "3.0.0"
AVRO, JSON = "application/vnd.confluent.avro", "application/json"
KAFKA_BINDING = "0.5.0"
"""The version of AsyncAPI's words for Kafka."""
ANY_BROKER = "localhost:9092"
HEADERS: Mapping[str, str] = {
    "ce_specversion": "1.0",
    "ce_id": "Identifies the event, together with ce_source; sent again, it is a duplicate. Without it an id is derived.",
    "ce_source": "The publisher.",
    "ce_type": "The event's name. Without it the schema in the value says it.",
    "ce_time": "When it happened: ISO 8601 with a zone. Without it the record's timestamp.",
    "ce_expectedversion": "Handle it only if its row has this version; 0: only if there is no row.",
    "ce_correlationid": "The id of the root event, in what is emitted.",
    "ce_causationid": "The id of the cause, in what is emitted.",
    "traceparent": "The trace that it belongs to, as in W3C's Trace Context.",
}
"""CloudEvents in binary mode. All are optional."""


def asyncapi_document(app: App, config: Config) -> Spec:
    """The whole document. It has no secrets: of the settings it names the broker, the prefix and the server's address."""
    types = app.event_types()
    messages = {name: _message(data) for name, data in types.items()}
    live = {live_name(name): _live_message(data) for name, data in types.items()}
    logs = {space.name: [types[name] for name in _types_of(app, space.name)] for space in app.namespaces}
    over_http = stream_channels(app, {name: mine for name, mine in logs.items() if mine})
    return {
        "asyncapi": VERSION,
        "info": {"title": app.name, "version": version("retold"), "description": "The events of this application."},
        "defaultContentType": AVRO,
        "servers": _servers(config),
        "channels": {
            **{key: it for space in app.namespaces for key, it in _channels(app, space.name, config.prefix).items()},
            **over_http,
        },
        "operations": {**_handled(app), **_emitted(app), **_told(app), **stream_operations(over_http)},
        "components": {
            "schemas": {**components([*types.values(), *(it.row_type for it in row_streams(app))]), "Headers": _headers()},
            "messages": {**messages, **live, **stream_messages(app)},
        },
    }


def live_name(event_type: str) -> str:
    """The name of the message in which a stream tells of an event."""
    return f"live.{event_type}"


def _servers(config: Config) -> Spec:
    broker = {"default": config.broker or ANY_BROKER, "description": "The Kafka of the setting `broker`."}
    return {
        "kafka": {"host": "{broker}", "protocol": "kafka", "variables": {"broker": broker}},
        "http": {"host": f"{config.http_host}:{config.http_port}", "protocol": "http"},
        "ws": {"host": f"{config.http_host}:{config.http_port}", "protocol": "ws"},
    }


def _headers() -> Spec:
    texts = {name: {**shapes.TEXT, "description": about} for name, about in HEADERS.items()}
    texts["ce_specversion"] = shapes.one_of(HEADERS["ce_specversion"])
    return {"type": "object", "properties": texts}


def _message(data: type[EventData]) -> Spec:
    """An event as a record of Kafka's."""
    cloud = cloud_sample(data)
    headers = {f"ce_{name}": cloud[name] for name in ("specversion", "id", "source", "type", "time")}
    key = {**shapes.TEXT, "description": f"The value of {data.key_field}."}
    return {
        "name": data.event_type,
        "title": data.event_type,
        "summary": " ".join((data.__doc__ or data.event_type).split()),
        "contentType": AVRO,
        "headers": {"$ref": "#/components/schemas/Headers"},
        "payload": reference(data),
        "correlationId": {"location": "$message.header#/ce_correlationid"},
        "bindings": {
            "kafka": {
                "key": key, "schemaIdLocation": "payload", "schemaIdPayloadEncoding": "confluent", "bindingVersion": KAFKA_BINDING,
            }
        },
        "examples": [{"name": "example", "headers": headers, "payload": event_sample(data)}],
    }  # fmt: skip


def _live_message(data: type[EventData]) -> Spec:
    """An event as a stream over HTTP tells it, once it is handled."""
    members = {**shapes.LOGGED["properties"], "type": shapes.one_of(data.event_type), "data": reference(data)}
    payload = {**shapes.LOGGED, "properties": members}
    samples = Samples(components([data]), texts_of_answers(data))
    return {
        "name": data.event_type, "title": f"{data.event_type}, handled", "contentType": JSON, "payload": payload,
        "examples": [{"name": "example", "payload": samples.of(payload)}],
    }  # fmt: skip


def _channels(app: App, namespace: str, prefix: str) -> dict[str, Spec]:
    names = topic_names(prefix, namespace)
    mine = _types_of(app, namespace)
    record = {name: {"$ref": f"#/components/messages/{name}"} for name in mine}
    told = {name: {"$ref": f"#/components/messages/{live_name(name)}"} for name in mine}
    return {
        f"{namespace}-inbox": _topic(names.inbox, "Publish here. Kept until it is handled.", record),
        f"{namespace}-log": _topic(names.log, "What was handled, in that order, for ever.", record),
        f"{namespace}-live": {
            "address": f"/live/{namespace}", "description": "What is handled, as server-sent events.",
            "servers": [{"$ref": "#/servers/http"}], "messages": told,
        },
    }  # fmt: skip


def _topic(name: str, description: str, messages: Spec) -> Spec:
    return {
        "address": name, "description": description, "servers": [{"$ref": "#/servers/kafka"}], "messages": messages,
        "bindings": {"kafka": {"topic": name, "bindingVersion": KAFKA_BINDING}},
    }  # fmt: skip


def _handled(app: App) -> dict[str, Spec]:
    """What the application receives: each event by its one handler or gateway."""
    gateways, flow = {it.data.event_type for it in app.gateways}, app.flow()
    return {
        f"handle-{name}": {
            **_operation("receive", "inbox", [name]),
            "summary": f"{'Calls the outside world' if name in gateways else 'Handles'}: {name}.",
            "x-leads-to": [*flow.get(name, ())],
        }
        for name in app.event_types()
    }  # fmt: skip


def _emitted(app: App) -> dict[str, Spec]:
    """What it sends itself: what handlers emit, and what gateways answer."""
    causes: dict[str, list[str]] = {}
    for name, effects in app.flow().items():
        for effect in effects:
            causes.setdefault(effect, []).append(name)
    return {
        f"emit-{name}": {**_operation("send", "inbox", [name]), "summary": f"Follows from {', '.join(causes[name])}."}
        for name in sorted(causes)
    }


def _told(app: App) -> dict[str, Spec]:
    """Where everyone may watch what was handled."""
    return {
        f"{kind}-{space.name}": {**_operation("send", kind, _types_of(app, space.name)), "summary": "Tells what was handled."}
        for space in app.namespaces
        for kind in ("log", "live")
        if _types_of(app, space.name)
    }


def _operation(action: str, kind: str, names: Iterable[str]) -> dict[str, Any]:
    listed = [*names]
    channel = f"#/channels/{namespace_of(listed[0])}-{kind}"
    return {
        "action": action, "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{name}"} for name in listed],
    }  # fmt: skip


def _types_of(app: App, namespace: str) -> list[str]:
    return [name for name in app.event_types() if namespace_of(name) == namespace]
