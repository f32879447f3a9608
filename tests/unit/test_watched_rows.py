"""Streams of rows: each client has in the end the rows that it asks for, each told once, however much changes at once."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.server.http import changed_rows, watched_rows
from streams.server.http.changed_rows import continues_from
from streams.server.http.problems import Problem
from streams.server.http.shared_stream import Begin
from streams.server.http.stream_text import StreamEvent
from streams.server.http.watched_rows import tick_of
from streams.server.readmodel import change_log
from streams.server.readmodel.change_log import ChangeEnd
from streams.server.readmodel.row_json import RowDecoder
from streams.server.readmodel.store_moment import StoreMoment
from tests.applications.shop.events import StockRow
from tests.support.watched_stock import WatchedStock

CHANGE = st.tuples(st.sampled_from("abcdef"), st.sampled_from([None, 1, 2, 3, "unreadable"]))
OTHER = st.sampled_from(["now", "snapshot", "back", "take", "look"])


def told_in_small_pieces(patch: pytest.MonkeyPatch, rows: int, large: int = changed_rows.LARGE) -> None:
    """With so many changes in a piece."""
    patch.setattr(changed_rows, "AT_ONCE", rows)
    patch.setattr(changed_rows, "READ_AT_ONCE", 1)
    patch.setattr(changed_rows, "LARGE", large)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.one_of(CHANGE, OTHER), st.booleans()), min_size=10, max_size=40),
    st.sampled_from(["", "free__gte=2"]), st.booleans(), st.integers(1, 9), st.integers(1, 4), st.sampled_from([1, 1_000]),
)  # fmt: skip
def test_each_client_has_the_rows_of_the_query(
    steps: list[tuple[Any, bool]], query: str, restricted: bool, kept: int, rows: int, large: int
) -> None:
    """Whenever it came, and with whatever it came back: in the end it has the rows that a list has, each told once.

    It knows which rows do not read, too. So it is if one row is told at a time, and if others watch the table at another address,
    whose stream is not as far.
    """
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(change_log, "KEPT", kept)
        patch.setattr(change_log, "PIECE", 1)
        patch.setattr(changed_rows, "MOST_KNOWN", kept + 2)
        told_in_small_pieces(patch, rows, large)
        watched = WatchedStock(Path(folder), query, restricted=restricted)
        other = WatchedStock(Path(folder), "free__lte=2", beside=watched)
        try:
            for step, is_other in steps:
                (other if is_other and not isinstance(step, tuple) else watched).do(step)
            for each in (watched, other):
                each.join(Begin("snapshot"), {})
                for client in each.clients:
                    client.take()
                    assert (client.rows, client.unreadable) == (each.listed(), each.lacking())
        finally:
            watched.kafka.store.close()


@pytest.mark.parametrize("begin", ["snapshot", "place"])
def test_what_was_there_first_has_the_place_of_its_moment(tmp_path: Path, begin: Any) -> None:
    """Also if the stream has gone on before it is read: who broke off behind it and came back would miss what came between."""
    watched = WatchedStock(tmp_path, "")
    try:
        before = watched.join(Begin("now"), {})
        before.take()
        watched.put("a", 1)
        client = watched.join(Begin(begin, before.place), {})
        watched.put("b", 2)
        watched.look()
        client.take_first()
        again = watched.join(Begin("place", client.place), client.rows)
        again.take()
        assert again.rows == watched.listed()
    finally:
        watched.kafka.store.close()


def test_who_comes_back_is_told_some_rows_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much has changed meanwhile: it may be a hundred thousand rows, for each of many clients."""
    monkeypatch.setattr(watched_rows, "AT_ONCE", 2)
    watched, held = WatchedStock(tmp_path, ""), ExitStack()
    try:
        begun = watched.join(Begin("now"), {})
        begun.take()
        for key in "abcde":
            watched.put(key, 1)
        _, first = watched.source.join(Begin("place", begun.place), held)
        assert [[event.name for event in piece] for piece in first.pieces] == [["put"] * 2, ["put"] * 2, ["put"], [""]]
    finally:
        held.close()
        watched.kafka.store.close()


def test_a_large_commit_is_told_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that not all of it is in memory: as many rows at a time as are large together, until nothing is left."""
    monkeypatch.setattr(changed_rows, "LARGE", 50)
    monkeypatch.setattr(changed_rows, "READ_AT_ONCE", 2)
    watched = WatchedStock(tmp_path, "")
    try:
        client = watched.join(Begin("now"), {})
        for number in range(50):
            watched.put(f"k{number:02}", number)
        sizes = list[int]()
        while watched.source.is_behind():
            batch = watched.source.advance()
            sizes.append(sum(len(event.data) for event in batch.events))
            client.gets(iter([batch.events]), ExitStack())
        client.take()
        assert client.rows == watched.listed()
        assert (len(sizes) > 10, max(sizes) < 300) == (True, True)
    finally:
        watched.kafka.store.close()


def test_rows_that_could_not_be_told_are_told_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file could not be read in the midst, also those before it: that a row is gone would never be told."""
    told_in_small_pieces(monkeypatch, 1_000)
    watched, whole = WatchedStock(tmp_path, "free__gte=2"), StoreMoment.whole_rows
    try:
        watched.put("a", 3)
        client = watched.join(Begin("snapshot"), {})
        watched.put("a", 1)
        watched.put("b", 3)

        def fail(moment: StoreMoment, table: str, keys: Sequence[str]) -> Any:
            if "b" in keys:
                raise sqlite3.OperationalError("disk I/O error")
            return whole(moment, table, keys)

        monkeypatch.setattr(StoreMoment, "whole_rows", fail)
        with pytest.raises(sqlite3.OperationalError):
            watched.look()
        monkeypatch.setattr(StoreMoment, "whole_rows", whole)
        watched.look()
        client.take()
        assert client.rows == watched.listed()
    finally:
        watched.kafka.store.close()


def test_rows_are_read_decoded_and_written_once_for_all_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many watch a table: what differs is which rows are in their filters, and what they may see."""
    read, decoded = list[str](), list[bytes]()
    whole, compared = StoreMoment.whole_rows, RowDecoder.compared

    def reading(moment: StoreMoment, table: str, keys: Sequence[str]) -> Any:
        read.extend(keys)
        return whole(moment, table, keys)

    def decoding(decoder: RowDecoder, body: bytes, raw: bytes | None) -> Any:
        decoded.append(body)
        return compared(decoder, body, raw)

    monkeypatch.setattr(StoreMoment, "whole_rows", reading)
    monkeypatch.setattr(RowDecoder, "compared", decoding)
    one = WatchedStock(tmp_path, "free__gte=2")
    all_of_them = [one, *(WatchedStock(tmp_path, it, beside=one) for it in ("", "free__gte=1", "free=3"))]
    hidden = WatchedStock(tmp_path, "free__gte=2", restricted=True, beside=one)
    try:
        for each in (*all_of_them, hidden):
            each.join(Begin("now"), {})
        for number in range(40):
            one.put(f"k{number:02}", number % 4)
        read.clear()
        told = [each.look_to_the_end() for each in (*all_of_them, hidden)]
        assert (sorted(read), len(decoded)) == ([f"k{number:02}" for number in range(40)], 40)
        texts = {event.data: event.text for event in told[1]}
        assert [len(events) for events in told] == [20, 40, 30, 10, 20]
        assert all(event.text is texts[event.data] for events in told[:4] for event in events)
        assert {event.place for event in told[4]} == {"anew"}
    finally:
        one.kafka.store.close()


def test_rows_of_a_former_schema_are_told_without_decoding_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The classes of the present one would not read them: the database finds those that are in the filter."""
    watched = WatchedStock(tmp_path, "free__gte=2")
    try:
        client = watched.join(Begin("now"), {})
        watched.model.reshaped = frozenset({"stock"})
        monkeypatch.setattr(RowDecoder, "compared", None)
        watched.put("a", 3)
        watched.put("b", 1)
        watched.look()
        client.take()
        assert [*client.rows] == ["a"]
    finally:
        watched.kafka.store.close()


def test_what_is_kept_of_changes_does_not_grow_with_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While all rows of a table change, and somebody watches three of them: they are told, and a few changes are known."""
    monkeypatch.setattr(change_log, "KEPT", 200)
    monkeypatch.setattr(change_log, "PIECE", 10)
    monkeypatch.setattr(changed_rows, "MOST_KNOWN", 220)
    told_in_small_pieces(monkeypatch, 50)
    watched = WatchedStock(tmp_path, "_key__in=k0007,k0500,k1999")
    try:
        client = watched.join(Begin("now"), {})
        changes, told = watched.tables.of("stock"), list[StreamEvent]()
        for number in range(2_000):
            watched.kafka.writer.put_row("stock", 0, f"k{number:04}", 1, StockRow(free=number, price=1))
            if number % 100 == 99:
                watched.kafka.commit()
                told += watched.look_to_the_end()
                assert len(changes._known._keys) <= 320
                assert len(changes._known._last) <= 320
                assert len(changes._pieces) <= changed_rows.PIECES
        client.take()
        assert [*client.rows] == ["k0007", "k0500", "k1999"]
        assert len(told) == 3
    finally:
        watched.kafka.store.close()


def test_more_rows_in_a_filter_than_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sees all is told of each row that is not in it from then on; who sees some rows alone is told to ask for fewer."""
    monkeypatch.setattr(watched_rows, "MOST", 3)
    watched = WatchedStock(tmp_path, "free__gte=2")
    hidden = WatchedStock(tmp_path, "free__gte=2", restricted=True, beside=watched)
    try:
        client = watched.join(Begin("now"), {})
        hidden.join(Begin("now"), {})
        client._is_known = False
        for key in "abcd":
            watched.put(key, 3)
        watched.look()
        watched.put("e", 1)
        assert [event.name for event in watched.look_to_the_end()] == ["gone"]
        with pytest.raises(Problem, match="ask for fewer"):
            hidden.look()
    finally:
        watched.kafka.store.close()


@pytest.mark.parametrize(
    ("now", "continues"),
    [(("a", 3, 0), True), (("a", 9, 3), True), (("b", 3, 0), False), (("a", 2, 0), False), (("a", 9, 4), False)],
)
def test_changes_continue_in_one_generation(now: tuple[str, int, int], continues: bool) -> None:
    """Not in that of rows that were made again, however many changes they have; nor if some were dropped."""
    before = ChangeEnd("a", 3, 0)
    assert continues_from(ChangeEnd(*now), before) == continues
    assert tick_of(before.place, ChangeEnd(*now)) == (3 if continues else None)
