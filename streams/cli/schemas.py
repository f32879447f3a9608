"""The `schemas` commands: classes from schema files, versions frozen and listed."""

from __future__ import annotations

from streams.cli.checks import shown
from streams.cli.screen import json_line, say, table, talk
from streams.config import load
from streams.load import events_file
from streams.schemas import generate as formats
from streams.schemas.lock import LOCK_FILE, load_lock


def generate() -> None:
    config = load()
    report = formats.generate(config.project, config.schemas, events_file(config))
    for word, names in (("new", report.added), ("changed", report.changed), ("gone", report.removed)):
        for name in names:
            say(f"{word} {name}")
    for file in report.files:
        talk(f"{shown(file)} is written.")
    if not report.written:
        talk("Nothing has changed.")


def release() -> None:
    config = load()
    names = formats.release(config.schemas)
    for name in names:
        say(f"released {name}")
    lock = shown(config.schemas / LOCK_FILE)
    talk(f"{lock} is written: commit it." if names else "All versions were released already.")


def show(as_json: bool) -> None:
    versions = [(name, version) for name, of in load_lock(load().schemas).items() for version in of]
    if as_json:
        for name, v in versions:
            json_line({"name": name, "version": v.version, "id": v.id, "released": v.released, "schema": v.schema})
    else:
        rows = [(name, v.version, v.id, "released" if v.released else "draft") for name, v in versions]
        table(("schema", "version", "id", "state"), rows, right=("version", "id"))
