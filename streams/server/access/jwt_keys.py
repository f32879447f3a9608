"""The public keys of an issuer of JSON Web Tokens: from a file, or from its address by https alone."""

from __future__ import annotations

import json
import logging
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any, Final, Protocol

from streams.errors import ConfigError

log = logging.getLogger("retold.server")
LARGEST: Final = 1024 * 1024
"""Bytes."""
KEPT: Final = 3_600.0
"""s for which keys from an address are taken as they are."""
AGAIN: Final = 60.0
"""s between two times that the address is asked: anybody may send a key id that nobody knows."""
FETCH_SECONDS: Final = 5.0
"""In which an address has to answer, and again for the whole of its answer to come."""
DISCOVERY: Final = "/.well-known/openid-configuration"
PRIVATE: Final = ("d", "k")
"""Members of keys that sign, or that both sides share."""
Fetch = Callable[[str], bytes]
Jwk = Mapping[str, Any]


class Body(Protocol):
    def read1(self, size: int, /) -> bytes: ...


def keys_of(content: bytes, where: str) -> Mapping[str, Jwk]:
    """By their ids the keys of a JWK set. Raises ConfigError."""
    try:
        found = json.loads(content)["keys"]
        keys = {it["kid"]: it for it in found if isinstance(it["kid"], str) and it["kty"] in ("EC", "RSA", "OKP")}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(f"{where} is no set of keys, each with a kid: {type(error).__name__} {error}") from error
    if not keys:
        raise ConfigError(f"{where} has no public key of a kind that is taken: EC, RSA or OKP, with a kid")
    if any(name in it for it in keys.values() for name in PRIVATE):
        raise ConfigError(f"{where} has a private key, which only the issuer may have: public keys were expected")
    return keys


class FileKeys:
    """Read again when the file changes. Raises ConfigError for one that cannot be used at the beginning."""

    def __init__(self, file: Path) -> None:
        self._file, self._time = file, -1
        self._keys: Mapping[str, Jwk] = {}
        self._read()

    def get(self, kid: str) -> Jwk | None:
        try:
            self._read()
        except ConfigError as error:
            log.error("%s; the keys before it stay", error)
        return self._keys.get(kid)

    def _read(self) -> None:
        try:
            changed = self._file.stat().st_mtime_ns
            if changed == self._time:
                return
            with self._file.open("rb") as opened:
                content = opened.read(LARGEST)
        except OSError as error:
            raise ConfigError(f"the keys in {self._file} cannot be read: {error.strerror}") from error
        self._time = changed
        self._keys = keys_of(content, str(self._file))


class AddressKeys:
    """Fetched in a thread beside the requests: none waits for the issuer, and until the keys are here there is none.

    `wait`: s for which the first keys are waited for, when the server starts.
    """

    def __init__(
        self, issuer: str, address: str, fetch: Fetch, clock: Callable[[], float] = time.monotonic, *, wait: float = 0.0
    ) -> None:
        self._issuer, self._address, self._fetch, self._clock = issuer, address, fetch, clock
        self._keys: Mapping[str, Jwk] = {}
        self._asked, self._fetched, self._asking = clock(), float("-inf"), threading.Lock()
        self._begin().join(wait)

    def get(self, kid: str) -> Jwk | None:
        now, found = self._clock(), self._keys.get(kid)
        if (found is None or now - self._fetched > KEPT) and now - self._asked >= AGAIN:
            self._asked = now
            self._begin()
        return found

    def _begin(self) -> threading.Thread:
        asking = threading.Thread(target=self.ask, name="jwt keys", daemon=True)
        asking.start()
        return asking

    def ask(self) -> None:
        """What cannot be fetched leaves the keys as they were. While they are being fetched, nobody asks a second time."""
        if not self._asking.acquire(blocking=False):
            return
        try:
            address = self._address or self._discovered()
            self._keys, self._fetched = keys_of(self._fetch(address), address), self._clock()
        except (OSError, ValueError, HTTPException, ConfigError) as error:
            log.error("the keys of %s cannot be fetched: %s; those before stay (%d)", self._issuer, error, len(self._keys))
        finally:
            self._asking.release()

    def _discovered(self) -> str:
        where = f"{self._issuer.rstrip('/')}{DISCOVERY}"
        told = json.loads(self._fetch(where))
        if not isinstance(told, dict) or told.get("issuer") != self._issuer or not isinstance(told.get("jwks_uri"), str):
            raise ConfigError(f"{where} does not tell where the keys of {self._issuer} are")
        return str(told["jwks_uri"])


def fetch(address: str) -> bytes:
    """By https alone, without going elsewhere. Raises OSError and ValueError."""
    if not address.startswith("https://"):
        raise ValueError(f"{address[:200]!r} is no https address")
    with _opener.open(address, timeout=FETCH_SECONDS) as answer:
        return body_of(answer)


def body_of(answer: Body, clock: Callable[[], float] = time.monotonic) -> bytes:
    """LARGEST bytes at most. Raises TimeoutError for one that does not end in time, though something comes again and again."""
    found, deadline = bytearray(), clock() + FETCH_SECONDS
    while len(found) < LARGEST and (part := answer.read1(LARGEST - len(found))):
        found += part
        if clock() > deadline:
            raise TimeoutError(f"the answer is not whole after {FETCH_SECONDS:g} s; {len(found)} bytes of it came")
    return bytes(found)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> None:
        """The address that was set is the one that is believed."""


_opener = urllib.request.build_opener(_NoRedirects)
