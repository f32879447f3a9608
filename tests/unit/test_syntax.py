"""Source is parsed whatever a garbage collection sets off meanwhile."""

from __future__ import annotations

import ast
import gc

import pytest

from streams.syntax import parse

LONG = "\n".join(f"def f{number}(a, b):\n    return a + b[{number}]" for number in range(300))


class Finalized:
    """A cycle whose finalizer parses, deeper in the stack than whoever was interrupted."""

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        parse_deeper(10)


def parse_deeper(calls: int) -> None:
    if calls:
        parse_deeper(calls - 1)
    else:
        ast.parse("a + b")


def test_a_finalizer_that_parses_does_not_fail_the_parse_it_interrupts() -> None:
    """Before CPython 3.12, `ast.parse` raises SystemError here: a traceback that is formatted in a finalizer parses as well."""
    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        Finalized()
        assert len(parse(LONG).body) == 300
    finally:
        gc.set_threshold(*before)


def test_the_garbage_collector_is_left_as_it_was() -> None:
    """Parsing switches it off for itself alone, also when the source is no Python."""
    with pytest.raises(SyntaxError):
        parse("def")
    assert gc.isenabled()
