"""Checks that a broker answers, before anything that would otherwise wait for ever."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streams.errors import BrokerUnavailable


def check_broker(address: str, timeout: float = 8.0, options: Mapping[str, str] | None = None) -> None:
    """Raises BrokerUnavailable if no broker answers at `address` within `timeout` seconds.

    `options` are librdkafka's, as in Config.kafka.
    """
    said: list[str] = []
    settings: dict[str, Any] = {
        **(options or {}),
        "bootstrap.servers": address,
        "log_level": 0,
        "error_cb": lambda error: said.append(error.str()),
    }
    client = AdminClient(settings)
    try:
        client.list_topics(timeout=timeout)
    except KafkaException as error:
        client.poll(0)
        reason = said[-1] if said else error.args[0].str()
        raise BrokerUnavailable(
            f"no Kafka answers at {address} within {timeout:g} seconds ({reason}). "
            "Start it, or correct RETOLD_BROKER; without RETOLD_BROKER, `retold run` starts one."
        ) from error
