"""Events that an application has no class for, or another one: read by the schema that wrote them, to be told and not decided."""

from __future__ import annotations

from contextlib import suppress
from io import BytesIO
from typing import Any

import msgspec
from fastavro import parse_schema, schemaless_reader

from streams.app import App
from streams.codec import PREFIX, AvroCodec
from streams.data import EventData
from streams.errors import SchemaNotFound, UnsupportedSchema
from streams.history.unread_event import UnreadData
from streams.schemas.avro import parse


class UnhandledTypes:
    """A codec that also reads events without a handler, whose schemas `codec` has learned; and those of a draft that has changed.

    Those that the application emits are of its own classes, so that they compare with what its handlers say.
    """

    def __init__(self, app: App, codec: AvroCodec) -> None:
        self._codec = codec
        handled = app.event_types()
        emitted = {data for space in app.namespaces for emits in space.emits.values() for data in emits}
        self._emitted = AvroCodec([data for data in emitted if data.event_type not in handled], ())
        self._classes: dict[bytes, tuple[type[EventData], Any]] = {}
        self.add_schema, self.encode, self.encode_frozen = codec.add_schema, codec.encode, codec.encode_frozen
        self.encode_frozen_event, self.encode_row = codec.encode_frozen_event, codec.encode_row
        self.decode_row, self.check_row = codec.decode_row, codec.check_row
        self.freeze, self.fingerprint = codec.freeze, codec.fingerprint
        self.event_reader, self.settler, self.check_arrived = codec.event_reader, codec.settler, codec.check_arrived

    def decode(self, value: bytes) -> EventData:
        """Raises as AvroCodec does, but for what is written by a schema that is known."""
        try:
            return self._codec.decode(value)
        except SchemaNotFound:
            raise
        except UnsupportedSchema as error:
            why = "" if self._codec.is_unhandled(value) else str(error)
        prefix = value[:PREFIX]
        if prefix not in self._classes:
            text = self._codec.schema_text(int.from_bytes(prefix[1:], "big"))
            self._emitted.add_schema(text)
            self._classes[prefix] = _class_of(text, why)
        if not self._emitted.is_unhandled(value):
            with suppress(UnsupportedSchema):
                return self._emitted.decode(value)
        cls, schema = self._classes[prefix]
        body = BytesIO(value)
        body.seek(PREFIX)
        data: EventData = msgspec.convert(schemaless_reader(body, schema, None), cls)
        return data


def _class_of(text: str, why: str) -> tuple[type[EventData], Any]:
    record = parse(text, written=True)
    members = {"event_type": record.name, "key_field": record.key, "schemas": (text,), "__module__": __name__, "__unread__": why}
    cls: Any = msgspec.defstruct(
        record.name.replace(".", "_"), [(field.name, Any) for field in record.fields], bases=(UnreadData,), namespace=members,
        frozen=True, kw_only=True,
    )  # fmt: skip
    return cls, parse_schema(msgspec.json.decode(text))
