"""Texts that a client keeps and gives back, and that it cannot read, change, or compare."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from hashlib import sha256
from typing import Final

NONCE, TAG, BLOCK = 16, 16, 32
PADDED: Final = 64
"""Texts are filled up to a multiple of so many bytes: their length would tell how large the numbers in them are."""


class Seal:
    """Encrypted by a stream of HMAC-SHA256, and then signed. Who has the same secret opens it, for the same purpose."""

    def __init__(self, secret: bytes, purpose: str) -> None:
        self._key, self._signing = (_hash(secret, f"retold {purpose}: {use}".encode()) for use in ("encrypt", "sign"))

    def sealed(self, text: str, about: str) -> str:
        """`about` is what it is opened for, too: a seal about one thing says nothing of another."""
        plain = text.encode() + b"\0"
        plain += bytes(-len(plain) % PADDED)
        nonce = secrets.token_bytes(NONCE)
        content = nonce + self._crossed(nonce, plain)
        return base64.urlsafe_b64encode(content + self._tag(content, about)).decode().rstrip("=")

    def opened(self, sealed: str, about: str) -> str | None:
        """None for what was not sealed here, or about something else."""
        try:
            raw = base64.urlsafe_b64decode(sealed.encode("ascii") + b"=" * (-len(sealed) % 4))
        except (UnicodeEncodeError, binascii.Error):
            return None
        content, tag = raw[:-TAG], raw[-TAG:]
        if len(content) < NONCE or not hmac.compare_digest(tag, self._tag(content, about)):
            return None
        return self._crossed(content[:NONCE], content[NONCE:]).partition(b"\0")[0].decode()

    def _crossed(self, nonce: bytes, text: bytes) -> bytes:
        blocks = (_hash(self._key, nonce + at.to_bytes(4, "big")) for at in range(-(-len(text) // BLOCK)))
        return bytes(one ^ other for one, other in zip(text, b"".join(blocks), strict=False))

    def _tag(self, content: bytes, about: str) -> bytes:
        return _hash(self._signing, content + b"\0" + about.encode("utf-8", "surrogatepass"))[:TAG]


def _hash(key: bytes, content: bytes) -> bytes:
    return hmac.new(key, content, sha256).digest()
