"""A new broker's data folder. Kafka's own tool formats the first one on a machine, for which a Java starts: 1 s of CPU.

What the tool writes depends on the version of Kafka alone, but for two random names: so what it wrote is kept in the cache, and
later folders are written from that.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import uuid
from pathlib import Path

from streams.localbroker import jars
from streams.private_files import make_private, open_private, write_private

PROPERTIES, CHECKPOINT = "meta.properties", "bootstrap.checkpoint"
WRITTEN = {"version": "1", "node.id": "1"}
"""What the tool writes into the first of these files beside the two names; with anything else it is asked each time."""


def random_name() -> str:
    """As Kafka gives them; none begins with a dash."""
    while (name := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return name


def is_formatted(data: Path) -> bool:
    return (data / PROPERTIES).exists()


def write(data: Path, class_path: list[Path]) -> None:
    """Write a new folder, if it is known how; raises OSError if it cannot be written."""
    with contextlib.suppress(FileNotFoundError):
        checkpoint = _kept(class_path).read_bytes()
        make_private(data)
        with open_private(data / CHECKPOINT) as file:
            file.write(checkpoint)
        names = {**WRITTEN, "cluster.id": random_name(), "directory.id": random_name()}
        draft = data / f"{PROPERTIES}.new"
        write_private(draft, "".join(f"{name}={value}\n" for name, value in names.items()))
        draft.replace(data / PROPERTIES)  # at last, and whole: with it the folder counts as formatted


def keep(data: Path, class_path: list[Path]) -> None:
    """Keep what the tool has written there for later folders."""
    kept = _kept(class_path)
    if kept.exists():
        return
    with contextlib.suppress(OSError):
        lines = (data / PROPERTIES).read_text(encoding="utf-8").splitlines()
        found = {name: value for name, _, value in (line.partition("=") for line in lines if not line.startswith("#"))}
        if {**found, **WRITTEN} == found and found.keys() == {*WRITTEN, "cluster.id", "directory.id"}:
            draft = kept.with_suffix(f".{os.getpid()}")
            draft.write_bytes((data / CHECKPOINT).read_bytes())
            draft.replace(kept)


def _kept(class_path: list[Path]) -> Path:
    mark = "\n".join(map(str, class_path))
    return jars.cache_folder() / f"kafka-{hashlib.sha256(mark.encode()).hexdigest()[:12]}.checkpoint"
