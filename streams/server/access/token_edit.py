"""Adds an entry to a file of principals, or takes one out, and leaves all else in it as somebody wrote it."""

from __future__ import annotations

import json
import re
import secrets
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from streams.errors import ConfigError, did_you_mean
from streams.private_files import replace_whole
from streams.server.access.principal import digest_of
from streams.server.access.token_file import TokenDocument, TokenEntry, read_document

PREFIX: Final = "rtd_"
HEADER: Final = re.compile(r"(?m)^\[\[principal\]\]")
NEXT: Final = re.compile(r"(?m)^\[(?!principal\.)")
PLAIN: Final = re.compile(r"[A-Za-z0-9_-]+")


def made_token() -> str:
    """256 random bits. The prefix lets a scanner of repositories know what it has found."""
    return f"{PREFIX}{secrets.token_urlsafe(32)}"


def digest_text(token: str) -> str:
    """As it stands in the file."""
    return digest_of(token.encode()).hex()


def with_entry(text: str, entry: TokenEntry) -> str:
    before = f"{text.rstrip()}\n\n" if text.strip() else ""
    lines = [f"{name} = {_value(value)}" for name, value in _members(entry)]
    return "\n".join([f"{before}[[principal]]", *lines, ""])


def without_entry(text: str, name: str) -> str:
    """Raises ConfigError if there is none of this name, or if it cannot be taken out without touching others."""
    document = parsed(text)
    names = [it.name for it in document.principal]
    if name not in names:
        there = f"there are {', '.join(names)}" if names else "there is none"
        raise ConfigError(f"there is no principal {name[:100]!r}{did_you_mean(name, names)}; {there}")
    begins = [it.start() for it in HEADER.finditer(text)]
    if len(begins) == len(names):
        at = names.index(name)
        following = NEXT.search(text, begins[at] + 1)
        left = text[: begins[at]] + ("" if following is None else text[_end(text, following.start()) :])
        if _parses_as(left, replace(document, principal=tuple(it for it in document.principal if it.name != name))):
            return left
    raise ConfigError(f"the entry of {name} is written in a way that cannot be taken out safely: delete it with an editor")


def _end(text: str, following: int) -> int:
    """Where an entry ends: comments above the next one are the next one's."""
    lines = text[:following].split("\n")[:-1]
    while lines and lines[-1].startswith("#"):
        following -= len(lines.pop()) + 1
    return following


def parsed(text: str) -> TokenDocument:
    return msgspec.convert(tomllib.loads(text), TokenDocument)


def _parses_as(text: str, wanted: TokenDocument) -> bool:
    try:
        return parsed(text) == wanted
    except (ValueError, msgspec.MsgspecError):
        return False


def text_of(file: Path) -> str:
    """Its text if it reads as a file of principals; empty if there is none yet. Raises ConfigError."""
    if not file.exists():
        return ""
    read_document(file)
    return file.read_text(encoding="utf-8")


def replace_file(file: Path, text: str) -> None:
    """At once, so that no server reads half of it; for its owner alone if it is new. Raises ConfigError."""
    try:
        replace_whole(file, text, private=True)
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror}") from error


def _members(entry: TokenEntry) -> Iterator[tuple[str, Any]]:
    for name, value in msgspec.structs.asdict(entry).items():
        if name in ("name", "sha256") or value not in ((), False, "", {}, 0):
            yield name, value


def _value(value: Any) -> str:
    """As TOML, which writes texts as JSON does."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{_name(name)} = {_value(each)}' for name, each in value.items())} }}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _name(name: str) -> str:
    return name if PLAIN.fullmatch(name) else _value(name)
