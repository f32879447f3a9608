"""A client that cannot be made for want of memory: librdkafka says that a thread cannot be."""

from __future__ import annotations

import re
from typing import Final

from confluent_kafka import KafkaException

from streams.errors import ConfigError

NO_THREAD: Final = re.compile(r"failed to create .*thread|cannot allocate memory", re.IGNORECASE)
LIMITS: Final = "a limit of this process (`ulimit -v`, `ulimit -u`, or that of its container)"


def lack_of_memory(error: KafkaException) -> ConfigError | None:
    """The error for a client that finds too little memory, or too few threads; None for every other error."""
    text = str(error.args[0])
    if not NO_THREAD.search(text):
        return None
    return ConfigError(
        f"a Kafka client cannot be made: {text}. There is too little memory, or there are too many threads: free some, or raise "
        f"{LIMITS}"
    )
