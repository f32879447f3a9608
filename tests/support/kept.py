"""Records of a topic as a restore reads them, without a broker."""

from __future__ import annotations

from streams.engine.changes import Changes, ParkedReference, SetAsideRecord
from streams.engine.engine import Engine
from streams.engine.image import Image
from streams.engine.records import Headers, QueuePosition
from streams.engine.stored import parked_record, set_aside_of
from streams.worker.image_reader import ImageReader


class Kept:
    """What a consumer's message has to say."""

    def __init__(self, key: bytes, value: bytes, headers: Headers, offset: int = 0) -> None:
        self._key, self._value, self._headers, self._offset = key, value, headers, offset

    def key(self) -> bytes:
        return self._key

    def value(self) -> bytes:
        return self._value

    def headers(self) -> Headers:
        return self._headers

    def offset(self) -> int:
        return self._offset


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

    def without_bodies(self) -> Image:
        """As a worker restores it."""
        reading = ImageReader(self._engine, 0)
        for offset, aside in enumerate(self._kept.values()):
            reading.parked(Kept(*parked_record(aside), offset))  # type: ignore[arg-type]  # reads alike
        return reading.image()

    def restored(self) -> Image:
        """With all bodies, as if commands had needed them."""
        image = self.without_bodies()
        for place in [it for queue in image.parked.values() for it in queue if isinstance(it, ParkedReference)]:
            image.exchange(place, _read_again(self._kept[place.position]))
        return image


def _read_again(aside: SetAsideRecord) -> SetAsideRecord:
    """As the topic gives it."""
    _, value, headers = parked_record(aside)
    return set_aside_of(aside.position, value, headers)
