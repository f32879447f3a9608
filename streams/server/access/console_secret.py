"""The secret that cookies of the console are signed with."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
from pathlib import Path

from streams.config import Config
from streams.private_files import make_private, write_private

log = logging.getLogger("retold.server")
FILE = "console.secret"
SECRET = re.compile(r"[A-Za-z0-9_-]{43}")


def console_secret(config: Config) -> bytes:
    """RETOLD_HTTP_TOKEN, which servers of an application share; else one that this machine makes once, in its state folder.

    No digest of `tokens.toml` may be used: whoever reads that file could make a cookie. Where none can be kept, it is of this
    process alone, and that is logged: whoever asks for rows needs none.
    """
    if config.http_token is not None:
        return config.http_token.encode()
    try:
        return _kept_secret(config.state)
    except OSError as error:
        log.warning(
            "%s cannot be kept (%s), so each process of this server signs with a secret of its own until it is started again: who "
            "signs in to the console may have to do so more than once. Make room on its disk, or set RETOLD_STATE to a folder that "
            "can be written", config.state / FILE, error.strerror or error,
        )  # fmt: skip
        return secrets.token_urlsafe(32).encode()


def _kept_secret(state: Path) -> bytes:
    """Raises OSError."""
    make_private(state)
    file = state / FILE
    for _ in range(2):
        with contextlib.suppress(FileNotFoundError):
            found = file.read_text(encoding="ascii", errors="replace").strip()
            if SECRET.fullmatch(found):
                return found.encode()
            file.unlink()
        made = state / f"{FILE}.{secrets.token_hex(8)}"
        try:
            write_private(made, secrets.token_urlsafe(32))
            with contextlib.suppress(FileExistsError):  # another server of this machine was first
                os.link(made, file)
        finally:
            made.unlink(missing_ok=True)
    return file.read_bytes()
