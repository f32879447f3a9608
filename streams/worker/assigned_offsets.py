"""Where partitions are assigned, before a restore has said where to go on.

The client may ask for records before they are paused. At an offset that was deleted that is an error, which ends the namespace. At
Kafka's own words for the beginning and the end it first asks where these are, and its answer was seen to come after a later seek
and to win: at the end, what came meanwhile would be passed over.
"""

from __future__ import annotations

from collections.abc import Collection

from confluent_kafka import KafkaException, TopicPartition

from streams.errors import BrokerError
from streams.kafka.offsets import starts
from streams.kafka.renewed_client import Admin

TIMEOUT = 2.0
"""s: a poll of the group waits for it."""


def assigned_offsets(admin: Admin, inbox: str, numbers: Collection[int]) -> list[TopicPartition]:
    """Partitions at their first offsets; at 0 if no broker says which these are."""
    places = [(inbox, number) for number in numbers]
    try:
        first = starts(admin, places, timeout=TIMEOUT) if places else {}
    except (BrokerError, KafkaException):
        first = {}
    return [TopicPartition(*place, first.get(place, 0)) for place in places]
