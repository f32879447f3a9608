"""Reads a file's rows one at a time, in any of the formats. An invalid line does not stop it: it is a row with a problem."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, cast

from streams.errors import ConfigError, InvalidEvent
from streams.eventfiles.delimited import comma_separated, tab_separated
from streams.eventfiles.numbers import json_number
from streams.eventfiles.raw_lines import LINE_LIMIT, RawLines
from streams.eventfiles.repeats import no_constant, no_repeats
from streams.eventfiles.row import BOM, Row, not_utf8, too_long
from streams.eventfiles.texts import WORDS_SHOWN, plain

JSON_SPACE = b" \t\r\n"


def jsonl(file: IO[bytes], limit: int = LINE_LIMIT) -> Iterator[Row]:
    """One JSON object a line; empty lines are skipped."""
    lines = RawLines(file, limit)
    while raw := lines.next():
        line = lines.line
        text = raw.removeprefix(BOM) if line == 1 else raw
        if lines.is_cut(raw):
            column, what = too_long(limit)
            yield Row(line, {}, f"column {column}: {what}")
        elif text.strip(JSON_SPACE):
            yield _json_row(line, text.rstrip(JSON_SPACE))  # else an incomplete line would be reported at the next one


def _json_row(line: int, text: bytes) -> Row:
    try:
        values = json.loads(
            text.decode(), object_pairs_hook=no_repeats, parse_constant=no_constant, parse_float=json_number
        )
    except UnicodeDecodeError as error:
        column, what = not_utf8(text, error)
        return Row(line, {}, f"column {column}: {what}")
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


class _Forwards:
    """A file that may be a pipe: `block_reader` asks where it is, only to tell others."""

    def __init__(self, file: IO[bytes]) -> None:
        self.read = file.read

    def tell(self) -> int:
        return 0


def _inside_itself(schema: Any, around: frozenset[str]) -> str | None:
    """The name of a record that contains itself: a few bytes nest so deeply that fastavro ends the process.

    `around` are the records around this type; fastavro has put names in full.
    """
    if isinstance(schema, str):
        return schema if schema in around else None
    if isinstance(schema, list):
        parts = schema
    else:
        parts = [schema[name] for name in ("type", "items", "values") if name in schema]
        parts += [field["type"] for field in schema.get("fields", ())]
        around |= {schema["name"]} if "fields" in schema else frozenset()
    return next((found for part in parts if (found := _inside_itself(part, around)) is not None), None)


def avro(file: IO[bytes], _limit: int = LINE_LIMIT) -> Iterator[Row]:
    """An Avro object container file, which has no lines. A damaged block ends it, since the next one cannot be found."""
    import fastavro

    number, codec, begun = 0, "", "this is no Avro object container file"
    try:
        blocks: Any = fastavro.block_reader(cast(Any, _Forwards(file)))
        if (nested := _inside_itself(blocks.writer_schema, frozenset())) is not None:
            raise InvalidEvent(f"the schema of this Avro file has {nested!r:.100} inside itself, which is not read")
        codec, begun = blocks.codec, "the first block of this Avro file does not read"
        for block in blocks:
            for values in block:
                number += 1
                yield (
                    Row(number, values)
                    if isinstance(values, dict)
                    else Row(number, {}, f"record {number} is a {type(values).__name__}; a record was expected")
                )
            if block.bytes_.read(1):
                raise ValueError("a block holds more than its records")
    except InvalidEvent:
        raise
    except Exception as error:
        what = plain(f"{type(error).__name__}: {error}", WORDS_SHOWN)
        if number == 0 and codec not in ("", *CODECS) and not isinstance(error, EOFError):
            raise ConfigError(
                f"this file's blocks are compressed with {plain(codec)!r}, which cannot be read here ({what}). Install what it "
                f"needs, or write the file with one of {', '.join(CODECS)}"
            ) from error
        if number == 0:
            raise InvalidEvent(f"{begun} ({what})") from error
        yield Row(number + 1, {}, f"the file is damaged from here on ({what})", ends=True)


CODECS = ("null", "deflate", "bzip2", "xz")
"""Those that Python brings."""
Reader = Callable[..., Iterator[Row]]
"""From a file of bytes, and the most bytes of a line that are read."""
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
