"""What an exit code means: one table, from which the help is made."""

from __future__ import annotations

from streams.cli.arguments.wrong_usage import WrongUsage
from streams.errors import (
    BrokerError,
    ConfigError,
    HandlerTimeout,
    HistoryError,
    InvalidChange,
    NoSuchEvent,
    OutcomeTimeout,
    RowsNotBuilt,
    StreamsError,
    TopicMismatch,
)

OK, NO, USAGE, CONFIGURATION, BROKER, TIMEOUT, NOT_BUILT = 0, 1, 2, 3, 4, 5, 6
FAULT, START_AGAIN, INTERRUPTED = 70, 75, 130

MEANINGS = {
    OK: "success",
    NO: "negative result: a law is broken, a line is refused, an event is rejected, a row does not exist",
    USAGE: "wrong usage, see --help; or a name, a condition or a change that makes no sense to this application",
    CONFIGURATION: "a setting, a file or a topic is not usable, or a past, or a part of it, cannot be told by this code",
    BROKER: "no broker answers, or it refuses",
    TIMEOUT: "no result within the time limit",
    NOT_BUILT: "the rows of this code's generation are not built: `retold rebuild start` builds them",
    FAULT: "internal error in retold",
    START_AGAIN: "a handler did not return, so its process has ended: start it again",
    INTERRUPTED: "interrupted with Ctrl-C",
}

BY_ERROR: tuple[tuple[type[BaseException], int], ...] = (
    (WrongUsage, USAGE),
    (ConfigError, CONFIGURATION),
    (TopicMismatch, CONFIGURATION),
    (BrokerError, BROKER),
    (OutcomeTimeout, TIMEOUT),
    (HandlerTimeout, START_AGAIN),
    (NoSuchEvent, NO),
    (InvalidChange, USAGE),
    (RowsNotBuilt, NOT_BUILT),
    (HistoryError, CONFIGURATION),
    (StreamsError, NO),
)
"""The first class that fits decides; an error of no such class is retold's own fault."""


def code_of(error: BaseException) -> int:
    return next((code for kind, code in BY_ERROR if isinstance(error, kind)), FAULT)
