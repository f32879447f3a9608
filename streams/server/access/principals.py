"""The principals of a server: who holds a token, looked up for each request; the file is read again when it changes."""

from __future__ import annotations

import hmac
import logging
import re
from collections.abc import Mapping
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import NamedTuple

from streams.app import App
from streams.config import Config
from streams.errors import ConfigError
from streams.server.access.jwt_verifier import Claims, JwtVerifier, keys_for
from streams.server.access.principal import Principal, digest_of, with_every_right
from streams.server.access.token_file import (
    JWT,
    LOCAL,
    TOKEN_HOLDER,
    TokenDocument,
    principals_of,
    read_document,
    role_principal,
)

log = logging.getLogger("retold.server")
Stamp = tuple[int, int, int]
STARTS_IN = 20.0
"""s for which a server that starts waits for the keys of an issuer; a request does not."""
MOST_SUBJECTS = 10_000
"""Holders of JSON Web Tokens that are kept."""
JWT_FORM = re.compile(rb"ey[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


class TokenHolder(NamedTuple):
    """`until` in s since 1970."""

    principal: Principal
    until: float


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
        self._document = TokenDocument()
        self._verifier: JwtVerifier | None = None
        self._of_roles: dict[tuple[str, str], Principal] = {}
        if self._file is not None:
            self._stamp = _stamp_of(self._file)
            self._read(self._file, STARTS_IN)

    def local(self) -> Principal | None:
        """Who asks without a token; None: one is needed."""
        return self._own.get(LOCAL)

    def of_token(self, shown: bytes) -> TokenHolder | None:
        """Its holder. It is compared with every one, each in constant time."""
        self._look()
        if self._verifier is not None and is_jwt(shown):
            return self._of_jwt(self._verifier.claims(shown))
        digest, found = digest_of(shown), None
        for each in (*self._own.values(), *self._of_file.values()):
            if hmac.compare_digest(digest, each.digest):
                found = each
        return None if found is None else TokenHolder(found, inf)

    def _of_jwt(self, claims: Claims | None) -> TokenHolder | None:
        """With the rights of the first role of the file that it has."""
        role = None if claims is None else next((name for name in self._document.role if name in claims.roles), None)
        if claims is None or role is None or self._file is None:
            return None
        return TokenHolder(self._with_role(role, claims.subject, self._file), claims.until)

    def _with_role(self, role: str, subject: str, file: Path) -> Principal:
        """Made once for each subject, since every request of it and each of its streams asks again."""
        found = self._of_roles.get((role, subject))
        if found is None:
            found = replace(role_principal(self._document, role, subject, self._app, file), role=role)
            self._of_roles[role, subject] = found
            if len(self._of_roles) > MOST_SUBJECTS:
                del self._of_roles[next(iter(self._of_roles))]
        return found

    def named(self, name: str) -> Principal | None:
        self._look()
        return self._own.get(name) or self._of_file.get(name)

    def is_current(self, principal: Principal) -> bool:
        """Whether it is still as it was: with another token or other rights it is not."""
        if principal.role:
            self._look()
            claims = Claims(principal.name.removeprefix(JWT), {principal.role}, inf)
            holder = None if self._verifier is None else self._of_jwt(claims)
            return holder is not None and holder.principal == principal
        return self.named(principal.name) == principal

    def _look(self) -> None:
        if self._file is None or (stamp := _stamp_of(self._file)) == self._stamp:
            return
        self._stamp = stamp
        try:
            if stamp is None:
                self._of_file, self._document, self._verifier, self._of_roles = {}, TokenDocument(), None, {}
            self._read(self._file, 0.0)
            self.fault = ""
            log.info("%s is read again: it has %d principals", self._file, len(self._of_file))
        except ConfigError as error:
            left = "nobody in it has access" if stamp is None else "those that it had before stay as they were"
            self.fault = f"{str(error).removesuffix('.')}; {left}"
            log.error("%s", self.fault)


    def _read(self, file: Path, wait: float) -> None:
        """Raises ConfigError, and then everything is as it was. `wait`: s for which an issuer's keys are waited for."""
        document = read_document(file)
        found, verifier = principals_of(document, self._app, file), self._verifier
        if document.jwt is None:
            verifier = None
        elif verifier is None or document.jwt != self._document.jwt:
            verifier = JwtVerifier(document.jwt, keys_for(document.jwt, file.parent, wait))
        self._of_file, self._document, self._verifier, self._of_roles = found, document, verifier, {}


def is_jwt(shown: bytes) -> bool:
    """No token of ours has a point in it. It may stand in a cookie as it is."""
    return JWT_FORM.fullmatch(shown) is not None


def _stamp_of(file: Path) -> Stamp | None:
    """What differs after a change; None if the file is not there."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
