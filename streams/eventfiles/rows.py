"""Reads a file's rows one at a time, in any of the formats. An invalid line does not stop it: it is a row with a problem."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from streams.errors import ConfigError, InvalidEvent
from streams.eventfiles.repeats import no_repeats
from streams.eventfiles.texts import cut, listed, plain

BOM = b"\xef\xbb\xbf"
FIELD_LIMIT = 16 * 1024 * 1024
"""The most characters in one CSV field: more than any event may have."""
WORDS_SHOWN = 400
"""The most characters that are shown of a library's message."""


class Row(NamedTuple):
    """`line` counts from 1 (in Avro it is the record's number). `problem` is a sentence about an invalid line."""

    line: int
    values: dict[str, Any]
    problem: str | None = None


def jsonl(file: IO[bytes]) -> Iterator[Row]:
    """One JSON object a line; empty lines are skipped."""
    for line, raw in enumerate(file, 1):
        text = raw.removeprefix(BOM) if line == 1 else raw
        if text.strip():
            yield _json_row(line, text.rstrip(b" \t\r\n"))  # else an incomplete line would be reported at the next one


def _json_row(line: int, text: bytes) -> Row:
    try:
        values = json.loads(text.decode(), object_pairs_hook=no_repeats, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        return Row(line, {}, _not_utf8(text, error))
    except json.JSONDecodeError as error:
        return Row(line, {}, f"column {error.colno}: this is no JSON ({error.msg})")
    except InvalidEvent as error:
        return Row(line, {}, str(error))
    except (RecursionError, ValueError):
        return Row(line, {}, "it is nested too deeply, or has a number too long to read")
    if not isinstance(values, dict):
        return Row(line, {}, f"this is a JSON {_json_kind(values)}; an object with the event's fields was expected")
    return Row(line, values)


def _json_kind(value: object) -> str:
    kinds = {list: "array", str: "string", bool: "boolean", int: "number", float: "number"}
    return kinds.get(type(value), "null")


def _no_constant(word: str) -> None:
    raise InvalidEvent(f"{word} is no JSON")


def comma_separated(file: IO[bytes]) -> Iterator[Row]:
    return _delimited(file, ",")


def tab_separated(file: IO[bytes]) -> Iterator[Row]:
    return _delimited(file, "\t")


def _delimited(file: IO[bytes], delimiter: str) -> Iterator[Row]:
    """The first line names the columns. Quotes as in RFC 4180, so that a field may hold a new line."""
    csv.field_size_limit(FIELD_LIMIT)
    lines = _Lines(file)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        columns = next(reader)
    except StopIteration:
        raise InvalidEvent("the file is empty; a first line with the names of the columns was expected") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise InvalidEvent(f"line 1, which names the columns, does not read: {error}") from error
    if len(set(columns)) < len(columns) or "" in columns:
        named = listed([repr(cut(name)) for name in columns])
        raise InvalidEvent(f"line 1 names the columns {named}; each needs a name of its own")
    while True:
        line = lines.line + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Row(line, {}, f"this does not read ({error})")
        except UnicodeDecodeError as error:
            yield Row(lines.line, {}, _not_utf8(error.object, error))
        else:
            if cells:
                yield _cells(line, columns, cells)


class _Lines:
    """Lines as text, decoded one by one, so that an error for a byte that is not UTF-8 has its line."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.line = file, 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        raw = next(self._file)
        self.line += 1
        return (raw.removeprefix(BOM) if self.line == 1 else raw).decode()


def _cells(line: int, columns: list[str], cells: list[str]) -> Row:
    if len(cells) < len(columns):
        return Row(line, {}, f"column {cut(columns[len(cells)])!r} is missing: {len(cells)} of {len(columns)} are there")
    if len(cells) > len(columns):
        return Row(
            line, {}, f"column {len(cells)} has no name: there are {len(cells)}, and line 1 names {len(columns)}"
        )
    return Row(line, dict(zip(columns, cells, strict=True)))


def _not_utf8(raw: bytes, error: UnicodeDecodeError) -> str:
    before = raw[: error.start]
    column = len(before.decode(errors="replace")) + 1
    return f"column {column}: the byte 0x{raw[error.start]:02x} is no UTF-8"


def avro(file: IO[bytes]) -> Iterator[Row]:
    """An Avro object container file. A damaged block ends it, since the next one cannot be found."""
    import fastavro

    number = 0
    try:
        for number, values in enumerate(fastavro.reader(file), 1):
            yield (
                Row(number, values)
                if isinstance(values, dict)
                else Row(number, {}, f"record {number} is a {type(values).__name__}; a record was expected")
            )
    except Exception as error:
        what = plain(f"{type(error).__name__}: {error}", WORDS_SHOWN)
        if number == 0:
            raise InvalidEvent(f"this is no Avro object container file ({what})") from error
        yield Row(number + 1, {}, f"the file is damaged from here on ({what})")


Reader = Callable[[IO[bytes]], Iterator[Row]]
FORMATS: dict[str, Reader] = {"jsonl": jsonl, "csv": comma_separated, "tsv": tab_separated, "avro": avro}
SUFFIXES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".avro": "avro"}
TEXT_FORMATS = frozenset({"csv", "tsv"})
"""Formats in which every value is a text, to be parsed by the schema's type."""


def format_of(path: Path, named: str | None) -> str:
    """The named format, else the one of the suffix. Raises ConfigError naming the formats."""
    known = ", ".join(FORMATS)
    if named is not None:
        if named not in FORMATS:
            raise ConfigError(f"--format is {named!r}; one of {known} was expected.")
        return named
    found = SUFFIXES.get(path.suffix.lower())
    if found is None:
        raise ConfigError(
            f"the format of {plain(str(path))} is not known by its suffix {path.suffix!r}: say --format, one of {known}."
        )
    return found
