"""Converts between Avro bytes and frozen records: fastavro decodes and encodes, msgspec builds, streams/schemas/values.py checks.

Two functions are made once per schema. They take anything; what is common, streams/schemas/generated_code.py does faster. Invalid
bytes raise some exception, from which the codec makes a sentence. Every item of an array or map takes at least one byte
(streams/schemas/avro.py ensures it), so a false count ends with the bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from io import BytesIO
from typing import Any, Final

import msgspec
from fastavro import parse_schema, schemaless_reader, schemaless_writer

from streams.data import Record
from streams.schemas.avro import RecordType
from streams.schemas.compatibility import adapter_of
from streams.schemas.values import Check, finite_check, record_check

SOUND: Final = frozenset({"string", "bytes", "boolean", "long", "enum", "timestamp-millis", "timestamp-micros"})
"""Kinds that fastavro decodes in their one valid form. It allows an `int` of 64 bits, and NaN and -0.0 as numbers."""


NESTED: Final = frozenset({"array", "map", "record"})

Read = Callable[[bytes, int], Any]
"""Decodes the record whose Avro bytes begin at a position and go to the end."""


def reader_of(text: str, writer: RecordType, reader: RecordType, cls: type[Record]) -> Read:
    """A decoder for the writer's schema `text`, whose tree is `writer`; `reader` is the newest one, that of `cls`.

    A field that only `reader` has gets the default of the class.
    """
    schema, adapt = parse_schema(json.loads(text)), adapter_of(writer, reader)
    check = record_check(reader, cls, reader.name)
    sound = all(field.type.kind in SOUND for field in reader.fields)

    def read(value: bytes, start: int) -> Any:
        body = BytesIO(value)
        body.seek(start)
        data = schemaless_reader(body, schema, None)
        if (end := body.tell()) != len(value):
            raise ValueError(f"{len(value) - end} bytes are left over")
        record = msgspec.convert(data if adapt is None else adapt(data), cls)
        return record if sound else check(record)

    return read


def writer_of(text: str, prefix: bytes, record: RecordType, strict: Check) -> Callable[[Any], bytes]:
    """An encoder: `prefix` and the Avro bytes, by the schema `text`, of a record in its one form (`quick_check`).

    The encoder raises InvalidEvent as `strict` does for what cannot be encoded.
    """
    schema = parse_schema(json.loads(text))
    nested = any(field.type.kind in NESTED for field in record.fields)
    refuse_infinite = finite_check(record)

    def write(value: Any) -> bytes:
        body = BytesIO()
        body.write(prefix)
        try:
            data = (
                msgspec.to_builtins(value, builtin_types=(bytes, datetime), enc_hook=dict)
                if nested
                else msgspec.structs.asdict(value)
            )
            schemaless_writer(body, schema, data, disable_tuple_notation=True)
        except Exception:
            strict(value)
            raise
        if refuse_infinite is not None:
            refuse_infinite(value)
        return body.getvalue()

    return write
