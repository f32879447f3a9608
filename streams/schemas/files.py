"""Reads `schemas/`: `user.avsc` is the row of the namespace `user`, `user/signup.avsc` the event `user.signup`.

The record in a file is named after its path: `user.row` for the row (so no event may be called `row`), `user.signup` for the
event, `orders_per_day.row` for the projection `orders-per-day` (Avro names have no `-`). Every file is complete by itself; a
type that two files define must be the same in both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from streams.errors import InvalidSchema
from streams.namespace import EVENT_TYPE
from streams.projection import NAME
from streams.schemas.avro import KEYS, MISSING, AvroType, RecordType, is_key, record_of, shown_default
from streams.schemas.schema_ids import canonical

ROW = "row"


@dataclass(frozen=True)
class SchemaFile:
    """`text` is the canonical text; `path` is the one to show in messages."""

    path: Path
    record: RecordType
    text: str

    @property
    def name(self) -> str:
        return self.record.name

    @property
    def is_row(self) -> bool:
        return self.name.endswith(f".{ROW}")


@dataclass(frozen=True)
class SchemaBreach:
    """One mistake: where, and a sentence. Written as `file:line: message`."""

    file: Path
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


def read_all(folder: Path) -> tuple[list[SchemaFile], list[SchemaBreach]]:
    """Every valid schema below `folder`, sorted by name, and the breaches of the others."""
    files: list[SchemaFile] = []
    breaches: list[SchemaBreach] = []
    for path in sorted(folder.rglob("*.avsc")):
        outcome = read(path, folder)
        if isinstance(outcome, SchemaFile):
            files.append(outcome)
        else:
            breaches.append(outcome)
    files.sort(key=lambda file: (file.name.partition(".")[0], not file.is_row, file.name))
    return files, [*breaches, *_repeated_names(files), *_differing_parts(files)]


def load(folder: Path) -> list[SchemaFile]:
    """Every schema below `folder`. Raises InvalidSchema with one line for each mistake."""
    if not folder.is_dir():
        raise InvalidSchema(f"there is no folder {folder}: make it, with one .avsc file for each event and row")
    files, breaches = read_all(folder)
    if breaches:
        raise InvalidSchema("\n".join(map(str, breaches)))
    return files


def read(path: Path, folder: Path) -> SchemaFile | SchemaBreach:
    """One file, or its breach with the line."""
    if path.exists() and not path.is_file():
        return SchemaBreach(path, 1, "this is no file, such as a folder or a pipe: rename or remove it")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return SchemaBreach(path, 1, f"the file cannot be read: {error}")
    try:
        schema = json.loads(text, object_pairs_hook=_no_repeats, parse_constant=_no_constant)
        record = record_of(schema)
        _check_path(record, path.relative_to(folder))
        return SchemaFile(path, record, _sound(canonical(schema)))
    except json.JSONDecodeError as error:
        return SchemaBreach(path, error.lineno, f"column {error.colno}: this is no JSON: {error.msg}")
    except RecursionError:
        return SchemaBreach(path, 1, "the schema is nested too deeply to read")
    except InvalidSchema as error:
        return SchemaBreach(path, line_of(text, error.field), str(error))
    except ValueError:
        return SchemaBreach(path, 1, "a number has too many digits to read")


def _sound(canonical_text: str) -> str:
    """The same text. Raises InvalidSchema for half a surrogate pair, which nobody reads in the lock."""
    try:
        json.dumps(json.loads(canonical_text), ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        letter = f"\\u{ord(error.object[error.start]):04x}"
        raise InvalidSchema(f"the schema holds {letter}, half a surrogate pair, which is no text: remove it", letter) from error
    return canonical_text


def line_of(text: str, word: str) -> int:
    """The line where `word` is the value of a "name", or is in quotes, or 1."""
    for pattern in (rf'"name"\s*:\s*"{re.escape(word)}"', rf'"{re.escape(word)}"', re.escape(word)):
        if word and (found := re.search(pattern, text)):
            return text.count("\n", 0, found.start()) + 1
    return 1


def _no_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuses repeated names: in JSON the last one would silently win."""
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise InvalidSchema(f"an object has {json.dumps(name)} twice: remove one", name)
    return dict(pairs)


def _no_constant(word: str) -> None:
    raise InvalidSchema(f"{word} is no JSON and cannot be a default", word)


def _check_path(record: RecordType, path: Path) -> None:
    namespace, _, short = record.name.rpartition(".")
    expected = expected_name(path)
    if record.name != expected:
        raise InvalidSchema(
            f"the record is called {record.name}; expected {expected}, as the file lies at {path.as_posix()}: "
            "rename the record or move the file",
            short or record.name,
        )
    if len(path.parts) == 1:
        if record.key:
            raise InvalidSchema(f'the row {record.name} has a "key"; only events name one', "key")
        return
    if short == ROW:
        raise InvalidSchema(f'no event may be called "{ROW}": {record.name} is the row, in {namespace}.avsc', ROW)
    if not record.key:
        raise InvalidSchema(
            f'the event {record.name} has no "key": name the field that says which entity it is about, as in '
            f'"key": "{record.fields[0].name}"'
        )
    [default] = [field.default for field in record.fields if field.name == record.key]
    if default is not MISSING and not is_key(default):
        raise InvalidSchema(
            f"{record.name}.{record.key} is the key and has the default {shown_default(default)}; expected {KEYS}", record.key
        )


def expected_name(path: Path) -> str:
    """The record's name for a path below the folder. Raises InvalidSchema for a path that no schema may have."""
    parts = path.with_suffix("").parts
    if len(parts) == 1 and NAME.fullmatch(parts[0]):
        return f"{parts[0].replace('-', '_')}.{ROW}"
    name = ".".join(parts)
    if len(parts) != 2 or not EVENT_TYPE.fullmatch(name):
        raise InvalidSchema(
            f"{path.as_posix()} is no place for a schema: expected <namespace>.avsc, <projection>.avsc or "
            "<namespace>/<event>.avsc, in lower-case letters, digits and _"
        )
    return name


def parts_of(record: RecordType) -> Iterator[AvroType]:
    """Every nested record and enum of a record, the innermost first."""
    for field in record.fields:
        yield from _parts(field.type)


def _parts(kind: AvroType) -> Iterator[AvroType]:
    if kind.item is not None:
        yield from _parts(kind.item)
    if kind.record is not None:
        yield from parts_of(kind.record)
    if kind.kind in ("record", "enum"):
        yield replace(kind, nullable=False)


def _repeated_names(files: Sequence[SchemaFile]) -> Iterator[SchemaBreach]:
    """`orders-per-day.avsc` and `orders_per_day.avsc` hold records of one name: one would silently win."""
    seen: dict[str, SchemaFile] = {}
    for file in files:
        if (first := seen.setdefault(file.name, file)) is not file:
            yield SchemaBreach(file.path, 1, f"{file.name} is in {first.path} too: rename one")


def _differing_parts(files: Sequence[SchemaFile]) -> Iterator[SchemaBreach]:
    seen: dict[str, tuple[AvroType, SchemaFile]] = {}
    for file in files:
        for part in parts_of(file.record):
            first, source = seen.setdefault(part.name, (part, file))
            if first != part:
                line = line_of(file.path.read_text(encoding="utf-8", errors="replace"), part.name.rpartition(".")[2])
                yield SchemaBreach(
                    file.path,
                    line,
                    f"{part.name} is defined otherwise in {source.path}: make both the same, or rename one",
                )
                break
