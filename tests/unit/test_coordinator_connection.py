"""What tells a producer that the end of a transaction may arrive twice: a line of librdkafka's log, or its statistics."""

from __future__ import annotations

import json
import logging

import pytest

from streams.config import load
from streams.kafka.clients import Clients
from streams.kafka.coordinator_connection import CoordinatorConnection

PATTERN = "%s [%s] %s"
LOST = "[thrd:TxnCoordinator]: TxnCoordinator: 127.0.0.1:9092: Disconnected (after 12ms in state UP)"
"""What librdkafka 2.16 logs, at level 6."""


def test_a_lost_connection_to_the_coordinator_is_a_disturbance(caplog: pytest.LogCaptureFixture) -> None:
    """Said as information, it is heard and not logged: it was asked for by the producer alone."""
    connection = CoordinatorConnection()
    with caplog.at_level(logging.DEBUG, "retold.kafka"):
        connection.log(logging.INFO, PATTERN, "FAIL", "retold#producer-1", LOST)
    assert connection.disturbed
    assert caplog.records == []


def test_what_is_said_again_is_heard_again(caplog: pytest.LogCaptureFixture) -> None:
    """The log leaves out what it said a moment ago; who listens for disturbances must not."""
    with caplog.at_level(logging.DEBUG, "retold.kafka"):
        for _ in range(2):
            connection = CoordinatorConnection()
            connection.log(logging.WARNING, PATTERN, "FAIL", "retold#producer-1", LOST)
            connection.log(logging.WARNING, PATTERN, "FAIL", "retold#producer-1", LOST)
            assert connection.disturbed
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]


def test_debugging_is_no_disturbance() -> None:
    """With RETOLD_KAFKA_DEBUG librdkafka tells of each request; a producer for each transaction would be made."""
    connection = CoordinatorConnection()
    connection.log(logging.DEBUG, PATTERN, "SEND", "retold#producer-1", "[thrd:TxnCoordinator]: TxnCoordinator/1: Sent EndTxn")
    assert not connection.disturbed


def test_another_connection_is_no_disturbance() -> None:
    """A broker that is lost delays records, and each of them has a number of its own."""
    connection = CoordinatorConnection()
    connection.log(logging.INFO, PATTERN, "FAIL", "retold#producer-1", "[thrd:127.0.0.1:9092/1]: Disconnected")
    assert not connection.disturbed


def statistics(requests: int) -> str:
    brokers = {"TxnCoordinator": {"req": {"EndTxn": requests}}, "127.0.0.1:9092/1": {"req": {"Produce": 7}}, "x": {}}
    return json.dumps({"name": "retold#producer-1", "brokers": brokers})


def test_an_end_that_was_sent_more_than_once_is_a_disturbance() -> None:
    """As many requests as transactions were ended are in order; one more is a repetition."""
    connection = CoordinatorConnection()
    connection.ending()
    connection.on_statistics(statistics(1))
    assert not connection.disturbed
    connection.on_statistics(statistics(2))
    assert connection.disturbed


def test_no_setting_makes_a_transactional_producer_deaf() -> None:
    """Options of librdkafka that would silence the connection are taken for other clients alone."""
    config = load({"RETOLD_BROKER": "127.0.0.1:1", "RETOLD_KAFKA_LOG_CONNECTION_CLOSE": "false", "RETOLD_KAFKA_LOG_LEVEL": "0"})
    connection = CoordinatorConnection()
    options = Clients.of(config, "127.0.0.1:1").transactional_options("id", "client", print, connection)
    assert {name: options[name] for name in connection.options()} == connection.options()
