"""The secret that cookies of the console are signed with."""

from __future__ import annotations

import contextlib
import os
import re
import secrets

from streams.config import Config
from streams.private_files import make_private, write_private

FILE = "console.secret"
SECRET = re.compile(r"[A-Za-z0-9_-]{43}")


def console_secret(config: Config) -> bytes:
    """RETOLD_HTTP_TOKEN, which servers of an application share; else one that this machine makes once, in its state folder.

    No digest of `tokens.toml` may be used: whoever reads that file could make a cookie.
    """
    if config.http_token is not None:
        return config.http_token.encode()
    make_private(config.state)
    file = config.state / FILE
    for _ in range(2):
        with contextlib.suppress(FileNotFoundError):
            found = file.read_text(encoding="ascii", errors="replace").strip()
            if SECRET.fullmatch(found):
                return found.encode()
            file.unlink()
        made = config.state / f"{FILE}.{secrets.token_hex(8)}"
        write_private(made, secrets.token_urlsafe(32))
        with contextlib.suppress(FileExistsError):  # another server of this machine was first
            os.link(made, file)
        made.unlink()
    return file.read_bytes()
