"""The project's own source, for tests that read it: each file is parsed once in a session."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

from streams.syntax import parse


@functools.cache
def parsed(path: Path) -> ast.Module:
    return parse(path.read_text(encoding="utf-8"))


@functools.cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    """Everything in it, from the outside in."""
    return tuple(ast.walk(parsed(path)))
