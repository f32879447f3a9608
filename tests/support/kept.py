"""Records of a topic as a restore reads them, without a broker."""

from __future__ import annotations

from streams.engine.changes import Changes, SetAsideRecord
from streams.engine.engine import Engine
from streams.engine.image import Image
from streams.engine.records import Headers, QueuePosition
from streams.engine.stored import parked_record
from streams.worker.image_reader import ImageReader


class Kept:
    """What a consumer's message has to say."""

    def __init__(self, key: bytes, value: bytes, headers: Headers) -> None:
        self._key, self._value, self._headers = key, value, headers

    def key(self) -> bytes:
        return self._key

    def value(self) -> bytes:
        return self._value

    def headers(self) -> Headers:
        return self._headers


class ParkedTopic:
    """What each transaction writes into the parked topic, and what a restore makes of that."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._kept = engine, dict[QueuePosition, SetAsideRecord]()

    def write(self, image: Image, changes: Changes) -> None:
        """As a worker does: first what is set aside, then what leaves."""
        image.apply(changes)
        self._kept.update((aside.position, aside) for aside in changes.set_aside)
        for position in changes.unparked:
            self._kept.pop(position, None)

    def restored(self) -> Image:
        reading = ImageReader(self._engine, 0)
        for aside in self._kept.values():
            reading.parked(Kept(*parked_record(aside)))  # type: ignore[arg-type]  # reads alike
        return reading.image()
