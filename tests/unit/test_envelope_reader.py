"""The quick way to read headers gives what the careful one gives."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streams.engine.envelope import Envelope, is_ours, without_packed
from streams.engine.envelope_reader import KEPT, EnvelopeReader
from streams.engine.records import Headers
from streams.engine.times import iso_text, iso_text_of, to_micros
from streams.errors import InvalidEvent

ID = b"7d1c0000-0000-4000-8000-000000000001"
TIMES = st.sampled_from([
    b"2026-01-31T12:00:00+00:00", b"2026-01-31T12:00:00.000007Z", b"2026-01-31T13:00:00+01:00", b"2026-01-31T12:00:00",
    b"0001-01-01T00:00:00+01:00", b"9999-12-31T23:59:59Z", b"noon", b"", b"2026-01-31T12:00:00." + b"0" * 60 + b"Z", b"\xff",
])  # fmt: skip
NUMBERS = st.sampled_from([b"0", b"3", b"", b"-1", b"1" * 19, b"x"])
TEXTS = st.sampled_from([b"", b"a", ID, "ä".encode(), b"\xff", b"x" * 1024, b"x" * 1025, b"retold/shop/order"])
VALUES = {
    "ce_specversion": st.just(b"1.0"), "content-type": st.just(b"application/vnd.confluent.avro"), "ce_id": TEXTS,
    "ce_source": TEXTS, "ce_type": TEXTS, "ce_time": TIMES, "ce_causationid": TEXTS, "ce_causetime": TIMES,
    "ce_correlationid": TEXTS, "ce_hops": NUMBERS, "ce_ordinal": NUMBERS, "ce_causationsource": TEXTS, "ce_revision": TEXTS,
    "ce_expectedversion": NUMBERS, "traceparent": TEXTS, "ce_subject": TEXTS, "ce_sequence": NUMBERS, "retold": TEXTS,
    "tenant": TEXTS, "n" * 1025: TEXTS, "ce_outcome": TEXTS,
}  # fmt: skip
PLAIN = ["ce_specversion", "ce_source", "ce_type", "ce_id", "ce_time"]
DERIVED = [*PLAIN, "content-type", "ce_causationid", "ce_causetime", "ce_correlationid", "ce_hops"]


@st.composite
def lists(draw: st.DrawFn) -> list[Headers]:
    """Lists of the same names, as one publisher writes them, mostly with values that are fine."""
    more = draw(st.lists(st.sampled_from(sorted(VALUES)), max_size=3))
    bases = [PLAIN, DERIVED, [*PLAIN, "ce_subject", "tenant"], ["ce_id", "ce_time"]]
    names = draw(st.permutations([*draw(st.sampled_from(bases)), *more]))
    if draw(st.booleans()):
        names.append("retold")  # as in a log
    fine = {"ce_id": ID, "ce_time": b"2026-01-31T12:00:00Z", "ce_causetime": b"2026-01-31T11:00:00Z", "ce_hops": b"1"}
    odd = draw(st.sets(st.sampled_from(names), max_size=2))
    return [
        [(name, draw(VALUES[name]) if name in odd else fine.get(name, b"same")) for name in names]
        for _ in range(draw(st.integers(1, 4)))
    ]  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from([*VALUES, "retold_due", "ce_retold", "Retold"]), st.binary(max_size=2))))
def test_what_only_retold_writes_is_left_out_by_each_name(headers: Headers) -> None:
    """All other headers stay, in their order, however often a name is there."""
    assert without_packed(headers) == [pair for pair in headers if not is_ours(pair[0])]


def read(reader: EnvelopeReader, headers: Headers, *, carefully: bool) -> Envelope | str:
    try:
        return reader.read_carefully(headers) if carefully else reader.read(headers)
    except InvalidEvent as error:
        return str(error)


@settings(max_examples=150)
@given(lists())
@example([[(name, b"2026-01-31T12:00:00Z" if "time" in name else b"1") for name in DERIVED]] * 2)
def test_the_quick_way_gives_the_same(lists: list[Headers]) -> None:
    """Whatever was read before, headers give the same envelope, or the same error, as in the careful way."""
    reader = EnvelopeReader()
    for headers in [*lists, *lists]:
        assert read(reader, headers, carefully=False) == read(EnvelopeReader(), headers, carefully=True)


@pytest.mark.parametrize("names", [PLAIN, DERIVED, [*PLAIN, "ce_subject", "traceparent", "tenant"], [*DERIVED, "retold"]])
def test_a_publishers_second_record_is_read_in_the_quick_way(names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The careful way is taken for the first record of a publisher, and not for the next ones."""
    reader = EnvelopeReader()
    headers = [(name, b"2026-01-31T12:00:00Z" if "time" in name else b"1") for name in names]
    first = reader.read(headers)
    monkeypatch.delattr(EnvelopeReader, "read_carefully")
    assert reader.read(list(headers)) == first
    assert first.time == datetime(2026, 1, 31, 12, tzinfo=UTC)


def test_shared_values_of_any_size_are_not_kept() -> None:
    """Whoever writes a large content type, another one each time, fills no memory of a worker."""
    reader = EnvelopeReader()
    for number in range(3):
        large = b"%06d" % number * 1000
        reader.read([("content-type", large), *((name, b"2026-01-31T12:00:00Z" if "time" in name else b"1") for name in PLAIN)])
    [plan] = reader.quick_plans.values()
    assert plan is not None
    assert not plan._known  # type: ignore[attr-defined]


def test_a_record_with_as_many_headers_as_kafka_takes_holds_up_nobody() -> None:
    """It took 4 s of CPU with 20,000 headers, and four times as much with twice as many; nor is the list of their names kept."""
    reader, began = EnvelopeReader(), time.process_time()
    with pytest.raises(InvalidEvent, match="at most 32768 are carried"):
        reader.read([(f"x{number}", b"y") for number in range(50_000)])
    assert time.process_time() - began < 4
    assert not reader.quick_plans
    assert not reader._plans


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5))])))
def test_a_time_is_written_as_isoformat_writes_it(time: datetime) -> None:
    """Of every year, with and without a fraction, in UTC and elsewhere."""
    assert iso_text(time) == time.isoformat()
    assert iso_text_of(to_micros(time)) == time.astimezone(UTC).isoformat()


def digest(reader: EnvelopeReader, headers: Headers, *, carefully: bool) -> bytes | str | None:
    try:
        return reader.read_carefully(headers).digest if carefully else reader.digest(headers)
    except InvalidEvent as error:
        return str(error)


@settings(max_examples=150)
@given(lists(), st.lists(st.sampled_from([b"orders", b"retold/shop/order", b"", "ä".encode(), b"s" * 90]), min_size=4, max_size=4))
@example([[("ce_source", b"orders"), ("ce_id", it)] for it in (ID, b"\xff", b"x" * 1025, "ä".encode(), b"")], [b"orders"] * 5)
def test_a_digest_is_that_of_the_envelope(lists: list[Headers], sources: list[bytes]) -> None:
    """Whatever was read before; an error about another header is none of a digest."""
    reader = EnvelopeReader()
    for headers, source in [*zip(lists, sources, strict=False)] * 2:
        from_it = [(name, source if name == "ce_source" else value) for name, value in headers]
        for each in (headers, from_it):
            right, found = digest(EnvelopeReader(), each, carefully=True), digest(reader, each, carefully=False)
            if not isinstance(right, str) or right.startswith("the header ce_id is"):
                assert found == right


def test_the_sources_of_digests_that_are_kept_are_few() -> None:
    """A publisher with another source each time fills no memory."""
    reader = EnvelopeReader()
    for number in range(KEPT + 5):
        reader.digest([("ce_id", ID), ("ce_source", b"%d" % number)])
    assert len(reader._sources) <= KEPT
