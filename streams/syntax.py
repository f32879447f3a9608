"""Parses Python source."""

from __future__ import annotations

import ast
import gc


def parse(source: str) -> ast.Module:
    """`ast.parse` with the garbage collector off.

    Before CPython 3.12 the collector may run while the tree is built, and with it any finalizer. One that parses too (a
    traceback is formatted that way) makes the first call fail with SystemError.

    Raises SyntaxError.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return ast.parse(source)
    finally:
        if was_enabled:
            gc.enable()
