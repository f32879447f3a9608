"""`tokens.toml`: the principals of a server, each with the SHA-256 of its token and its rights."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Final

import msgspec

from streams.app import App
from streams.config import Config
from streams.data import Record
from streams.errors import ConfigError, did_you_mean
from streams.query.filters import Filter
from streams.server.access.principal import ALL, Principal, Right
from streams.server.access.token_conditions import conditions_of
from streams.server.access.token_lines import line_of, principal_lines

LARGEST: Final = 1024 * 1024
"""Bytes."""
MOST: Final = 1_000
"""Principals: a token is compared with each."""
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}")
DIGEST: Final = re.compile(r"[0-9a-f]{64}")
TOKEN_HOLDER, LOCAL = "token", "loopback"
"""The names of who needs no entry: the holder of RETOLD_HTTP_TOKEN, and this machine where no token is needed."""
JWT: Final = "jwt:"
"""Before the subject of a JSON Web Token, in the name of its principal: no entry of the file has such a name."""
READ: Final = ("rows", "events", "projections", "views")


class TokenEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A `[[principal]]`. `sub` is what stands for `{sub}` in its conditions; empty: its name. `rate` 0: as the settings say."""

    name: str
    sha256: str
    publish: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    operate: tuple[str, ...] = ()
    correct: tuple[str, ...] = ()
    admin: bool = False
    sub: str = ""
    only: dict[str, str] = {}
    publish_only: dict[str, str] = {}
    rate: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0


class RoleEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A `[role.NAME]`: the rights of whoever has a JSON Web Token with that role. `{sub}` is the subject of the token."""

    publish: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    operate: tuple[str, ...] = ()
    correct: tuple[str, ...] = ()
    admin: bool = False
    only: dict[str, str] = {}
    publish_only: dict[str, str] = {}
    rate: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0


class JwtEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[jwt]`: whose JSON Web Tokens are taken. `keys` is a file or an address by https; empty: the issuer tells where.

    `claim` is where the token has its roles.
    """

    issuer: str
    audience: str
    keys: str = ""
    claim: str = "roles"


class TokenDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    principal: tuple[TokenEntry, ...] = ()
    jwt: JwtEntry | None = None
    role: dict[str, RoleEntry] = {}


def check_tokens(config: Config, app: App) -> None:
    """Raises ConfigError for a file of principals that cannot be used."""
    if config.http_tokens is not None:
        principals_of(read_document(config.http_tokens), app, config.http_tokens)


def principals_of(document: TokenDocument, app: App, file: Path) -> Mapping[str, Principal]:
    """By their names. Raises ConfigError for a wrong entry, also of a role."""
    for role in document.role:
        role_principal(document, role, "somebody", app, file)
    found: dict[str, Principal] = {}
    lines = _lines_of(file)
    for entry, line in zip_longest(document.principal, lines[: len(document.principal)]):
        where = f"the principal {entry.name[:100]!r} in {file}{'' if line is None else f', line {line}'}"
        made = _principal(entry, app, where)
        if made.name in found:
            raise ConfigError(f"{where} is there twice; one entry for each name was expected")
        if any(made.digest == other.digest for other in found.values()):
            raise ConfigError(f"{where} has the sha256 of another one; a token of its own was expected")
        found[made.name] = made
    if len(found) > MOST:
        raise ConfigError(f"{file} has {len(found):,} principals; at most {MOST:,} were expected")
    return found


def _lines_of(file: Path) -> Sequence[int]:
    """Where its entries begin; one that is not written yet has no line."""
    try:
        return principal_lines(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []


def role_principal(document: TokenDocument, role: str, subject: str, app: App, file: Path) -> Principal:
    """Who has a JSON Web Token with this role. Raises ConfigError."""
    where = f"the role {role[:100]!r} in {file}"
    return _with_rights(f"{JWT}{subject}", document.role[role], subject, app, where)


def read_document(file: Path) -> TokenDocument:
    """Raises ConfigError, with the line that is wrong."""
    content = b""
    try:
        with file.open("rb") as opened:
            mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
            content = opened.read(LARGEST + 1)
        if mode & 0o022:
            raise ConfigError(f"other users may write {file}, and so give themselves any right: `chmod go-w {file}`")
        if len(content) > LARGEST:
            raise ConfigError(f"{file} has more than {LARGEST:,} bytes; a file of principals was expected")
        return msgspec.convert(tomllib.loads(content.decode()), TokenDocument)
    except (OSError, ValueError, msgspec.MsgspecError, RecursionError) as error:  # ValueError: no TOML, or no UTF-8
        line = line_of(str(error), content.decode(errors="replace")) if isinstance(error, msgspec.MsgspecError) else None
        where = "" if line is None else f", line {line},"
        raise ConfigError(f"{file}{where} (RETOLD_HTTP_TOKENS) cannot be used: {error}") from error


def _principal(entry: TokenEntry, app: App, where: str) -> Principal:
    if not NAME.fullmatch(entry.name):
        raise ConfigError(f"{where}: the name has other characters than A-Z a-z 0-9 . _ @ -, or more than 100")
    if entry.name in (TOKEN_HOLDER, LOCAL):
        raise ConfigError(f"{where}: this name is retold's own; another one was expected")
    if not DIGEST.fullmatch(entry.sha256):
        raise ConfigError(f"{where}: sha256 is no digest; 64 digits and letters a-f were expected, which `retold token new` writes")
    made = _with_rights(entry.name, entry, entry.sub or entry.name, app, where)
    return replace(made, digest=bytes.fromhex(entry.sha256))


def _with_rights(name: str, entry: TokenEntry | RoleEntry, subject: str, app: App, where: str) -> Principal:
    check_rights(entry.publish, entry.read, (*entry.operate, *entry.correct), app, where)
    rows = {it.name: it.row_type for it in app.namespaces} | {it.name: it.row_type for it in app.projections}
    made = Principal(
        name, entry.publish, entry.read, entry.operate, entry.correct, entry.admin,
        _conditions(entry.only, rows, subject, f"{where}, only"),
        _conditions(entry.publish_only, app.event_types(), subject, f"{where}, publish_only"),
        bounded=True, rate=entry.rate,
    )  # fmt: skip
    for table in made.only:
        if made.may(Right("operate", table)) or made.may(Right("correct", table)):
            raise ConfigError(f"{where} may operate or correct {table}, which shows all of it: with `only` for {table} it may not")
    return made


def _conditions(
    given: Mapping[str, str], types: Mapping[str, type[Record]], subject: str, where: str
) -> Mapping[str, Sequence[Filter]]:
    """A misspelt name would leave everything to be seen."""
    for name in given:
        if name not in types:
            raise ConfigError(f"{where}: there is no {name[:100]!r}{did_you_mean(name, types)}; there are {', '.join(types)}")
    return {name: conditions_of(text, types[name], subject, f"{where}, {name}") for name, text in given.items()}


def check_rights(publish: Iterable[str], read: Iterable[str], spaces: Iterable[str], app: App, where: str) -> None:
    """Raises ConfigError for a right to what the application does not have: a misspelt one would grant nothing in silence."""
    names = [space.name for space in app.namespaces]
    for wanted, known in (
        (publish, [*app.event_types(), *(f"{name}.{ALL}" for name in names), ALL]),
        (read, readable(app)),
        (spaces, [*names, ALL]),
    ):
        for each in wanted:
            if each not in known:
                there = ", ".join(known)
                raise ConfigError(f"{where}: {app.name} has no {each[:100]!r}{did_you_mean(each, known)}; there are {there}")


def readable(app: App) -> list[str]:
    """All that a right to read may name."""
    names = {
        "rows": [space.name for space in app.namespaces],
        "events": [space.name for space in app.namespaces],
        "projections": [it.name for it in app.projections],
        "views": [name for view in app.views for name in {view.path.strip("/"), _before_names(view.path)} if name],
    }
    return [*(f"{kind}/{name}" for kind in READ for name in [*names[kind], ALL]), ALL]


def _before_names(path: str) -> str:
    """`orders-of` of `orders-of/{customer}`."""
    return path.strip("/").partition("{")[0].rstrip("/")
