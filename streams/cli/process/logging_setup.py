"""The log goes to stderr, at the level of RETOLD_LOG_LEVEL."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
import threading
import traceback
from types import TracebackType
from typing import TYPE_CHECKING

from streams.config import Config
from streams.engine.readable import harmless

if TYPE_CHECKING:
    from structlog.typing import EventDict

PARKED = re.compile(r" at \S+-(\d+@\d+) was parked")
"""A place behind the name of its topic, which may have a prefix that a place does not have."""


def _is_news(record: logging.LogRecord) -> bool:
    """What Kafka's client tries again by itself is no news."""
    return not record.getMessage().rstrip().endswith("retrying")


def in_lines(_logger: object, _name: str, said: EventDict) -> EventDict:
    """A detail follows its event in the same line, such as what was parked and why; lines below it, as a traceback, unchanged.

    So is any value with lines: in one line, escaped, nobody could read it. The sentence names the command that shows it again.
    """
    below = []
    detail = said.pop("detail", None)
    if isinstance(detail, str):
        sentence, _, lines = detail.rstrip().partition("\n")
        namespace, at = said.get("namespace"), PARKED.search(sentence)
        shows = f"; see `retold parked show {namespace}-{at[1]}`" if namespace and at else ""
        event = str(said.get("event", ""))
        said["event"] = f"{'' if sentence.startswith(event) else f'{event}: '}{sentence}{shows}"
        below.append(lines)
    for name, value in said.items():
        if name != "event" and isinstance(value, str) and "\n" in value:  # such as an error whose message has lines
            said[name], _, lines = value.rstrip().partition("\n")
            below.append(lines)
    if lines := "\n".join(filter(None, below)):
        said["stack"] = lines  # what structlog writes below the line
    return said


def without_control(_logger: object, _name: str, said: EventDict) -> EventDict:
    """Errors, names and events come from elsewhere: control characters in them are escaped."""
    return {name: _harmless_value(value) for name, value in said.items()}


def _harmless_value(value: object) -> object:
    """What is neither text nor a number is written by its repr, which may have anything in it."""
    if value is None or isinstance(value, int | float):
        return value
    return harmless(value if isinstance(value, str) else repr(value))


class HarmlessFormatter(logging.Formatter):
    """For records of other libraries and of Kafka's client."""

    def format(self, record: logging.LogRecord) -> str:
        return harmless(super().format(record))


def set_up(config: Config) -> None:
    """Lines to read; stdout stays free for data. What nobody catches is harmless, too, in whatever thread or library."""
    _set_up_last_resorts()
    level = _level(config)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(HarmlessFormatter("%(asctime)s [%(levelname)s] %(name)s: %(message)s", "%H:%M:%S"))
    handler.addFilter(_is_news if level > logging.DEBUG else lambda _: True)
    root = logging.getLogger("retold")
    root.handlers[:] = [handler]
    root.setLevel(level)


def _set_up_last_resorts() -> None:
    """Python writes what nobody catches, and what a logger without a handler has, as it stands."""

    def on_thread(given: threading.ExceptHookArgs) -> None:
        if given.exc_type is not SystemExit:
            _write_traceback(given.exc_type, given.exc_value, given.exc_traceback)

    def on_unraisable(given: sys.UnraisableHookArgs) -> None:
        _write_traceback(given.exc_type, given.exc_value, given.exc_traceback)

    sys.excepthook, threading.excepthook, sys.unraisablehook = _write_traceback, on_thread, on_unraisable
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(HarmlessFormatter("%(message)s"))


def _write_traceback(kind: type[BaseException], error: BaseException | None, at: TracebackType | None) -> None:
    text = "".join(traceback.format_exception(kind, error, at))
    print(harmless(text), end="", file=sys.stderr, flush=True)


def set_up_worker(config: Config) -> None:
    """The same, and the log of the worker itself. No other role uses structlog, which takes a while to import."""
    import structlog

    set_up(config)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            in_lines,
            structlog.processors.format_exc_info,  # the lines that Python writes: a prettier one shows local variables
            without_control,
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_level(config)),
        logger_factory=lambda *_: StderrLogger(),
    )


class StderrLogger:
    """Writes lines to stderr. One that cannot be written, as on a full disk, is lost: no log line is worth a namespace."""

    def msg(self, message: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # ValueError: it is closed
            print(message, file=sys.stderr, flush=True)

    debug = info = warning = error = critical = exception = msg


def _level(config: Config) -> int:
    return logging.getLevelNamesMapping()[config.log_level.upper()]
