"""The quick way of reading CSV and TSV gives what the careful one gives; and no line is read that is too long."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Callable, Iterator
from typing import IO, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.errors import InvalidEvent
from streams.eventfiles import delimited, quick_lines
from streams.eventfiles.delimited import comma_separated, tab_separated
from streams.eventfiles.raw_lines import LINE_LIMIT, RawLines
from streams.eventfiles.row import Row
from streams.eventfiles.rows import FORMATS

READERS: dict[str, Callable[..., Iterator[Row]]] = {"csv": comma_separated, "tsv": tab_separated}
PIECES = [
    b"a", b"b1", b",", b"\t", b'"', b'""', b'"x"', b'"x,y"', b'"p\nq"', b'"\r\n"', b"\r", b"\n", b"\r\n", b"\0", b"\xff", b" ",
    "é\u2028\x1c\x85".encode(), b"\xef\xbb\xbf", b"a,b\n", b'"a","b"\r\n', b"a\tb\n",
]  # fmt: skip
"""What a line is made of, and what breaks it."""
texts = st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join) | st.binary()
heads = st.sampled_from([b"a,b\n", b"a\tb\r\n", b'"a","b"\n', b"a\n", b""])


def never(_raw: bytes, _lines: RawLines) -> None:
    """No quick way: each record is read carefully."""


def read(reader: Callable[..., Iterator[Row]], file: IO[bytes], limit: int, **quick: Any) -> list[Row] | str:
    try:
        return list(reader(file, limit, **quick))
    except InvalidEvent as error:
        return str(error)


@given(heads, texts, st.sampled_from(["csv", "tsv"]), st.integers(4, 40) | st.just(LINE_LIMIT), st.integers(1, 16))
@settings(max_examples=400)
def test_the_quick_way_gives_what_the_careful_one_gives(head: bytes, text: bytes, form: str, limit: int, buffer: int) -> None:
    """Rows, lines and sentences, whatever the bytes, the most of a line, and the pieces in which the file comes."""
    pieces: Any = io.BufferedReader(io.BytesIO(head + text), buffer)
    assert read(READERS[form], pieces, limit) == read(READERS[form], io.BytesIO(head + text), limit, quick=never)


cells = st.sampled_from(["", "a", "é", "x y", 'say "no"', "1,5", "two\nlines", "\r", "\t"])


@given(st.lists(st.lists(cells, min_size=2, max_size=2)))
def test_what_is_right_goes_the_quick_way(table: list[list[str]]) -> None:
    """Quoted fields too: else a file of them would take three times as long."""
    quoted = ['"' + cell.replace('"', '""') + '"' for cells in table for cell in cells]
    text = "\n".join(",".join(quoted[at : at + 2]) for at in range(0, len(quoted), 2))
    lines, found = RawLines(io.BytesIO(text.encode())), []
    while raw := lines.next():
        found.append(quick_lines.quick_csv(raw, lines))
    assert found == table


@pytest.mark.parametrize(("form", "head"), [("csv", "a,b"), ("tsv", "a\tb"), ("jsonl", '{"a": "1"}')])
def test_a_line_that_is_too_long_is_refused_and_its_neighbours_are_read(form: str, head: str) -> None:
    """By its number; no more of it is in memory than the most that is read."""
    good = {"csv": "1,2", "tsv": "1\t2", "jsonl": '{"a": "1"}'}[form]
    with io.BytesIO(f"{head}\n{good}\n{'x' * 5_000_000}\n{good}".encode()) as file:
        tracemalloc.start()
        *_, before, broken, after = FORMATS[form](file, 1_000)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert (before.problem, after.values, after.line) == (None, before.values, 4)
    assert broken == Row(3, {}, "column 1001: the line goes on behind 1,000 bytes, the most that are read of one")
    assert most < 1_000_000


def test_a_line_of_csv_that_is_too_long_ends_the_file_if_a_quote_is_in_it() -> None:
    """Nobody knows whether the next line begins a record; in TSV a quote is a letter."""
    for text in ('a,b\n"' + "x" * 99 + "\n1,2\n", "a,b\n" + "x" * 99 + '"\n1,2\n'):
        [broken] = comma_separated(io.BytesIO(text.encode()), 20)
        assert (broken.line, broken.ends) == (2, True)
        assert "the line goes on behind 20 bytes" in (broken.problem or "")
    broken, good = tab_separated(io.BytesIO(b"a\n" + b"x" * 99 + b'"\n1\n'), 20)
    assert (broken.ends, good) == (False, Row(3, {"a": "1"}))


def test_a_first_line_that_is_too_long_is_refused_as_a_whole() -> None:
    """It names no columns."""
    with pytest.raises(InvalidEvent, match="line 1, which names the columns, does not read: column 21: the line goes on behind 20"):
        list(comma_separated(io.BytesIO(b"a" * 99), 20))


def test_a_record_of_many_lines_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if none of its fields is too long."""
    monkeypatch.setattr(delimited, "RECORD_LIMIT", 200_000)
    text = "a,b\n" + ",".join(['"' + "x" * 1_000 + "\ny" + '"'] * 300)
    [broken] = comma_separated(io.BytesIO(text.encode()))
    assert broken.ends
    assert "the record that begins in line 2 has more than 200,000 characters" in (broken.problem or "")


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl"])
def test_however_many_rows_a_file_has_one_is_in_memory_at_a_time(form: str) -> None:
    """Whether they go the quick way or not."""
    piece = {"csv": '1,2\n"1","2\n"\n1,2,3\n', "tsv": "1\t2\n1\r\n1\n", "jsonl": '{"a": 1}\n{\n[]\n'}[form]
    file: Any = io.BufferedReader(Repeated(piece.encode() * 100, 20))
    tracemalloc.start()
    count = sum(1 for _ in FORMATS[form](file))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count > 5_000
    assert most < 500_000


class Repeated(io.RawIOBase):
    """The same bytes a number of times."""

    def __init__(self, piece: bytes, times: int) -> None:
        self._piece, self._left = piece, times

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._left:
            return 0
        self._left -= 1
        buffer[: len(self._piece)] = self._piece
        return len(self._piece)
