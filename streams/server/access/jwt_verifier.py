"""Verifies JSON Web Tokens of one issuer: who it is, and which roles it has."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from streams.errors import ConfigError
from streams.server.access.jwt_keys import AddressKeys, FileKeys, Jwk, fetch
from streams.server.access.token_file import JwtEntry

ALGORITHMS: Final = ("ES256", "RS256", "Ed25519")
"""RFC 9864 has Ed25519 in place of EdDSA, which could be two."""
LEEWAY: Final = 60
"""s by which clocks may differ."""
LONGEST: Final = 8 * 1024
SUBJECT: Final = 200
"""Characters of `sub` at most."""
KEPT: Final = 60.0
"""s for which a token that was verified is not verified again: it costs some 100 µs."""
MOST: Final = 10_000


class Keys(Protocol):
    def get(self, kid: str) -> Jwk | None: ...


class Claims(NamedTuple):
    """`until` in s since 1970."""

    subject: str
    roles: Collection[str]
    until: float


def keys_for(entry: JwtEntry, folder: Path, wait: float) -> Keys:
    """From a file, beside that of the principals if it is relative, or from an address. Raises ConfigError.

    `wait`: s for which keys from an address are waited for.
    """
    if entry.keys and "://" not in entry.keys:
        return FileKeys(folder / entry.keys)
    where = entry.keys or entry.issuer
    if not where.startswith("https://"):
        raise ConfigError(f"the keys of [jwt] are at {where[:200]!r}; a file, or an address by https, was expected")
    return AddressKeys(entry.issuer, entry.keys, fetch, wait=wait)


class JwtVerifier:
    """To be used by one thread. Raises ConfigError without the package that verifies."""

    def __init__(self, entry: JwtEntry, keys: Keys, clock: Callable[[], float] = time.time) -> None:
        try:
            from joserfc import errors, jwk, jwt
        except ImportError as error:
            raise ConfigError("[jwt] needs a package more: `pip install retold[jwt]`") from error
        self._jwt, self._jwk, self._errors = jwt, jwk, errors
        self._entry, self._keys, self._clock = entry, keys, clock
        self._known: dict[bytes, tuple[Claims, float]] = {}

    def claims(self, token: bytes) -> Claims | None:
        """None for whatever is not a token that this issuer gave to this audience, and that counts now."""
        now, digest = self._clock(), sha256(token).digest()
        found, verified = self._known.get(digest, (None, 0.0))
        if found is None or not 0 <= now - verified < KEPT:
            self._known.pop(digest, None)
            found = self._verified(token, now)
            if found is not None:
                self._known[digest] = found, now
                if len(self._known) > MOST:
                    del self._known[next(iter(self._known))]
        return found if found is not None and now < found.until else None

    def _verified(self, token: bytes, now: float) -> Claims | None:
        entry = self._entry
        registry = self._jwt.JWTClaimsRegistry(
            now=int(now), leeway=LEEWAY, iss={"essential": True, "value": entry.issuer},
            aud={"essential": True, "value": entry.audience}, sub={"essential": True}, exp={"essential": True},
        )  # fmt: skip
        if len(token) > LONGEST:
            return None
        try:
            claims = self._jwt.decode(token, self._key, algorithms=[*ALGORITHMS]).claims
            registry.validate(claims)
            return _claims(claims, entry.claim)
        except (self._errors.JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None  # it may be anything that somebody sends

    def _key(self, guest: Any) -> Any:
        """The key that the token names: without a name, any would have to be tried."""
        kid = guest.headers()["kid"]
        found = self._keys.get(kid) if isinstance(kid, str) else None
        if found is None:
            raise ValueError("no such key")
        return self._jwk.import_key(dict(found))


def _claims(claims: Mapping[str, Any], claim: str) -> Claims:
    subject, roles, until = claims["sub"], claims.get(claim, []), claims["exp"]
    if not (isinstance(subject, str) and 0 < len(subject) <= SUBJECT and subject.isprintable()):
        raise ValueError("sub")
    names = [roles] if isinstance(roles, str) else [it for it in roles if isinstance(it, str)]
    return Claims(subject, frozenset(names), float(until) + LEEWAY)
