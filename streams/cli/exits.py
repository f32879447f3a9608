"""What an exit code means: one table, from which the help is made."""

from __future__ import annotations

from streams.errors import BrokerError, ConfigError, OutcomeTimeout, StreamsError, TopicMismatch

OK, NO, USAGE, CONFIGURATION, BROKER, TIMEOUT, FAULT, INTERRUPTED = 0, 1, 2, 3, 4, 5, 70, 130

MEANINGS = {
    OK: "done",
    NO: "the answer is no: a law is broken, a line is refused, an event is rejected, a row is not there",
    USAGE: "the command is not written like this; --help shows how",
    CONFIGURATION: "a setting, a file or a topic is not usable",
    BROKER: "no broker answers, or it refuses",
    TIMEOUT: "nothing came in the time given",
    FAULT: "a fault of retold's own",
    INTERRUPTED: "Ctrl-C",
}

BY_ERROR: tuple[tuple[type[StreamsError], int], ...] = (
    (ConfigError, CONFIGURATION),
    (TopicMismatch, CONFIGURATION),
    (BrokerError, BROKER),
    (OutcomeTimeout, TIMEOUT),
    (StreamsError, NO),
)
"""The first class that fits decides."""


def code_of(error: StreamsError) -> int:
    return next(code for kind, code in BY_ERROR if isinstance(error, kind))
