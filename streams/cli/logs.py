"""What the program logs goes to stderr, at the level of RETOLD_LOG_LEVEL."""

from __future__ import annotations

import logging
import sys

from streams.config import Config


def _worth_telling(record: logging.LogRecord) -> bool:
    """What Kafka's client tries again by itself is no news."""
    return not record.getMessage().rstrip().endswith("retrying")


def set_up(config: Config) -> None:
    """Lines for people; stdout stays free for data."""
    import stamina.instrumentation
    import structlog

    stamina.instrumentation.set_on_retry_hooks([])  # a failure that lasts is told by whoever gives up

    level = logging.getLevelNamesMapping()[config.log_level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s [%(levelname)s] %(name)s: %(message)s", "%H:%M:%S"))
    handler.addFilter(_worth_telling if level > logging.DEBUG else lambda _: True)
    root = logging.getLogger("retold")
    root.handlers[:] = [handler]
    root.setLevel(level)
