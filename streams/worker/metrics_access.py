"""Who may see a worker's metrics: without a token this machine alone, with one whoever shows it."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from hashlib import sha256

from streams.listening import LOOPBACK, host_name

BEARER = "bearer "
Refusal = Callable[[Mapping[str, str]], tuple[int, str] | None]
"""Of a request's headers, with names in small letters: status and sentence for who may not; None: it may."""


def refusal_for(token: str | None, host: str) -> Refusal:
    """`host` is that of the setting."""
    return _refusal_for_strangers(LOOPBACK | {host.lower()}) if token is None else _refusal_without(token)


def _refusal_without(token: str) -> Refusal:
    """Digests are compared, in constant time: a token of any length, with any letters."""
    expected = sha256(token.encode()).digest()

    def refusal(headers: Mapping[str, str]) -> tuple[int, str] | None:
        shown = headers.get("authorization", "")
        found = sha256(shown[len(BEARER) :].strip().encode()).digest()
        if shown.lower().startswith(BEARER) and hmac.compare_digest(found, expected):
            return None
        return 401, "the header `Authorization: Bearer …` with the token of RETOLD_WORKER_METRICS_TOKEN was expected"

    return refusal


def _refusal_for_strangers(hosts: frozenset[str]) -> Refusal:
    """A web page could point its own host name here (DNS rebinding), and a browser would give it our answers."""

    def refusal(headers: Mapping[str, str]) -> tuple[int, str] | None:
        if host_name(headers.get("host")) in hosts:
            return None
        return 421, "without a token this worker answers to localhost alone; see RETOLD_WORKER_METRICS_TOKEN"

    return refusal
