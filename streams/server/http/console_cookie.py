"""The cookie of a browser that has shown a token: it says whose, and until when, signed with the server's secret.

Nothing is kept: each server that has the secret takes the cookie, and another token of that principal ends it.
"""

from __future__ import annotations

import hmac
from hashlib import sha256

from streams.server.access.principal import Principal
from streams.server.access.principals import Principals, TokenHolder, is_jwt

NAME, LOCAL_NAME = "__Host-retold", "retold"
"""A browser takes the first over TLS alone; on this machine there is none."""
SECONDS = 12 * 3_600
PURPOSE = b"retold console cookie v2:"


def cookie_value(secret: bytes, principal: Principal, now: float, shown: str = "") -> str:
    """`now` in s since 1970. A JSON Web Token that was `shown` is its own cookie: it says all, and is signed."""
    if principal.role:
        return shown
    until = str(int(now) + SECONDS)
    return f"{until}.{principal.name}.{_signature(secret, principal, until)}"


def cookie_holder(secret: bytes, value: str, principals: Principals, now: float) -> TokenHolder | None:
    """Whose it is; None for one that was made up, that has ended, or whose principal has another token now."""
    if is_jwt(value.encode("utf-8", "replace")):
        return principals.of_token(value.encode("utf-8", "replace"))
    until, _, rest = value.partition(".")
    name, _, signature = rest.rpartition(".")
    if not (until.isascii() and until.isdigit() and len(until) <= 12):
        return None
    principal = principals.named(name)
    if principal is None:
        return None
    expected = _signature(secret, principal, until)
    good = hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace"))
    return TokenHolder(principal, int(until)) if good and now < int(until) else None


def set_cookie(name: str, value: str, seconds: int) -> str:
    """The header's value. No script reads it, and no other site's page makes a browser send it."""
    secure = "; Secure" if name == NAME else ""
    return f"{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"


def _signature(secret: bytes, principal: Principal, until: str) -> str:
    content = f"{until}.{principal.name}.{principal.digest.hex()}".encode()
    return hmac.new(secret, PURPOSE + content, sha256).hexdigest()
