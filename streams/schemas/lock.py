"""`schemas/lock.json`: every released version of every schema, and the present drafts.

Records in event logs were written with released versions, so these never change. Versions count from 1; the file of a schema
has the newest.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from streams.errors import FrozenSchemaChanged, IncompatibleSchema, InvalidSchema, SchemaError
from streams.schemas.avro import parse
from streams.schemas.compatibility import breaks, forgotten
from streams.schemas.files import SchemaFile
from streams.schemas.schema_ids import fingerprint, id_of

LOCK_FILE = "lock.json"


class LockedVersion(msgspec.Struct, frozen=True):
    """`schema` is the canonical schema as JSON."""

    version: int
    id: int
    fingerprint: str
    released: bool
    schema: dict[str, Any]

    @property
    def text(self) -> str:
        return json.dumps(self.schema, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


Lock = dict[str, list[LockedVersion]]
"""The versions of each schema by its name, oldest first; at most the last one is a draft."""


def load_lock(folder: Path) -> Lock:
    """The lock beside the schemas, empty if there is none yet. Raises InvalidSchema if it was edited by hand."""
    path = folder / LOCK_FILE
    if not path.exists():
        return {}
    try:
        lock = msgspec.json.decode(path.read_bytes(), type=Lock)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidSchema(f"{path}:1: the lock does not read: {error}. Take it back from version control") from error
    for name, versions in lock.items():
        for locked in versions:
            if fingerprint(locked.text) != locked.fingerprint or id_of(locked.text) != locked.id:
                raise InvalidSchema(
                    f"{path}:1: version {locked.version} of {name} is not what its fingerprint {_short(locked.fingerprint)} "
                    "says: the lock is written by `retold schemas` alone; take it back from version control"
                )
    return lock


def lock_text(lock: Lock) -> str:
    """The lock's text: sorted, one property a line, so that a review shows what changed."""
    plain = msgspec.to_builtins(dict(sorted(lock.items())))
    return json.dumps(plain, indent=2, ensure_ascii=True) + "\n"


def locked_of(file: SchemaFile, released: bool = False) -> LockedVersion:
    return LockedVersion(file.record.version, id_of(file.text), fingerprint(file.text), released, json.loads(file.text))


def update(files: Sequence[SchemaFile], lock: Lock) -> Lock:
    """The lock for the present files: drafts follow their file, released versions stay. Raises what `check` finds."""
    if problems := check(files, lock):
        raise problems[0][1]
    new = dict(lock)
    for file in files:
        versions = released_of(lock, file.name)
        if not versions or versions[-1].fingerprint != fingerprint(file.text):
            versions = [*versions, locked_of(file)]
        new[file.name] = versions
    return {name: versions for name, versions in new.items() if any(v.released for v in versions) or _has(files, name)}


def _has(files: Sequence[SchemaFile], name: str) -> bool:
    return any(file.name == name for file in files)


def released_of(lock: Lock, name: str) -> list[LockedVersion]:
    return [version for version in lock.get(name, []) if version.released]


def check(files: Sequence[SchemaFile], lock: Lock) -> list[tuple[str, SchemaError]]:
    """Errors of the present files, by schema: a changed or missing release, an incompatible version, or one id for two."""
    found = [(file.name, error) for file in files for error in _check_file(file, released_of(lock, file.name))]
    gone = [name for name in lock if released_of(lock, name) and not _has(files, name)]
    return [*found, *((name, FrozenSchemaChanged(_gone(name))) for name in gone), *_collisions(files, lock)]


def _short(fingerprint: str) -> str:
    """Enough to tell two apart in a sentence."""
    return f"{fingerprint[:12]}…"


def _check_file(file: SchemaFile, released: Sequence[LockedVersion]) -> list[SchemaError]:
    now, version = fingerprint(file.text), file.record.version
    if released and released[-1].fingerprint == now:
        return _forgotten_names(file, released, f"It is released: write version {version + 1}")
    last = released[-1].version if released else 0
    if released and version == last:
        return [
            FrozenSchemaChanged(
                f"version {version} of {file.name} is released with the fingerprint {_short(released[-1].fingerprint)}, and "
                f'its file now has {_short(now)}: take the change back, or put "version": {version + 1} into the file'
            )
        ]
    if version != last + 1:
        return [
            IncompatibleSchema(
                f"{file.name} has the version {version}; expected {last + 1}, as {last or 'none'} is the last one "
                f'released: put "version": {last + 1} into the file'
            )
        ]
    problems = [p for old in released for p in breaks(file.record, parse(old.text, written=True))]
    advice = "Add fields with a default, keep those without one, or give the event a new name"
    found = [IncompatibleSchema(f"version {version} of {file.name}: {problem}. {advice}") for problem in problems]
    return [*found, *_forgotten_names(file, released, "Old records would read as something else, without an error")]


def _forgotten_names(file: SchemaFile, older: Sequence[LockedVersion], advice: str) -> list[SchemaError]:
    versions = [file.record, *(parse(locked.text, written=True) for locked in reversed(older))]
    head = f"version {file.record.version} of {file.name}"
    return [IncompatibleSchema(f"{head}: {problem}. {advice}") for problem in forgotten(versions)]


def _gone(name: str) -> str:
    return f"{name} is released and its file is gone: event logs may hold it; take the file back from version control"


def _collisions(files: Sequence[SchemaFile], lock: Lock) -> list[tuple[str, SchemaError]]:
    """Different schemas with the same id: one in two thousand million for any pair, and silent without this check."""
    seen = {v.id: (name, v.fingerprint) for name, versions in lock.items() for v in versions if v.released}
    found: list[tuple[str, SchemaError]] = []
    for file in files:
        schema_id, print_ = id_of(file.text), fingerprint(file.text)
        name, other = seen.setdefault(schema_id, (file.name, print_))
        if other != print_:
            message = f"{file.name} and {name} have one id, {schema_id}: change something in one, for instance an alias"
            found.append((file.name, InvalidSchema(message)))
    return found
