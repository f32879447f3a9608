"""The commands of `retold` as they are, to hold pages and files to them."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Set
from typing import Any

import typer

from streams.cli import make_cli


@functools.cache
def commands() -> Mapping[str, Set[str]]:
    """Every command, such as `retold parked list`, with its long options."""
    found: dict[str, set[str]] = {}

    def walk(command: Any, name: str) -> None:
        if children := getattr(command, "commands", None):
            for child, inner in children.items():
                walk(inner, f"{name} {child}")
        else:
            shown = [it for it in command.params if not getattr(it, "hidden", False)]
            options = (option for it in shown for option in (*it.opts, *it.secondary_opts))
            found[name] = {option for option in options if option.startswith("--")}

    walk(typer.main.get_command(make_cli()), "retold")
    return found


def problem_of(words: list[str]) -> str | None:
    """What a command line gets wrong, `retold` first; None if it is one."""
    if words[1:] in (["--help"], ["--version"]):
        return None
    real = commands()
    names = [name for name in (" ".join(words[:count]) for count in (2, 3)) if name in real]
    if not names and any(name.startswith(f"{' '.join(words)} ") for name in real):
        return None  # a group of commands
    if not names:
        return f"there is no command {' '.join(words[:3])}"
    given = {word.partition("=")[0] for word in words if word.startswith("--")}
    wrong = sorted(given - real[names[0]])
    return f"{names[0]} has no {', '.join(wrong)}" if wrong else None
