"""A file of what somebody has accepted that code decides otherwise."""

from __future__ import annotations

from pathlib import Path

from streams.cli.process.named_files import read_named
from streams.engine.readable import named
from streams.history.difference.accepted_origins import AcceptedOrigin, decoded_origins

LARGEST = 1024 * 1024
"""Bytes of it."""


def read_accepted(file: Path) -> list[AcceptedOrigin]:
    """Raises ConfigError if it cannot be read, or is none that --save writes."""
    return decoded_origins(read_named(file, LARGEST, ". --save writes it"), named(str(file)))
