"""What the broker said of a record that it refused, for a person."""

from __future__ import annotations

from confluent_kafka import KafkaError


def words_of(error: KafkaError) -> str:
    """In the client's words. Of an error that the broker has no name for, they say nothing: with them, where to look."""
    if error.code() == KafkaError.UNKNOWN:
        return f"{error.str()} (it names no cause: look at Kafka's log, and whether its disk is full)"
    return str(error.str())
