"""Bytes in memory: the event's name, a zero, then its data as MessagePack. It needs no schema, only the classes.

It refuses, canonicalises and freezes as the Avro codec does, so that a World behaves like a worker.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from types import MappingProxyType
from typing import Any, TypeVar

import msgspec

from streams.app import App
from streams.data import EventData, Record
from streams.errors import InvalidEvent, SchemaNotFound, UndecodableRecord
from streams.namespace import EVENT_TYPE

R = TypeVar("R", bound=Record)
KEY_BYTES = 512
SCALARS = (str, int, float, bytes)


class MemoryCodec:
    """The Codec of streams/engine/records.py. It learns a class from the application, or when it writes an event."""

    def __init__(self, app: App) -> None:
        self._decoders: dict[str, msgspec.msgpack.Decoder[Any]] = {}
        for data in known_events(app):
            self.learn(data)

    def learn(self, data: type[EventData]) -> None:
        self._decoders.setdefault(data.event_type, msgspec.msgpack.Decoder(data))

    def decode(self, value: bytes) -> EventData:
        name, zero, body = value.partition(b"\0")
        if not zero or not EVENT_TYPE.fullmatch(name.decode(errors="replace")):
            raise UndecodableRecord(f"the value begins with {value[:16]!r}; expected the name of an event and a zero")
        decoder = self._decoders.get(name.decode())
        if decoder is None:
            raise SchemaNotFound(f"nobody here knows the event {name.decode()}: add its handler to the application")
        try:
            data: EventData = decoder.decode(body)
        except msgspec.MsgspecError as error:
            raise UndecodableRecord(f"{len(body)} bytes do not read as {name.decode()}: {error}") from error
        check_key(data)
        return frozen(data)

    def encode(self, data: EventData) -> bytes:
        return self.settle_event(data)[1]

    def settle_event(self, data: EventData) -> tuple[EventData, bytes]:
        self.learn(type(data))
        body = canonical_bytes(data)
        check_key(data)
        return checked(data), data.event_type.encode() + b"\0" + body

    def fingerprint(self, value: bytes) -> str:
        return sha256(value.partition(b"\0")[0]).hexdigest()

    def encode_row(self, row: Record) -> bytes:
        return canonical_bytes(row)

    def settle(self, row: R) -> tuple[R, bytes]:
        return checked(row), canonical_bytes(row)

    def decode_row(self, row_type: type[Record], value: bytes) -> Record:
        try:
            return frozen(msgspec.msgpack.decode(value, type=row_type))
        except msgspec.MsgspecError as error:
            raise UndecodableRecord(f"{len(value)} bytes do not read as {row_type.__name__}: {error}") from error

    def freeze(self, row: Record) -> Record:
        return checked(row)


def known_events(app: App) -> set[type[EventData]]:
    """Every event class that the application names."""
    found = set(app.event_types().values())
    found |= {data for namespace in app.namespaces for emits in namespace.emits.values() for data in emits}
    found |= {data for gateway in app.gateways for data in gateway.answers}
    return found | {data for projection in app.projections for data in projection.folds_by}


def check_key(data: EventData) -> None:
    """Raises InvalidEvent unless the key is 1 to 512 bytes of UTF-8 that begin with neither 0x00 nor 0x01."""
    key = data.key
    if not 0 < len(key.encode()) <= KEY_BYTES or key[0] <= "\x01":
        raise InvalidEvent(
            f"the key {data.event_type}.{type(data).key_field} is {key[:80]!r}; expected 1 to {KEY_BYTES} bytes of "
            "UTF-8, the first one neither 0x00 nor 0x01"
        )


def canonical_bytes(record: Record) -> bytes:
    """The same bytes for equal records (rule 21). Raises InvalidEvent naming the field."""
    return msgspec.msgpack.encode(plain(checked(record), name_of(record)))


def checked(record: R) -> R:
    """A copy, checked field by field (constructors check nothing), canonical, and frozen all the way down."""
    name = name_of(record)
    try:
        return frozen(msgspec.convert(plain(record, name), type(record)))
    except msgspec.ValidationError as error:
        raise InvalidEvent(f"{name} is not as its class says: {error}") from error


def name_of(record: Record) -> str:
    return str(getattr(record, "event_type", type(record).__name__))


def plain(value: Any, where: str) -> Any:
    """Dicts, lists and scalars; keys sorted, times in UTC, -0.0 as 0.0."""
    match value:
        case msgspec.Struct():
            return {name: plain(getattr(value, name), f"{where}.{name}") for name in value.__struct_fields__}
        case Mapping():
            if not all(isinstance(name, str) for name in value):
                raise InvalidEvent(f"{where} has a key that is no text: {list(value)[:3]!r}")
            return {name: plain(value[name], f"{where}[{name!r}]") for name in sorted(value, key=utf8)}
        case list() | tuple():
            return [plain(item, f"{where}[{number}]") for number, item in enumerate(value)]
        case _:
            return scalar(value, where)


def utf8(text: str) -> bytes:
    return text.encode(errors="surrogatepass")


def scalar(value: Any, where: str) -> Any:
    for kind in SCALARS:
        if isinstance(value, kind) and type(value) not in (kind, bool):  # such as an enum, as the Avro codec refuses it
            raise InvalidEvent(f"{where} is {value!r:.80} ({type(value).__name__}); expected {kind.__name__} itself")
    match value:
        case datetime():
            if value.tzinfo is None:
                raise InvalidEvent(f"{where} is {value}, which has no time zone")
            return value.astimezone(UTC)
        case float():
            if math.isnan(value):
                raise InvalidEvent(f"{where} is not a number (NaN); expected one")
            return value + 0.0
        case int() if not -(2**63) <= value < 2**63:
            raise InvalidEvent(f"{where} is {value}; expected a whole number of 64 bits")
        case str():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise InvalidEvent(f"{where} is {value[:80]!r}, which is no UTF-8") from None
    return value


def frozen(record: R) -> R:
    """With tuples for lists and read-only mappings for dicts; the very same record if it has none."""
    made: R = _frozen(record)
    return made


def _frozen(value: Any) -> Any:
    match value:
        case msgspec.Struct():
            fields = {name: getattr(value, name) for name in value.__struct_fields__}
            changed = {name: new for name, old in fields.items() if (new := _frozen(old)) is not old}
            return msgspec.structs.replace(value, **changed) if changed else value
        case list() | tuple():
            return tuple(_frozen(item) for item in value)
        case Mapping():
            return MappingProxyType({name: _frozen(value[name]) for name in sorted(value, key=utf8)})
    return value
