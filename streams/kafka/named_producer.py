"""Makes the producer of a transactional id: it begins once Kafka's last commit under this id is whole (rule 37)."""

from __future__ import annotations

from collections.abc import Sequence

from confluent_kafka import Producer

from streams.kafka.clients import Clients
from streams.kafka.commit_completion import CommitCompletion
from streams.kafka.coordinator_connection import CoordinatorConnection
from streams.kafka.offsets import TopicAndPartition
from streams.kafka.producer import Complete, HeldUp, OnDelivery, TransactionalProducer
from streams.kafka.renewed_client import Admin
from streams.kafka.topics import group_of


def completion_of(
    clients: Clients, admin: Admin, prefix: str, namespace: str, written: Sequence[TopicAndPartition]
) -> Complete:
    """Of the ids of a namespace, whose workers and builders write to these partitions."""
    return CommitCompletion(clients, admin, group_of(prefix, namespace), written).complete


def named_producer(
    clients: Clients, name: str, topic: str, *, timeout: float, complete: Complete, held_up: HeldUp = tuple
) -> TransactionalProducer:
    """`name` is its transactional id, and its client's; messages name its transactions by the `topic` that they are about.

    A transaction older than `timeout` s is aborted by the broker. `held_up` and `complete` as for a TransactionalProducer.
    """

    def make(on_delivery: OnDelivery, coordinator: CoordinatorConnection) -> Producer:
        return clients.transactional_producer(name, name, on_delivery, coordinator, timeout=timeout)

    return TransactionalProducer(make, name, topic, timeout=timeout, clock=clients.clock, held_up=held_up, complete=complete)
