"""What the program logs goes to stderr, at the level of RETOLD_LOG_LEVEL."""

from __future__ import annotations

import logging
import sys

from streams.config import Config


def set_up(config: Config) -> None:
    """Lines for people; stdout stays free for data."""
    import structlog

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
    root = logging.getLogger("retold")
    root.handlers[:] = [handler]
    root.setLevel(level)
