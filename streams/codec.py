"""The Avro codec: encodes and decodes an application's classes in the Confluent wire format (0, 4-byte schema id, Avro body).

It knows every schema of each class; the newest one is the reader's. More are added at run time by `add_schema`, so that
records of a newer deployment only need their schema.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterable, Mapping
from functools import lru_cache
from operator import attrgetter
from typing import Any, TypeVar

from streams.app import App
from streams.data import EventData, Record
from streams.engine.records import PLAIN_KEY, EventDecoding
from streams.engine.step import step_of
from streams.errors import InvalidEvent, InvalidSchema, SchemaNotFound, UndecodableRecord, UnsupportedSchema
from streams.schemas.avro import KEYS, AvroType, RecordType, is_key, parse
from streams.schemas.binary import Read, reader_of, writer_of
from streams.schemas.compatibility import rekeyed, unreadable
from streams.schemas.generated_code import Generated, Settle, reader_code, writer_code
from streams.schemas.schema_ids import canonical, fingerprint, id_of
from streams.schemas.values import Refuse, finer_check, finite_check, quick_check, record_check, shown

R = TypeVar("R", bound=Record)
PREFIX = 5
"""Bytes before the Avro body."""


def prefix_of(schema_id: int) -> bytes:
    return b"\x00" + schema_id.to_bytes(4, "big")


class AvroCodec:
    """The Codec of streams/engine/records.py.

    `decode` is the hottest path: one look-up by the first five bytes, then one function compiled for that schema.
    """

    def __init__(self, event_types: Iterable[type[EventData]], row_types: Iterable[type[Record]]) -> None:
        self._classes: dict[str, type[Record]] = {}
        self._readers: dict[str, RecordType] = {}
        self._texts: dict[bytes, str] = {}
        self._names: dict[bytes, str] = {}
        self._fingerprints: dict[bytes, str] = {}
        self._waiting: dict[bytes, str] = {}  # why records of a known schema cannot be decoded here
        self._decoders: dict[bytes, Callable[[bytes], EventData]] = {}
        self._row_decoders: dict[bytes, tuple[type[Record], Callable[[bytes], Record]]] = {}
        self._event_reads: dict[bytes, tuple[type[EventData], Generated[Read]]] = {}
        self._settlers: dict[type[Record], Generated[Settle]] = {}
        self._settles: dict[type[Record], Settle] = {}  # the functions of those that were asked for
        self._newest: dict[type[Record], int] = {}
        self._finer: dict[type[Record], Refuse | None] = {}
        self._finite: dict[type[Record], Refuse | None] = {}
        for cls in (*event_types, *row_types):
            reader = self._add_class(cls)
            self._classes[reader.name], self._readers[reader.name] = cls, reader
            for text in cls.schemas:
                self.add_schema(text)

    def copy(self) -> AvroCodec:
        """An independent copy that shares the compiled schemas."""
        made = AvroCodec((), ())
        vars(made).update({name: kept.copy() for name, kept in vars(self).items()})
        return made

    def decode(self, value: bytes) -> EventData:
        try:
            decoder = self._decoders[value[:PREFIX]]
        except KeyError:
            if (step := step_of(value)) is not None:  # in a log alone: the inbox's are known before
                return step
            raise self._unknown(value, self._row_decoders) from None
        return decoder(value)

    def encode(self, data: EventData) -> bytes:
        """The value of an event that somebody publishes. Raises InvalidEvent, also for a time finer than its field."""
        frozen, value = self.encode_frozen_event(data)
        if (refuse_finer := self._finer[type(frozen)]) is not None:
            refuse_finer(data)
        return value

    def encode_frozen_event(self, data: EventData) -> tuple[EventData, bytes]:
        frozen, value = self.encode_frozen(data)
        key = frozen.key
        if not (0 < len(key) < PLAIN_KEY and key[0] > "\x01"):
            check_key(key, f"{data.event_type}.{data.key_field}")
        return frozen, value

    def encode_row(self, row: Record) -> bytes:
        return self.encode_frozen(row)[1]

    def encode_frozen(self, row: R) -> tuple[R, bytes]:
        return (self._settles.get(type(row)) or self.settler(type(row)))(row)

    def event_reader(self, prefix: bytes) -> EventDecoding | None:
        if prefix not in self._decoders:
            return None
        cls, read = self._event_reads[prefix]
        return EventDecoding(cls, self._fingerprints[prefix], _finite_read(read.function, self._finite[cls]))

    def check_arrived(self, data: EventData) -> None:
        if (refuse_infinite := self._finite.get(type(data))) is not None:
            refuse_infinite(data)

    def settler(self, cls: type[R]) -> Callable[[R], tuple[R, bytes]]:
        if cls not in self._settlers:
            self._meet(cls)
        found = self._settles[cls] = self._settlers[cls].function
        return found

    def decode_row(self, row_type: type[Record], value: bytes) -> Record:
        return self._row_decoder(row_type, value)(value)

    def check_row(self, row_type: type[Record], value: bytes) -> None:
        self._row_decoder(row_type, value)

    def freeze(self, row: R) -> R:
        """The row, or an event's data, as a reader decodes it. Raises InvalidEvent if it cannot be encoded."""
        return self.encode_frozen(row)[0]

    def fingerprint(self, value: bytes) -> str:
        """The SHA-256 of the schema that wrote `value`, 64 hex digits."""
        try:
            return self._fingerprints[value[:PREFIX]]
        except KeyError:
            raise self._unknown(value) from None

    def newest_id(self, cls: type[Record]) -> int:
        """The id of the newest schema of a class of this application: what its values look like."""
        return self._newest[cls]

    def schema_ids(self) -> dict[int, str]:
        """Every schema known here: its id and the name of its event or row. Other threads may add some meanwhile."""
        return {int.from_bytes(prefix[1:], "big"): self._names[prefix] for prefix in self._texts.copy()}

    def schema_text(self, schema_id: int) -> str:
        """The canonical text, a complete schema. Raises SchemaNotFound."""
        try:
            return self._texts[prefix_of(schema_id)]
        except (KeyError, OverflowError):
            raise SchemaNotFound(f"no schema with the id {schema_id} is known here", schema_id) from None

    def is_unhandled(self, value: bytes) -> bool:
        """Whether `value` is an event of a type that this application has no class for, by a schema that is known."""
        name = self._names.get(value[:PREFIX])
        return name is not None and "." in name and name not in self._classes

    def add_schema(self, text: str) -> int:
        """Add a writer's schema; returns its id. Nothing changes if it is known.

        Raises InvalidSchema for a text that retold does not support, and for an id that another schema has already.
        """
        record = parse(text, written=True)
        plain = canonical(json.loads(text))
        schema_id = id_of(plain)
        prefix = prefix_of(schema_id)
        if (known := self._texts.get(prefix, plain)) != plain:
            raise _one_id(schema_id, f"{self._names[prefix]} ({fingerprint(known)})", f"{record.name} ({fingerprint(plain)})")
        if prefix not in self._texts:
            self._fingerprints[prefix] = fingerprint(plain)
            self._names[prefix] = record.name
            self._learn(prefix, record, plain)
            self._texts[prefix] = plain  # last: who finds it may decode
        return schema_id

    def _learn(self, prefix: bytes, writer: RecordType, text: str) -> None:
        cls, reader = self._classes.get(writer.name), self._readers.get(writer.name)
        schema_id = int.from_bytes(prefix[1:], "big")
        name = f"{writer.name} v{writer.version} (schema {schema_id})"
        if cls is None or reader is None:
            self._waiting[prefix] = (
                f"{writer.name} (schema {schema_id}) has no handler in this application: deploy the version that handles it"
            )
        elif problems := unreadable(reader, writer) or rekeyed(reader, writer):
            self._waiting[prefix] = _other_version(name, reader, problems[0])
        else:
            careful = reader_of(text, writer, reader, cls)
            same = _layout(writer) == _layout(reader)
            read = reader_code(writer, cls, careful) if same else Generated(lambda: careful)
            if issubclass(cls, EventData):
                self._event_reads[prefix] = cls, read
                self._decoders[prefix] = _event_decoder(read, name, f"{writer.name}.{cls.key_field}", cls.key_field)
            else:
                self._row_decoders[prefix] = cls, _decoder(read, name)

    def _add_class(self, cls: type[Record]) -> RecordType:
        """Add a class, which is encoded with its newest schema."""
        if not cls.schemas:
            raise InvalidSchema(f"{cls.__name__} carries no schema: expected a class of `retold schemas generate`")
        reader, text = parse(cls.schemas[-1], written=True), canonical(json.loads(cls.schemas[-1]))
        strict = record_check(reader, cls, reader.name)
        check = quick_check(reader, cls, strict)
        self._finer[cls], self._finite[cls] = finer_check(reader), finite_check(reader)
        self._newest[cls] = id_of(text)
        prefix = prefix_of(id_of(text))
        write = writer_of(text, prefix, reader, strict)
        self._settlers[cls] = writer_code(reader, cls, prefix, lambda row: (frozen := check(row), write(frozen)))
        return reader

    def _meet(self, cls: type[Record]) -> None:
        """Add a class at its first use: an event for another application, which is the only one that decodes it."""
        if not getattr(cls, "schemas", ()):
            raise _no_record(cls)
        self._add_class(cls)
        for text in cls.schemas:
            self.add_schema(text)

    def _row_decoder(self, row_type: type[Record], value: bytes) -> Callable[[bytes], Record]:
        try:
            written, decode = self._row_decoders[value[:PREFIX]]
        except KeyError:
            raise self._unknown(value, self._decoders) from None
        if written is not row_type:
            raise _other_row(written, row_type, self._names[value[:PREFIX]])
        return decode

    def _unknown(self, value: bytes, elsewhere: Container[bytes] = ()) -> Exception:
        """What to raise for a schema without a decoder here; `elsewhere` has those of rows for an event, and of events for a row.

        Another thread may be adding it at this moment: a name alone is no sign that it belongs elsewhere.
        """
        prefix = value[:PREFIX]
        if len(prefix) < PREFIX or prefix[0] != 0 or prefix[1] > 127:
            return _unframed(prefix)
        schema_id = int.from_bytes(prefix[1:], "big")
        if (reason := self._waiting.get(prefix)) is not None:
            return UnsupportedSchema(reason, schema_id)
        if prefix in elsewhere:
            return UndecodableRecord(
                f"the value is a {self._names[prefix]} (schema {schema_id}), which does not belong here"
            )
        return _unknown_schema(schema_id)


def codec_of(app: App) -> AvroCodec:
    """A codec of all events and rows of an application. What is compiled for it is kept for the next one of the same classes."""
    classes = *app.event_types().values(), *(space.row_type for space in app.namespaces)
    return _compiled(tuple((cls, cls.schemas) for cls in classes)).copy()


@lru_cache(64)
def _compiled(classes: tuple[tuple[type[Record], tuple[str, ...]], ...]) -> AvroCodec:
    """Of `classes`, each with its schemas. It takes some 20 ms, and who makes Worlds, as tests do, asks for many."""
    return AvroCodec((), [cls for cls, _ in classes])


def _layout(record: RecordType) -> Mapping[str, AvroType]:
    """What its records hold, but not in which order."""
    return {field.name: field.type for field in record.fields}


def _no_record(cls: type) -> InvalidEvent:
    return InvalidEvent(f"a {cls.__name__} is neither an event nor a row: expected a class of `retold schemas generate`")


def _one_id(schema_id: int, first: str, second: str) -> InvalidSchema:
    return InvalidSchema(
        f"the schemas {first} and {second} have one id, {schema_id}: change something in one of them, for instance an alias"
    )


def _other_version(name: str, reader: RecordType, problem: str) -> str:
    return (
        f"{name} cannot be read as v{reader.version}, which runs here: {problem}. Deploy the version that it belongs to; or, if it "
        "was a draft that has changed and its data are for trying only, `retold reset` deletes this project's topics"
    )


def _unreadable(name: str, value: bytes, error: Exception) -> UndecodableRecord:
    reason = f"{type(error).__name__}: {str(error)[:200]}"
    return UndecodableRecord(
        f"{len(value)} bytes do not read as {name} ({reason}); expected the Avro body that this schema writes, and "
        f"nothing after it. The first bytes are {value[PREFIX : PREFIX + 16].hex(' ')}"
    )


def _unframed(prefix: bytes) -> UndecodableRecord:
    return UndecodableRecord(
        f"the value begins with {prefix.hex(' ') or 'nothing'}; expected 00 and the 4 bytes of a schema id, then Avro"
    )


def _unknown_schema(schema_id: int) -> SchemaNotFound:
    return SchemaNotFound(
        f"nobody here knows the schema id {schema_id}: deploy the version that has it, or publish the schema", schema_id
    )


def _other_row(written: type[Record], expected: type[Record], name: str) -> UndecodableRecord:
    return UndecodableRecord(
        f"the record is a {written.__name__} by its schema {name}; expected a {expected.__name__}: is this the table of "
        "another namespace?"
    )


def _decoder(generated: Generated[Read], name: str) -> Callable[[bytes], Any]:
    read: Read | None = None

    def decode(value: bytes) -> Any:
        nonlocal read
        try:
            if read is None:
                read = generated.function
            return read(value, PREFIX)
        except Exception as error:  # whatever it is, the record is undecodable: quarantined, never lost
            raise _unreadable(name, value, error) from error

    return decode


def _finite_read(read: Read, refuse_infinite: Refuse | None) -> Read:
    if refuse_infinite is None:
        return read

    def read_finite(value: bytes, start: int) -> Any:
        data = read(value, start)
        refuse_infinite(data)
        return data

    return read_finite


def _event_decoder(generated: Generated[Read], name: str, where: str, key_field: str) -> Callable[[bytes], EventData]:
    get_key: Callable[[EventData], str] = attrgetter(key_field)
    read: Read | None = None

    def decode_event(value: bytes) -> EventData:
        nonlocal read
        try:
            if read is None:
                read = generated.function
            data: EventData = read(value, PREFIX)
        except Exception as error:  # as in `_decoder`
            raise _unreadable(name, value, error) from error
        key = get_key(data)
        if not (0 < len(key) < PLAIN_KEY and key[0] > "\x01"):
            check_key(key, where)
        return data

    return decode_event


def check_key(key: str, where: str) -> None:
    """Raises InvalidEvent unless `key` is 1 to 512 bytes of UTF-8 that begin with neither 0x00 nor 0x01."""
    if not is_key(key):
        raise InvalidEvent(f"the key {where} is {shown(key)}; expected {KEYS}")
