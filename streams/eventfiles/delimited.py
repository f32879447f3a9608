"""CSV as RFC 4180 has it, and TSV as IANA registered it (text/tab-separated-values): no more is taken.

A quote in an unquoted CSV field is a mistake; in TSV it is a letter like any other, and nothing is quoted.

A record that is plainly right takes a quick way (streams/eventfiles/quick_lines.py). Every other one is read here, letter by
letter, and whatever is refused is refused here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import IO

from streams.errors import InvalidEvent
from streams.eventfiles.quick_lines import Quick, quick_csv, quick_tsv
from streams.eventfiles.raw_lines import LINE_LIMIT, RawLines
from streams.eventfiles.row import BOM, Row, not_utf8, too_long
from streams.eventfiles.texts import cut, listed

FIELD_LIMIT = 16 * 1024 * 1024
"""The most characters in one CSV field: more than any event may have."""
RECORD_LIMIT = 4 * FIELD_LIMIT
"""The most characters in the lines of one CSV record."""
MARK = BOM.decode()


class MalformedRecord(Exception):
    """A record that breaks the rules of its format, perhaps in a `line` behind its first one.

    `ends`: where the next one begins is not known.
    """

    def __init__(self, column: int, problem: str, *, line: int | None = None, ends: bool = False) -> None:
        super().__init__(f"column {column}: {problem}")
        self.line, self.ends = line, ends


class Lines:
    """Lines of a file as text. `line` is the number of the last one."""

    def __init__(self, raw: RawLines) -> None:
        self._raw = raw

    @property
    def line(self) -> int:
        return self._raw.line

    def next(self) -> tuple[str, str] | None:
        """A line and its end; None behind the last one. Raises UnreadableLine, LineTooLong."""
        raw = self._raw.next()
        if not raw:
            return None
        if self._raw.is_cut(raw):
            raise LineTooLong(*too_long(self._raw.limit), self._raw.has_quote)
        if self.line == 1:
            raw = raw.removeprefix(BOM)
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            raise UnreadableLine(self.line, *not_utf8(raw, error), raw.decode(errors="replace")) from error
        if "\0" in text:
            raise UnreadableLine(self.line, text.index("\0") + 1, "a NUL is no text", text)
        return _split_end(text)


class UnreadableLine(Exception):
    """A line with letters that no text has. `text`: what can be read of it, to find the end of its record."""

    def __init__(self, line: int, column: int, problem: str, text: str) -> None:
        super().__init__(problem)
        self.line, self.column, self.problem, self.text = line, column, problem, text


class LineTooLong(Exception):
    """A line of which only the beginning was read. `has_quote`: there is a quote in it, perhaps in what was not read."""

    def __init__(self, column: int, problem: str, has_quote: bool) -> None:
        super().__init__(problem)
        self.column, self.problem, self.has_quote = column, problem, has_quote


def _split_end(text: str) -> tuple[str, str]:
    for end in ("\r\n", "\n"):
        if text.endswith(end):
            return text.removesuffix(end), end
    return text, ""


def comma_separated(file: IO[bytes], limit: int = LINE_LIMIT, *, quick: Quick = quick_csv) -> Iterator[Row]:
    """The first line names the columns. A quoted field may hold commas, quotes (doubled) and new lines."""
    return _rows(RawLines(file, limit), _csv_record, quick)


def tab_separated(file: IO[bytes], limit: int = LINE_LIMIT, *, quick: Quick = quick_tsv) -> Iterator[Row]:
    """The first line names the columns. A field holds any letters but tabs and ends of lines."""
    return _rows(RawLines(file, limit), _tsv_record, quick)


Split = Callable[[str, str, "_RecordLines"], list[str]]
"""The fields of a record that begins with this line, which has this end. Raises MalformedRecord."""


class _RecordLines:
    """The lines of one record. What is wrong with one of them is kept, so that the record's end is found all the same."""

    def __init__(self, lines: Lines) -> None:
        self._lines, self.first, self.size = lines, lines.line + 1, 0
        self.wrong: UnreadableLine | None = None

    @property
    def line(self) -> int:
        """The number of the last line."""
        return self._lines.line

    def next(self) -> tuple[str, str] | None:
        """Raises LineTooLong."""
        try:
            line = self._lines.next()
        except UnreadableLine as error:
            self.wrong = self.wrong or error
            line = _split_end(error.text)
        self.size += 0 if line is None else len(line[0])
        return line


def _rows(raw_lines: RawLines, split: Split, quick: Quick) -> Iterator[Row]:
    lines = Lines(raw_lines)
    columns = _columns(lines, split)
    while raw := raw_lines.next():
        line = raw_lines.line
        if (cells := quick(raw, raw_lines)) is not None:
            yield _row(line, columns, cells)
            continue
        raw_lines.put_back(raw)
        if (row := _careful_row(lines, columns, split)) is not None:
            yield row
            if row.ends:
                return


def _careful_row(lines: Lines, columns: list[str], split: Split) -> Row | None:
    """None for an empty line."""
    rest = _RecordLines(lines)
    line = rest.first
    try:
        cells = _cells_of(rest, split)
    except MalformedRecord as error:
        at = error.line or line
        if error.ends and at != line:
            return Row(line, {}, f"line {at}, {error}", ends=True)
        return Row(at, {}, str(error), error.ends)
    return None if cells is None else _row(line, columns, cells)


def _cells_of(rest: _RecordLines, split: Split) -> list[str] | None:
    """The fields; None for an empty line. What is malformed behind a record's first line ends the file.

    A quote too many may have joined lines that are rows.
    """
    cells, ends = list[str](), False
    try:
        begin = rest.next()
        if begin is None or (begin[0] == "" and rest.wrong is None):
            return None
        cells = split(*begin, rest)
    except LineTooLong as error:
        ends = rest.line > rest.first or (error.has_quote and split is _csv_record)
        raise MalformedRecord(error.column, error.problem, line=rest.line, ends=ends) from None
    except MalformedRecord as error:
        ends = error.ends or rest.line > rest.first
        if error.ends or rest.wrong is None:
            error.line, error.ends = error.line or rest.line, ends
            raise
    if rest.wrong is not None:  # it comes first, and explains what follows from it
        raise MalformedRecord(rest.wrong.column, rest.wrong.problem, line=rest.wrong.line, ends=ends)
    return cells


def _columns(lines: Lines, split: Split) -> list[str]:
    try:
        columns = _cells_of(_RecordLines(lines), split)
    except MalformedRecord as error:
        raise InvalidEvent(f"line 1, which names the columns, does not read: {error}") from error
    if columns is None:
        if not lines.line:
            raise InvalidEvent("the file is empty; a first line with the names of the columns was expected")
        columns = [""]
    if len(set(columns)) < len(columns) or "" in columns:
        named = listed([repr(cut(name)) for name in columns])
        raise InvalidEvent(f"line 1 names the columns {named}; each needs a name of its own")
    return columns


def _row(line: int, columns: list[str], cells: list[str]) -> Row:
    if len(cells) == len(columns):
        return Row(line, dict(zip(columns, cells, strict=True)))
    if len(cells) < len(columns):
        return Row(line, {}, f"column {cut(columns[len(cells)])!r} is missing: {len(cells)} of {len(columns)} are there")
    return Row(line, {}, f"column {len(cells)} has no name: there are {len(cells)}, and line 1 names {len(columns)}")


def _check_unquoted(text: str, begin: int = 0) -> None:
    """Of a part of a line that begins behind `begin` letters of it."""
    if "\r" in text:
        raise MalformedRecord(begin + text.index("\r") + 1, "a carriage return without a line feed ends no line")
    if begin == 0 and text.startswith(MARK):
        raise MalformedRecord(1, "a byte order mark belongs at the beginning of a file: were files joined?")


def _tsv_record(text: str, _end: str, _rest: _RecordLines) -> list[str]:
    _check_unquoted(text)
    return text.split("\t")


def _csv_record(text: str, end: str, rest: _RecordLines) -> list[str]:
    if '"' not in text:
        _check_unquoted(text)
        return text.split(",")
    cells, at = [], 0
    while True:
        if text.startswith('"', at):
            cell, text, end, at = _quoted(text, end, at, rest)
            cells.append(cell)
            if at == len(text):
                return cells
            if text[at] != ",":
                raise MalformedRecord(at + 1, "this does not read: a comma was expected behind the quote that closes a field")
            at += 1
            continue
        stop = text.find(",", at)
        cell = text[at:] if stop < 0 else text[at:stop]
        if '"' in cell:
            where = at + cell.index('"') + 1
            what = "a quote in a field without quotes. Quote the field, and double the quote"
            raise MalformedRecord(where, f"this does not read: {what}")
        _check_unquoted(cell, at)
        cells.append(cell)
        if stop < 0:
            return cells
        at = stop + 1


def _quoted(text: str, end: str, at: int, rest: _RecordLines) -> tuple[str, str, str, int]:
    """The field that opens at `at`; the line where it closes, that line's end, and the position behind the closing quote."""
    opened, line, parts, size = at + 1, rest.line, list[str](), 0
    at += 1
    while True:
        stop = text.find('"', at)
        if stop < 0:
            parts.append(text[at:] + end)
            size += len(parts[-1])
            more = rest.next()
            if more is None:
                raise MalformedRecord(
                    opened, "the quote that opens here is never closed (unexpected end of data)", line=line, ends=True
                )  # fmt: skip
            if size > FIELD_LIMIT:
                raise MalformedRecord(
                    opened, f"the field that opens here has more than {FIELD_LIMIT:,} characters", line=line, ends=True
                )  # fmt: skip
            if rest.size > RECORD_LIMIT:
                raise MalformedRecord(
                    opened, f"the record that begins in line {rest.first} has more than {RECORD_LIMIT:,} characters", line=line,
                    ends=True,
                )  # fmt: skip
            (text, end), at = more, 0
            continue
        parts.append(text[at:stop])
        if not text.startswith('"', stop + 1):
            return "".join(parts), text, end, stop + 1
        parts.append('"')
        at = stop + 2
