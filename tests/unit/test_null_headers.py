"""A header whose value is null, as any publisher may write one: it is carried like others, and ends nothing."""

from __future__ import annotations

from typing import Any

import pytest

from streams.codec import codec_of
from streams.engine.changes import Changes
from streams.engine.engine import Engine
from streams.engine.image import Image
from streams.engine.records import Headers
from streams.engine.stored import due_record, log_records, parked_record
from streams.history.stored.kept_headers import packed, picker, unpacked
from streams.testing.world_io import headers_of
from streams.worker.parked_bodies import RecentlyParked
from tests.applications import probe, shop
from tests.applications.probe.events import ProbeDo
from tests.applications.shop.events import PaymentCharge

NULL: Any = ("tenant", None)


def handled(engine: Engine, data: Any) -> tuple[Image, Changes]:
    """Twice: a publisher's first record is read carefully."""
    image = engine.image()
    for number in range(2):
        headers = [*headers_of(data, f"id-{number}", "test", b"2026-01-01T00:00:00Z"), NULL]
        changes = engine.handle(image, [(number, data.key.encode(), engine.codec.encode(data), headers, 0)], 1)
        image.apply(changes)
    return image, changes


@pytest.mark.parametrize("how", ["count", "refuse", "raise"])
def test_an_event_with_one_is_logged_or_parked(how: str) -> None:
    """A worker that parked one ended: it counts the bytes of what waits."""
    image, changes = handled(Engine(app := probe.app(), "probe", codec_of(app)), ProbeDo(name="a", how=how))
    recent = RecentlyParked(0)
    recent.committed(image, changes)
    kept = [*log_records(changes.results), *map(parked_record, changes.set_aside)]
    assert [NULL in headers for _, _, headers in kept] == [True]
    assert (recent.size > 0) == (how == "raise")


def test_a_request_with_one_is_called() -> None:
    """What waits for its gateway is counted, too."""
    _, changes = handled(Engine(app := shop.app(), "payment", codec_of(app)), PaymentCharge(order="o", amount=1))
    [call] = changes.calls.values()
    assert call.memory > 0
    assert NULL in due_record("payment", call)[2]


def test_a_servers_file_has_it_as_kafka_has_it() -> None:
    """Whoever read such a record of the file, as a story does, failed."""
    headers: Headers = [("ce_id", b"1"), NULL, ("ce_source", b"test")]
    kept = bytes(packed(headers))
    assert unpacked(kept) == headers
    assert picker("tenant", "ce_source", "ce_id", "ce_type")(kept) == (None, b"test", b"1", None)
