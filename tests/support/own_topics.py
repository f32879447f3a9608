"""The topics that tests leave on a broker."""

from __future__ import annotations

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

TIMEOUT = 60.0
"""s: a busy machine is given time."""


def delete_topics(admin: AdminClient, prefix: str = "") -> None:
    """Delete the topics whose names begin with `prefix`, but for Kafka's own. Raises KafkaException."""
    there = _topics(admin, prefix)
    if not there:
        return
    for future in admin.delete_topics(there, request_timeout=TIMEOUT).values():
        try:
            future.result(TIMEOUT)
        except KafkaException as error:  # the test has just deleted it
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise


def _topics(admin: AdminClient, prefix: str) -> list[str]:
    return [name for name in admin.list_topics(timeout=TIMEOUT).topics if name.startswith(prefix) and not name.startswith("__")]
