"""A file of principals as `retold token` writes it; the token of each is made of its name."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

Entry = Mapping[str, object]


def token_of(name: str) -> str:
    return f"rtd_{name}_{'x' * 20}"


def bearer(name: str) -> dict[str, str]:
    """The header of a request."""
    return {"Authorization": f"Bearer {token_of(name)}"}


def write_tokens(file: Path, principals: Mapping[str, Entry]) -> Path:
    """Replaces the file, so that a server never reads half of it."""
    text = "".join(f"[[principal]]\n{_lines({'name': name, 'sha256': _digest(name)} | it)}\n" for name, it in principals.items())
    new = file.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    new.chmod(0o600)
    return new.rename(file)


def _digest(name: str) -> str:
    return sha256(token_of(name).encode()).hexdigest()


def _lines(entry: Entry) -> str:
    return "".join(f"{name} = {_value(value)}\n" for name, value in entry.items())


def _value(value: object) -> str:
    """As TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_value(name)} = {_value(each)}' for name, each in value.items())} }}"
    return str(value) if isinstance(value, int | float) else f'"{value}"'
