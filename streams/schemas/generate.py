"""The work of `retold schemas`: writes the classes, releases versions, verifies everything."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from streams.errors import InvalidSchema, SchemaError
from streams.private_files import replace_whole
from streams.schemas.files import SchemaBreach, SchemaFile, line_of, load, read_all
from streams.schemas.lock import LOCK_FILE, Lock, check, load_lock, lock_text, update
from streams.schemas.render import render


@dataclass(frozen=True)
class GenerateReport:
    """`added`, `changed` and `removed` are names of schemas, compared with the previous lock; `files` are those written."""

    written: bool
    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)


def generate(project_folder: Path, schemas: Path, output: Path) -> GenerateReport:
    """Write the lock and the generated module; relative paths are taken from `project_folder`.

    Nothing is written if anything is wrong. Raises a SchemaError with one line for each mistake.
    """
    schemas, output = project_folder / schemas, project_folder / output
    files, lock = load(schemas), load_lock(schemas)
    if problems := check(files, lock):
        raise type(problems[0][1])("\n".join(str(_breach(name, error, files, schemas)) for name, error in problems))
    new = update(files, lock)
    written = [
        path
        for path, text in ((schemas / LOCK_FILE, lock_text(new)), (output, render(files, new)))
        if _write(path, text)
    ]
    report = _difference(lock, new)
    return replace(report, written=bool(written), files=written)


def release(schemas: Path) -> list[str]:
    """Mark every current version as released; returns those that were not yet. Raises a SchemaError as `generate` does."""
    files, lock = load(schemas), load_lock(schemas)
    if problems := check(files, lock):
        raise type(problems[0][1])("\n".join(str(_breach(name, error, files, schemas)) for name, error in problems))
    new = update(files, lock)
    fresh = [f"{name} v{v.version}" for name, versions in sorted(new.items()) for v in versions if not v.released]
    frozen = {name: [msgspec.structs.replace(v, released=True) for v in versions] for name, versions in new.items()}
    _write(schemas / LOCK_FILE, lock_text(frozen))
    return fresh


def verify(schemas: Path, output: Path) -> list[SchemaBreach]:
    """Every breach, with file and line; empty if there is none. Writes nothing."""
    if not schemas.is_dir():
        return [SchemaBreach(schemas, 1, "there is no such folder of schemas")]
    files, breaches = read_all(schemas)
    try:
        lock = load_lock(schemas)
    except InvalidSchema as error:
        return [*breaches, SchemaBreach(schemas / LOCK_FILE, 1, str(error).partition(":1: ")[2])]
    broken = {breach.file for breach in breaches}
    found = [
        _breach(name, error, files, schemas)
        for name, error in check(files, lock)
        if _path_of(name, files, schemas) not in broken
    ]
    breaches = [*breaches, *found]
    return breaches or _outdated(files, lock, schemas, output)


def stale(schemas: Path, output: Path) -> bool:
    """Whether the generated module differs from what the schemas would give now. Raises a SchemaError for invalid schemas."""
    return bool(_outdated(load(schemas), load_lock(schemas), schemas, output))


def _outdated(files: Sequence[SchemaFile], lock: Lock, schemas: Path, output: Path) -> list[SchemaBreach]:
    """A breach for a generated file that is missing or out of date."""
    try:
        expected = render(files, lock)
    except InvalidSchema as error:
        return [SchemaBreach(output, 1, str(error))]
    if not output.exists():
        return [SchemaBreach(output, 1, "the generated classes are not there: run `retold schemas generate`")]
    if output.read_text(encoding="utf-8", errors="replace") != expected:
        where = os.path.relpath(schemas)
        ours = f"these classes are not those of {where}: run `retold schemas generate`, and edit the schemas only"
        return [SchemaBreach(output, 1, ours)]
    if update(files, lock) != lock:
        return [_outdated_lock(schemas / LOCK_FILE)]
    return []


def _outdated_lock(path: Path) -> SchemaBreach:
    """The breach for an outdated or missing lock. A missing one must be restored: released versions are stored nowhere else."""
    if path.exists():
        return SchemaBreach(path, 1, "the lock is out of date: run `retold schemas generate`")
    return SchemaBreach(
        path, 1, "the lock is missing: take it back from version control, or run `retold schemas generate` for a first one"
    )


def _write(path: Path, text: str) -> bool:
    if path.exists() and path.read_text(encoding="utf-8", errors="replace") == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_whole(path, text)
    return True


def _difference(old: Lock, new: Lock) -> GenerateReport:
    return GenerateReport(
        written=False,
        added=sorted(new.keys() - old.keys()),
        changed=sorted(name for name in new.keys() & old.keys() if new[name] != old[name]),
        removed=sorted(old.keys() - new.keys()),
    )


def _path_of(name: str, files: Sequence[SchemaFile], schemas: Path) -> Path:
    for file in files:
        if file.name == name:
            return file.path
    namespace, _, short = name.partition(".")
    return schemas / f"{namespace}.avsc" if short == "row" else schemas / namespace / f"{short}.avsc"


def _breach(name: str, error: SchemaError, files: Sequence[SchemaFile], schemas: Path) -> SchemaBreach:
    path = _path_of(name, files, schemas)
    if not path.exists():
        return SchemaBreach(schemas / LOCK_FILE, 1, str(error))
    text = path.read_text(encoding="utf-8", errors="replace")
    word = "version" if '"version"' in text else name.rpartition(".")[2]
    return SchemaBreach(path, line_of(text, word), str(error))
