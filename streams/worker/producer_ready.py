"""Waits until a namespace has a producer that may begin a transaction."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from confluent_kafka import KafkaException

from streams.errors import BrokerError
from streams.kafka.producer import TransactionalProducer
from streams.worker.runtime import Flag

log = structlog.get_logger("retold.worker")


def producer_ready(producer: TransactionalProducer, namespace: str, stopping: Flag, check: Callable[[], object]) -> None:
    """Retry until the broker answers or the worker stops: a broker that is unavailable for a while ends no worker.

    `check` is asked meanwhile, and may raise. Raises BrokerError if Kafka refuses transactions.
    """
    while not stopping.is_set():
        try:
            producer.ready()
            break
        except KafkaException as error:
            if error.args[0].fatal():
                raise BrokerError(
                    f"Kafka refuses the transactions of {namespace}: {error.args[0].str()}. A worker needs "
                    "the rights Write and Describe on its transactional id, and on the cluster IdempotentWrite"
                ) from error
            log.warning("transactions are not ready; retrying", namespace=namespace, error=str(error))
            stopping.wait(1.0)
            check()
