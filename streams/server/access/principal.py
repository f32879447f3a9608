"""A principal: who shows a token, and what it may do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, Literal, NamedTuple

from streams.query.filters import Filter

ALL: Final = "*"
Kind = Literal["publish", "read", "operate", "correct", "admin"]


class Right(NamedTuple):
    """`of` is the type of an event (publish), what is read (`rows/order`), or a namespace (operate, correct)."""

    kind: Kind
    of: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.of}".strip()


ADMIN: Final = Right("admin")
READ_ALL: Final = Right("read", ALL)
"""For what is told of the whole application at once: stories, and what would have happened if."""


@dataclass(frozen=True)
class Principal:
    """What it may do, as patterns: `order.place`, `order.*` and `*`; `rows/order`, `rows/*` and `*`; `order` and `*`.

    `only` has by the name of a table conditions on its rows: all others are not there for it. `publish_only` has by the type of an
    event conditions on its data. `digest` is the SHA-256 of its token; empty: none is its own.
    """

    name: str
    publish: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    operate: tuple[str, ...] = ()
    correct: tuple[str, ...] = ()
    admin: bool = False
    only: Mapping[str, Sequence[Filter]] = field(default_factory=dict)
    publish_only: Mapping[str, Sequence[Filter]] = field(default_factory=dict)
    digest: bytes = field(default=b"", repr=False)
    bounded: bool = False
    """Whether the limits of requests and streams apply; `rate` is how many requests a second, 0: as in the settings."""
    rate: int = 0
    role: str = ""
    """Of a JSON Web Token, the role that its rights are from."""

    def may(self, right: Right) -> bool:
        if right.kind == "admin":
            return self.admin
        if right == READ_ALL and self.only:
            return False
        patterns: tuple[str, ...] = getattr(self, right.kind)
        return any(covers(pattern, right.of) for pattern in patterns)

    def some(self, kind: Kind, of: str, names: Iterable[str]) -> list[str]:
        """Of these names those that it has the right to; `of` stands before each: `events/`."""
        return [name for name in names if self.may(Right(kind, f"{of}{name}"))]


def covers(pattern: str, name: str) -> bool:
    """`views/orders-of` covers `views/orders-of/{customer}`, too."""
    if pattern.endswith(ALL):
        return name.startswith(pattern.removesuffix(ALL))
    return name == pattern or name.startswith(f"{pattern}/")


def with_every_right(name: str, token: str | None = None) -> Principal:
    """The holder of the one token of a server, or whoever asks a server that needs none."""
    every = (ALL,)
    digest = b"" if token is None else digest_of(token.encode())
    return Principal(name, every, every, every, every, admin=True, digest=digest)


def digest_of(token: bytes) -> bytes:
    """A token has 256 random bits, so nothing slower is needed to keep it from being guessed."""
    return sha256(token).digest()
