"""Which pages are this server's own, and CORS: which of other origins may use the API, and read what it answers."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from streams.config import Config

METHODS = ("GET", "HEAD", "POST")
SENT = (
    "Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", "Last-Event-ID", "Prefer", "traceparent",
)  # fmt: skip
"""Headers that a page may send."""
READ = (
    "ETag", "Link", "Location", "Preference-Applied", "Retold-As-Of", "Retold-Held-Back", "Retold-Lag", "Retold-Position",
    "Retold-Rebuilding", "Retold-Uncorrected", "Retold-Unreadable", "Retry-After", "Server-Timing", "WWW-Authenticate",
)  # fmt: skip
"""Headers of an answer that a page may read."""
SECONDS = 600
"""For which a browser need not ask again what is allowed."""


def origins_of(config: Config) -> frozenset[str]:
    return frozenset(config.http_origins.split(",")) if config.http_origins else frozenset()


def is_ours(origin: str | None, host: str | None) -> bool:
    """Whether a page of `origin` is one of this server's, which is at `host`; without an Origin it is no page at all."""
    try:
        return origin is None or urlsplit(origin).netloc == host
    except ValueError:  # such as `http://[`, which is no address
        return False


def allowing(origins: frozenset[str]) -> Middleware:
    """To be before the guard: a browser asks first what it may send, and shows no token for that. Cookies are never allowed."""
    return Middleware(
        CORSMiddleware, allow_origins=sorted(origins), allow_methods=METHODS, allow_headers=SENT, expose_headers=READ,
        max_age=SECONDS,
    )  # fmt: skip
