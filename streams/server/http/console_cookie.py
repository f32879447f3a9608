"""The cookie of a browser that has shown the server's token: it says until when, signed with the token.

Nothing is kept: each server that has the token takes the cookie, and another token ends all of them.
"""

from __future__ import annotations

import hmac
from hashlib import sha256

NAME, LOCAL_NAME = "__Host-retold", "retold"
"""A browser takes the first over TLS alone; on this machine there is none."""
SECONDS = 12 * 3_600
PURPOSE = b"retold console cookie v1:"


def cookie_value(token: bytes, now: float) -> str:
    """`now` in s since 1970."""
    until = str(int(now) + SECONDS)
    return f"{until}.{_signature(token, until)}"


def is_cookie_good(token: bytes, value: str, now: float) -> bool:
    until, _, signature = value.partition(".")
    if not (until.isascii() and until.isdigit() and len(until) <= 12):
        return False
    expected = _signature(token, until)
    return hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace")) and now < int(until)


def set_cookie(name: str, value: str, seconds: int) -> str:
    """The header's value. No script reads it, and no other site's page makes a browser send it."""
    secure = "; Secure" if name == NAME else ""
    return f"{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"


def _signature(token: bytes, until: str) -> str:
    return hmac.new(token, PURPOSE + until.encode(), sha256).hexdigest()
