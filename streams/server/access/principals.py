"""The principals of a server: who holds a token, looked up for each request; the file is read again when it changes."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Mapping
from pathlib import Path

from streams.app import App
from streams.config import Config
from streams.errors import ConfigError
from streams.server.access.principal import Principal, digest_of, with_every_right
from streams.server.access.token_file import LOCAL, TOKEN_HOLDER, read_principals

log = logging.getLogger("retold.server")
Stamp = tuple[int, int, int]


class Principals:
    """`fault` is a sentence about the file as it is now; empty: it is good. To be used by one thread.

    A file that is gone leaves nobody of it a right. One that does not read changes nothing: it may be written just now.
    Raises ConfigError for a file that cannot be used when the server starts.
    """

    def __init__(self, config: Config, app: App) -> None:
        self._file, self._app = config.http_tokens, app
        self.fault = ""
        self.needs_token = config.needs_token
        token = config.http_token
        own = with_every_right(LOCAL) if not self.needs_token else None
        own = with_every_right(TOKEN_HOLDER, token) if token is not None else own
        self._own = {} if own is None else {own.name: own}
        self._stamp: Stamp | None = None
        self._of_file: Mapping[str, Principal] = {}
        if self._file is not None:
            self._stamp = _stamp_of(self._file)
            self._of_file = read_principals(self._file, app)

    def local(self) -> Principal | None:
        """Who asks without a token; None: one is needed."""
        return self._own.get(LOCAL)

    def of_token(self, shown: bytes) -> Principal | None:
        """Its holder. It is compared with every one, each in constant time."""
        self._look()
        digest, found = digest_of(shown), None
        for each in (*self._own.values(), *self._of_file.values()):
            if hmac.compare_digest(digest, each.digest):
                found = each
        return found

    def named(self, name: str) -> Principal | None:
        self._look()
        return self._own.get(name) or self._of_file.get(name)

    def is_current(self, principal: Principal) -> bool:
        """Whether it is still as it was: with another token or other rights it is not."""
        return self.named(principal.name) == principal

    def _look(self) -> None:
        if self._file is None or (stamp := _stamp_of(self._file)) == self._stamp:
            return
        self._stamp = stamp
        try:
            if stamp is None:
                self._of_file = {}
            self._of_file = read_principals(self._file, self._app)
            self.fault = ""
            log.info("%s is read again: it has %d principals", self._file, len(self._of_file))
        except ConfigError as error:
            left = "nobody in it has access" if stamp is None else "those that it had before stay as they were"
            self.fault = f"{str(error).removesuffix('.')}; {left}"
            log.error("%s", self.fault)


def _stamp_of(file: Path) -> Stamp | None:
    """What differs after a change; None if the file is not there."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
