"""What operators and programs see: data on stdout, messages on stderr. Control characters in either are escaped."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import math
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, TextIO

from streams.engine.readable import harmless, harmless_json, one_line
from streams.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

WHOLE, FOLDED, HEAD, GAP = 11, 8, 16, 2
"""Characters: what is no longer than `user-3@1042` is not folded, what is longer down to `FOLDED`, a heading to `HEAD`.

The last are between two cells.
"""


ANY = 1_000_000
"""Characters of a line where no screen limits it, as in a pipe: what reads it wants all of a line, and each row on one."""


_taken: list[TextIO] = []
"""Stdout, while what the application prints goes elsewhere."""
_goes_on: ContextVar[bool] = ContextVar("_goes_on", default=False)
"""Whether the command goes on without a reader."""


@cache
def _console(stderr: bool, of_data: bool = False) -> Console:
    from rich.console import Console

    class DataConsole(Console):
        @property  # type: ignore[misc]  # nobody sets it
        def file(self) -> IO[str]:
            return _output()

        def on_broken_pipe(self) -> None:
            """Rich would end the process, with exit code 1."""
            _end_output()

    to_pipe = of_data and not _output().isatty()
    width = shutil.get_terminal_size((ANY, 1)).columns if to_pipe else None  # COLUMNS, if it is set
    return (Console if stderr else DataConsole)(stderr=stderr, highlight=False, soft_wrap=stderr, width=width)


def talk(text: str) -> None:
    """A sentence for an operator, on stderr. If that is closed or full, nobody can be told."""
    with contextlib.suppress(OSError):
        print(harmless(text), file=sys.stderr, flush=True)


class OutputClosed(Exception):
    """The reader of stdout has closed the pipe: `retold tail | head`. Typer and Rich would make an error of it."""


def _output() -> TextIO:
    """Where data goes."""
    return _taken[-1] if _taken else sys.stdout


@contextlib.contextmanager
def application_beside() -> Iterator[None]:
    """What the application itself prints is no data: in this block it goes to stderr. Data goes where it went."""
    _taken.append(_output())
    before, sys.stdout = sys.stdout, sys.stderr
    try:
        yield
    finally:
        sys.stdout = before
        _taken.pop()


def discard_output() -> None:
    """From now on. Python writes what is left in its buffer when it ends, and would report that the pipe is closed."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), _output().fileno())


@contextlib.contextmanager
def read_or_not() -> Iterator[None]:
    """For what a command shows before it ends with an answer as its exit code, or writes a file: a closed pipe changes neither.

    From then on all that is shown goes nowhere.
    """
    before = _goes_on.set(True)
    try:
        yield
    finally:
        _goes_on.reset(before)


def _end_output() -> None:
    """The pipe is closed. Raises OutputClosed, unless the command goes on."""
    if not _goes_on.get():
        raise OutputClosed
    discard_output()


class OutputFailed(ConfigError):
    """Stdout cannot be written: it was closed before the command started, or its disk is full."""

    def __init__(self, error: OSError) -> None:
        super().__init__(
            f"the output cannot be written: {error.strerror or error}. What the command did is done; only its output is missing"
        )


class ClosedOutput(io.TextIOBase):
    """In place of a stdout that was closed before the command started. A command without output does not meet it."""

    encoding = "utf-8"

    def write(self, text: str) -> int:
        if not text:
            return 0
        raise OSError(errno.EBADF, "stdout is closed")

    def fileno(self) -> int:
        return STDOUT


STDOUT = 1
EMPTY_KEY = "''"
"""How an empty key is shown: a gap in a line or a table looks like none."""


def prepare_streams() -> None:
    """Escape letters that a terminal cannot show, and put something in place of streams that are closed.

    To be called once, before anything is opened: a file would get the number of a closed stream.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it gets the lowest number that is free
    if sys.stdin is None:
        sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115 - as long as the process
    if sys.stdout is None:
        sys.stdout = ClosedOutput()
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - as above
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(text: str) -> None:
    """A line of data. Raises OutputClosed or OutputFailed."""
    _print(one_line(text))


StyledLine = Sequence[tuple[str, str]]
"""Texts, each with a style of Rich's, which only a terminal is told."""


def say_styled(lines: Iterable[StyledLine]) -> None:
    """Lines of data with styles. Raises OutputClosed or OutputFailed."""
    from rich.text import Text

    shown = [Text.assemble(*((one_line(text), style) for text, style in line)) for line in lines]
    for text in shown:
        text.rstrip()
    with data_console().capture() as captured:
        for text in shown:
            data_console().print(text, soft_wrap=True)
    _print(captured.get().removesuffix("\n"))  # its cells are harmless, and what else drives the terminal in it is ours


def screen_width() -> int | None:
    """Characters of a line on the terminal that data goes to; None if it is none."""
    return console().width if console().is_terminal else None


def say_lines(text: str) -> None:
    """Several lines, such as a traceback. Raises OutputClosed or OutputFailed."""
    _print(harmless(text))


def _print(text: str) -> None:
    try:
        print(text, file=_output(), flush=True)
    except BrokenPipeError:
        _end_output()
    except OSError as error:
        raise OutputFailed(error) from error


def console() -> Console:
    """For help and the like: stdout."""
    return _console(False)


def data_console() -> Console:
    """For rows of data: in a pipe as wide as they are, unless COLUMNS is set."""
    return _console(False, of_data=True)


def talk_console() -> Console:
    """For progress: stderr."""
    return _console(True)


def table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "", right: Iterable[str] = ()
) -> None:
    """Long cells are folded, never cut: a value that is not all there is a wrong one.

    In a pipe or a file each row is a line, however long, unless COLUMNS is set. A heading or a number is not folded; where the
    screen is too narrow for them, each value gets a line of its own.
    """
    if title:
        console().print(f"[bold]{title}[/]")
    numbers = set(right)
    shown = [_Column(head, cells, head in numbers) for head, cells in _turned(columns, rows)]
    if sum(column.least + GAP for column in shown) > data_console().width:
        say_lines(_in_lines(shown))
        return
    text = _drawn(shown)
    if not console().is_terminal:  # for a program or a file, nothing that only an operator's eye needs
        text = "".join(f"{line.rstrip()}\n" for line in text.splitlines())
        text = text if title else text.strip("\n")
    _print(text.removesuffix("\n"))  # its cells are harmless, and what else drives the terminal in it is ours


def _turned(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterable[tuple[str, list[str]]]:
    """Each column's heading and cells."""
    cells = [[one_line(cell_text(cell)) for cell in row] for row in rows]
    return ((one_line(head), list(below)) for head, *below in zip(columns, *cells, strict=True))


class _Column:
    """Of a table: `least` is the width below which it is not folded, in characters."""

    def __init__(self, head: str, cells: list[str], is_number: bool) -> None:
        from rich.cells import cell_len

        self.head, self.cells, self.is_number = head, cells, is_number
        self.width = max(cell_len(line) for text in (head, *cells) for line in text.split("\n"))
        whole = is_number or self.width <= WHOLE
        self.least = self.width if whole else min(self.width, max(cell_len(head), FOLDED), HEAD)


def _drawn(columns: Sequence[_Column]) -> str:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for it in columns:
        justify: Literal["right", "left"] = "right" if it.is_number else "left"
        shown.add_column(Text(it.head), justify=justify, overflow="fold", min_width=it.least)
    for row in zip(*(it.cells for it in columns), strict=True):
        shown.add_row(*(Text(cell) for cell in row))
    with data_console().capture() as captured:
        data_console().print(shown)
    return captured.get()


def _in_lines(columns: Sequence[_Column]) -> str:
    """Each row as a paragraph, each of its values with its column's name."""
    width = max(len(it.head) for it in columns)
    lines = [[f"{it.head:{width}}  {cell}".rstrip() for cell in it.cells] for it in columns]
    return "\n\n".join("\n".join(row) for row in zip(*lines, strict=True))


def cell_text(value: object) -> str:
    """A value on one line: nothing for None, times in UTC to the second where they are whole."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return time_text(value)
    if isinstance(value, str):
        return one_line(value)
    return harmless_json(json.dumps(plain(value), ensure_ascii=False))


def time_text(time: datetime) -> str:
    """Exact, for programs too: `2026-01-31T12:00:00Z`."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def second_text(time: datetime) -> str:
    """To the second, for people: `2026-01-31 12:00:00Z`."""
    return f"{time.astimezone(UTC).replace(tzinfo=None).isoformat(' ', 'seconds')}Z"  # %Y writes the year 1 as 1


def json_line(value: object) -> None:
    """One JSON value on one line; in ASCII where stdout cannot write its letters, since an escape of Python's is no JSON."""
    text = json.dumps(plain(value), ensure_ascii=False)
    try:
        text.encode(_output().encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(plain(value))
    _print(harmless_json(text))


def plain(value: Any) -> Any:
    """What JSON can write: records as objects, times as ISO 8601 in UTC, bytes as base64, infinite numbers as null."""
    import msgspec

    if isinstance(value, datetime):
        return time_text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return msgspec.to_builtins(value)


def is_terminal() -> bool:
    """Whether an operator watches stderr."""
    return sys.stderr.isatty()


def plural(count: int, one: str, many: str = "") -> str:
    """`1 event`, `2 events`, `24,259 events`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def displayed(file: str | Path) -> str:
    """A path as an operator would type it from here."""
    relative = os.path.relpath(file)
    return str(file) if relative.startswith("..") else relative
