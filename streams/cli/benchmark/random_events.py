"""Valid random events of one type, the same ones for the same seed."""

from __future__ import annotations

import base64
import random
import string
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from msgspec.structs import replace

from streams.codec import AvroCodec
from streams.data import EventData
from streams.eventfiles.convert import Converter
from streams.schemas.avro import AvroType, RecordType, parse

POOL: Final = 2_000
"""Events that are made beforehand, and published again and again with other keys: publishing shall cost little."""
FIRST: Final = datetime(2026, 1, 1, tzinfo=UTC)
HIGHEST: Final = 1_000_000


class RandomEvents:
    """`given` are fields that have the same value in each event, as texts. `keys`: how many keys there are.

    With 0 each event has a key of its own. Raises InvalidEvent if a given field does not fit.
    """

    def __init__(self, data: type[EventData], codec: AvroCodec, given: Mapping[str, str], keys: int, seed: int) -> None:
        self._data, self._codec, self._given, self._keys = data, codec, given, keys
        self._record = parse(data.schemas[-1], written=True)
        self._convert = Converter(data, texts=True, noun="field")
        self._random = random.Random(seed)  # noqa: S311 - repeatable, and nothing secret
        self._made = 0
        self._pool = [self._event() for _ in range(POOL)]

    def next(self) -> tuple[str, bytes]:
        """The key and the encoded event."""
        number = self._made
        self._made += 1
        event = self._pool[number % POOL]
        if self._data.key_field not in self._given:
            key = f"bench-{self._random.randrange(self._keys) if self._keys else number}"
            event = replace(event, **{self._data.key_field: key})
        return event.key, self._codec.encode(event)

    def _event(self) -> EventData:
        values = self._value_of(self._record) | {self._data.key_field: "bench"}
        return self._convert(values | dict(self._given))

    def _value_of(self, record: RecordType) -> dict[str, Any]:
        return {field.name: self._value(field.type) for field in record.fields}

    def _value(self, kind: AvroType) -> Any:  # noqa: C901 - one line a type
        chance = self._random
        if kind.nullable and chance.random() < 0.2:
            return None
        match kind.kind:
            case "string":
                return "".join(chance.choices(string.ascii_lowercase, k=chance.randint(4, 16)))
            case "int" | "long":
                return chance.randrange(HIGHEST)
            case "float" | "double":
                return chance.randrange(HIGHEST) / 4  # exact in both
            case "boolean":
                return chance.random() < 0.5
            case "bytes":
                return base64.b64encode(chance.randbytes(16)).decode()
            case "timestamp-millis" | "timestamp-micros":
                return FIRST + timedelta(milliseconds=chance.randrange(10**10))
            case "enum":
                return chance.choice(kind.symbols)
            case "array":
                return [self._item(kind) for _ in range(chance.randint(0, 3))]
            case "map":
                return {f"name{number}": self._item(kind) for number in range(chance.randint(0, 3))}
            case _:
                assert kind.record is not None
                return self._value_of(kind.record)

    def _item(self, kind: AvroType) -> Any:
        assert kind.item is not None
        return self._value(kind.item)
