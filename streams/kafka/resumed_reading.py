"""Has a consumer read a partition at once that was paused, by us or by librdkafka in a rebalance.

librdkafka (2.16) reads from a broker in one thread. While no partition is read there, that thread sleeps for up to 1 s, and nothing
that resumes a partition wakes it; a seek does, to any offset but 0 (`rd_kafka_toppar_seek`, `rd_kafka_toppar_set_fetch_state`).
In a rebalance all partitions are paused.
"""

from __future__ import annotations

from confluent_kafka import Consumer, TopicPartition


def read_from(consumer: Consumer, at: TopicPartition) -> None:
    """Read a partition from an offset on, paused or not. Raises KafkaException if it is not assigned.

    The first seek comes before the resume, lest something be read at the old position, and the second one wakes the thread.
    """
    consumer.seek(at)
    consumer.resume([at])
    consumer.seek(at)
