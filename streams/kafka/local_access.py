"""The options of clients of a broker that retold started for this project. If it has a password, it is in the state folder."""

from __future__ import annotations

import contextlib
from pathlib import Path

from streams.config import Config


def client_file(state: Path) -> Path:
    """Options for librdkafka, one `name=value` a line, as `kcat -F` reads them too; none for a broker without a password."""
    return state / "kafka" / "client.properties"


def options_of(config: Config) -> dict[str, str]:
    """For another broker that RETOLD_BROKER names: the settings. For one of our own: what it has written for its clients."""
    address, own = read_options(client_file(config.state))
    return dict(config.kafka) if config.broker and config.broker != address else own


def read_options(file: Path) -> tuple[str, dict[str, str]]:
    """The broker's address and the options; none if there is no such file, or it is another user's."""
    lines: list[str] = []
    with contextlib.suppress(FileNotFoundError, NotADirectoryError, PermissionError):
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    found = {name: value for name, _, value in (line.partition("=") for line in lines) if value}
    return found.pop("bootstrap.servers", ""), found
