"""Checks that a broker answers, before anything that would otherwise wait for ever."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from streams.errors import BrokerUnavailable

START = "Start it, or correct RETOLD_BROKER; without RETOLD_BROKER, `retold run` starts one."
ACCESS = (
    "RETOLD_KAFKA_SECURITY_PROTOCOL (PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL) and what goes with it: "
    "RETOLD_KAFKA_SASL_MECHANISM, RETOLD_KAFKA_SASL_USERNAME, RETOLD_KAFKA_SASL_PASSWORD, RETOLD_KAFKA_SSL_CA_LOCATION"
)


def check_broker(address: str, timeout: float = 8.0, options: Mapping[str, str] | None = None) -> None:
    """Raises BrokerUnavailable if no broker answers at `address` within `timeout` seconds.

    `options` are librdkafka's, as in Config.kafka.
    """
    said: list[KafkaError] = []
    settings: dict[str, Any] = {
        **(options or {}),
        "bootstrap.servers": address,
        "log_level": 0,
        "error_cb": said.append,
    }
    client = AdminClient(settings)
    try:
        client.list_topics(timeout=timeout)
    except KafkaException as error:
        client.poll(0)
        raise BrokerUnavailable(no_answer(address, timeout, said or [error.args[0]])) from error


def no_answer(address: str, timeout: float, said: Sequence[KafkaError]) -> str:
    """What is wrong, by what Kafka's client said of its connections, and what to do about that."""
    telling = [it for it in said if it.code() != KafkaError._ALL_BROKERS_DOWN]
    refused = [it for it in telling if _is_about_access(it)]
    reason = (refused or telling or said)[-1].str()
    if refused:
        do = f"Something is there that refuses such a connection: correct {ACCESS}; or the port in RETOLD_BROKER."
    elif telling:
        do = START
    else:  # Kafka cuts off who shows no password, or speaks no TLS, without a word, and the client has none either
        do = f"Something is there that ends the connection. If it wants SASL or TLS, set {ACCESS}. If it is no Kafka: {START}"
    return f"no Kafka answers at {address} within {timeout:g} seconds ({reason}). {do}"


def _is_about_access(error: KafkaError) -> bool:
    """That a listener is for other connections the client says in words alone."""
    known = error.code() in (KafkaError._AUTHENTICATION, KafkaError._SSL)
    return known or any(words in error.str() for words in ("SSL handshake failed", "security.protocol"))
