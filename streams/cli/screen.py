"""What people and programs see: data goes to stdout, talk to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

LEAST_WIDTH = 80


@cache
def _console(stderr: bool) -> Console:
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=stderr)


def talk(text: str) -> None:
    """A sentence for a person."""
    print(text, file=sys.stderr, flush=True)


class ReaderLeft(Exception):
    """Whoever reads stdout has seen enough: `retold tail | head`. Typer would make an error of it."""


def say(text: str) -> None:
    """A line of data. Raises ReaderLeft."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise ReaderLeft from None


def console() -> Console:
    """For tables and the like: stdout."""
    return _console(False)


def talk_console() -> Console:
    """For progress: stderr."""
    return _console(True)


def table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "", right: Iterable[str] = ()
) -> None:
    """Long cells are folded, never cut: a value that is not all there is a wrong one."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    if title:
        console().print(f"[bold]{title}[/]")
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for column in columns:
        shown.add_column(column, justify="right" if column in set(right) else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(Text(cell_text(cell)) for cell in row))
    console().print(shown)


def cell_text(value: object) -> str:
    """A value as a cell: nothing for None, times in UTC to the second where they are whole."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return time_text(value)
    if isinstance(value, str):
        return value
    return json.dumps(plain(value), ensure_ascii=False)


def time_text(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def json_line(value: object) -> None:
    """One JSON value on one line."""
    say(json.dumps(plain(value), ensure_ascii=False))


def plain(value: Any) -> Any:
    """What JSON can write: records as objects, times as ISO 8601 in UTC, bytes as base64."""
    import msgspec

    if isinstance(value, datetime):
        return time_text(value)
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return msgspec.to_builtins(value)


def is_terminal() -> bool:
    """Whether a person watches stderr."""
    return sys.stderr.isatty()


def plural(count: int, one: str, many: str = "") -> str:
    """`1 event`, `2 events`, `24,259 events`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


Told = Callable[[str], None]
