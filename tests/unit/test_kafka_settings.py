"""What is asked of topics and clients, and what a receipt and an outcome say: no broker needed."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
from confluent_kafka import KafkaError, KafkaException

from streams.config import Config, load
from streams.errors import (
    BrokerError,
    BrokerUnavailable,
    ConfigError,
    EventRejected,
    EventSetAside,
    TopicMismatch,
    WrongVersion,
)
from streams.kafka.broker_check import no_answer
from streams.kafka.client_log import ClientLog
from streams.kafka.clients import TUNED, Clients, option_refused
from streams.kafka.topics import (
    TopicReport,
    group_of,
    made,
    raise_for_problems,
    schemas_topic,
    tasks_topic,
    topic_names,
    wanted,
)
from streams.localbroker.choose import no_answer_error
from streams.receipt import EventOutcome, Receipt, publish_outcome

DOWN = (KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down")


def test_a_member_hears_of_a_rebalance_at_once() -> None:
    """By its heartbeats: until then a partition that moves belongs to nobody."""
    made: list[Any] = []
    clients = Clients("memory:0", make=lambda _, options: made.append(options))  # type: ignore[arg-type, func-returns-value]  # no client
    clients.group_consumer("g", "c")
    assert made[0]["heartbeat.interval.ms"] <= 300 < made[0]["session.timeout.ms"] / 3


@pytest.mark.parametrize("name", sorted(TUNED))
def test_a_setting_changes_how_producers_batch_and_compress(name: str) -> None:
    """Also by its other name in librdkafka. Our own value counted, and nothing said so."""
    made: list[Any] = []
    clients = Clients("memory:0", {name: "7"}, make=lambda _, options: made.append(options))  # type: ignore[arg-type, func-returns-value]  # no client
    clients.producer()
    clients.transactional_producer("t", "c", lambda _error, _message: None)
    assert [options[TUNED[name]] for options in made] == ["7", "7"]


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load({"RETOLD_PREFIX": "p.", "RETOLD_PARTITIONS": "3"}, start=tmp_path)


def test_every_name_carries_the_prefix() -> None:
    """Topics and groups of two projects on one broker never meet."""
    assert topic_names("p.", "user") == ("user", "p.user", "p.user-log", "p.user-table", "p.user-parked", "p.user-due")
    assert (schemas_topic("p."), tasks_topic("p.")) == ("p.retold-schemas", "p.retold-tasks")
    assert group_of("p.", "user") == "p.retold.user"


def test_a_namespaces_topics_have_the_same_number_of_partitions(config: Config) -> None:
    """Partitions correspond: what is handled in inbox partition 2 is logged in log partition 2."""
    found = {topic.name: topic.partitions for topic in wanted(config, ["user"])}
    kinds = ("", "-log", "-table", "-parked", "-due")
    shared = ("schemas", "tasks", "corrections")
    assert found == {**{f"p.user{kind}": 3 for kind in kinds}, **{f"p.retold-{kind}": 1 for kind in shared}}


def test_only_a_topic_that_is_needed_is_refused(config: Config) -> None:
    """A worker goes on without its reports, and without the corrections; each other topic must be as it should be."""
    problem = ("the topic is missing",)
    assert [topic.kind for topic in wanted(config, ["user"]) if topic.optional] == ["tasks", "corrections"]
    raise_for_problems([TopicReport("p.retold-tasks", "tasks", False, 0, problem, optional=True)])
    with pytest.raises(TopicMismatch, match="the topic is missing"):
        raise_for_problems([TopicReport("p.user", "inbox", False, 0, problem)])


def test_what_fits_the_inbox_fits_the_log(config: Config) -> None:
    """The log takes 64 KiB more than the inbox, for what retold adds; whatever size an event may have."""
    for size in (1024, 1_048_576, 5_000_000):
        topics = {t.kind: t.settings for t in wanted(replace(config, max_event_bytes=size), ["user"])}
        inbox = int(topics["inbox"]["max.message.bytes"])
        assert inbox >= size + 32 * 1024
        assert {int(topics[kind]["max.message.bytes"]) for kind in ("log", "table", "parked")} == {inbox + 64 * 1024}


def test_the_inbox_keeps_everything_and_the_log_for_ever(config: Config) -> None:
    """Nothing leaves an inbox by age or size, and a log by compaction only."""
    topics = {topic.kind: topic.settings for topic in wanted(config, ["user"])}
    inbox = topics["inbox"]
    assert (inbox["cleanup.policy"], inbox["retention.ms"], inbox["retention.bytes"]) == ("delete", "-1", "-1")
    assert {topics[kind]["cleanup.policy"] for kind in ("log", "table", "parked", "schemas", "tasks")} == {"compact"}


def test_an_option_that_the_rules_decide_is_refused(config: Config) -> None:
    """Nobody can switch exactly-once off by a setting."""
    broken = replace(config, broker="b:1", kafka={"isolation.level": "read_uncommitted"})
    with pytest.raises(ConfigError, match=r"isolation\.level is set to 'read_uncommitted'"):
        Clients.of(broken, "b:1")


def test_an_unknown_option_is_a_sentence(config: Config) -> None:
    """What librdkafka does not take is named, and its value, which may be a secret, is not."""
    clients = Clients.of(replace(config, broker="b:1", kafka={"sasl.pasword": "hunter2"}), "b:1")
    with pytest.raises(ConfigError, match=r"sasl\.pasword") as caught:
        clients.producer()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("option", "value", "variable"),
    [
        ("nope", "1", "RETOLD_KAFKA_NOPE"),
        ("security.protocol", "foo", "RETOLD_KAFKA_SECURITY_PROTOCOL"),
        ("socket.timeout.ms", "1", "RETOLD_KAFKA_SOCKET_TIMEOUT_MS"),
        ("enable.ssl.certificate.verification", "maybe", "RETOLD_KAFKA_ENABLE_SSL_CERTIFICATE_VERIFICATION"),
        ("sasl.mechanism", "foo", "RETOLD_KAFKA_…"),
    ],
)
def test_an_option_that_is_not_taken_is_named_as_it_was_set(
    option: str, value: str, variable: str, config: Config
) -> None:
    """By its variable; where librdkafka names none, by what all of them begin with."""
    options = {"security.protocol": "sasl_plaintext", option: value}
    clients = Clients.of(replace(config, broker="b:1", kafka=options), "b:1")
    with pytest.raises(ConfigError, match=rf"{variable}( \({option} of kafka in \[tool\.retold\]\) is| settings)"):
        clients.producer()


def test_an_error_that_is_about_no_option_is_left_alone() -> None:
    """What a client is misused for is no setting's fault."""
    assert option_refused(KafkaException(KafkaError(KafkaError._INVALID_ARG, "Unknown partition"))) is None
    assert option_refused(KafkaException(KafkaError(KafkaError._FAIL, "Failed to create thread"))) is None


def test_a_client_for_which_there_is_no_memory_is_no_setting(config: Config) -> None:
    """It is said of a thread; the way out is a limit, and not a setting of Kafka."""
    said = "Failed to create admin client: Failed to create background thread: Cannot allocate memory"

    def refused(_: object, __: object) -> NoReturn:
        raise KafkaException(KafkaError(KafkaError._CRIT_SYS_RESOURCE, said))

    clients = replace(Clients.of(replace(config, broker="b:1"), "b:1"), make=refused)
    with pytest.raises(ConfigError, match=r"too little memory.*`ulimit -v`") as raised:
        clients.producer()
    assert "RETOLD_KAFKA" not in str(raised.value)


def test_too_many_copies_are_a_setting() -> None:
    """A topic on more brokers than there are: RETOLD_REPLICATION is named with its value; other refusals are the broker's."""
    with pytest.raises(ConfigError, match=r"RETOLD_REPLICATION is 3, and the topic user .*only 1 broker"):
        made("user", failed(KafkaError.INVALID_REPLICATION_FACTOR, "only 1 broker"), 3)
    with pytest.raises(BrokerError, match=r"making the topic user: the broker refused \(INVALID_PARTITIONS"):
        made("user", failed(KafkaError.INVALID_PARTITIONS, "no"), 3)
    assert not made("user", failed(KafkaError.TOPIC_ALREADY_EXISTS, "there"), 3)
    assert made("user", None, 3)


def failed(code: int, text: str) -> KafkaException:
    """An answer of the broker."""
    return KafkaException(KafkaError(code, text))


@pytest.mark.parametrize(
    ("said", "reason", "settings", "start"),
    [
        ([(KafkaError._TRANSPORT, "Connection refused"), DOWN], "Connection refused", False, True),
        ([(KafkaError._TRANSPORT, "Local: Broker transport failure")], "Local: Broker transport failure", False, True),
        ([(KafkaError._AUTHENTICATION, "Invalid username"), DOWN], "Invalid username", True, False),
        ([(KafkaError._SSL, "unable to verify"), (KafkaError._TRANSPORT, "closed"), DOWN], "unable to verify", True, False),
        ([DOWN, (KafkaError._TRANSPORT, "SSL handshake failed: Disconnected")], "SSL handshake failed", True, False),
        ([(KafkaError._TRANSPORT, "caused by incorrect security.protocol")], "caused by incorrect", True, False),
        ([DOWN], "1/1 brokers are down", True, True),
    ],
)
def test_a_broker_that_refuses_a_connection_is_not_to_be_started(
    said: list[tuple[int, str]], reason: str, settings: bool, start: bool
) -> None:
    """The settings of the connection are named; both, where the client tells nothing but that it was cut off."""
    told = no_answer("b:1", 8, [KafkaError(code, text) for code, text in said])
    assert told.startswith(f"no Kafka answers at b:1 within 8 seconds ({reason}")
    assert ("RETOLD_KAFKA_SASL_PASSWORD" in told, "Start it" in told) == (settings, start)


def test_a_broker_of_our_own_is_no_setting(config: Config) -> None:
    """One that `retold run` named in the state folder is not corrected by RETOLD_BROKER; one that was set is."""
    lost = BrokerUnavailable("correct RETOLD_BROKER")
    assert no_answer_error(replace(config, broker="b:1"), "b:1", lost) is lost
    assert str(no_answer_error(config, "127.0.0.1:1", lost)).startswith(
        "the broker that `retold run` started for this project does not answer at 127.0.0.1:1."
    )


def test_options_are_never_shown(config: Config) -> None:
    """A client factory in a log or a trace holds no password."""
    clients = Clients.of(replace(config, broker="b:1", kafka={"sasl.password": "hunter2"}), "b:1")
    assert "hunter2" not in repr(clients)


def test_options_are_for_the_broker_that_was_named(config: Config) -> None:
    """A broker of our own on loopback gets none of them."""
    assert Clients.of(replace(config, kafka={"security.protocol": "ssl"}), "127.0.0.1:1").options == {}


def test_a_lost_broker_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """If a client repeats itself, the log has the first time only, and never as an error."""
    client_log = ClientLog()
    with caplog.at_level(logging.DEBUG, "retold.kafka"):
        client_log.log(logging.ERROR, "%s [%s] %s", "FAIL", "x", "refused after 1ms")
        client_log.log(logging.ERROR, "%s [%s] %s", "FAIL", "x", "refused after 20ms")
        client_log.log(logging.ERROR, "%s [%s] %s", "FAIL", "x", "something else")
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("WARNING", "FAIL [x] refused after 1ms"),
        ("WARNING", "FAIL [x] something else"),
    ]


@pytest.mark.parametrize(
    ("outcome", "reason", "error"),
    [
        ("rejected", "no", EventRejected),
        ("rejected", "wrong version: of the contract", EventRejected),
        ("rejected", "the row was not at the version", WrongVersion),
        ("parked", "its handler raised", EventSetAside),
        ("quarantined", "not Avro", EventSetAside),
    ],
)
def test_an_outcome_that_is_not_accepted_raises(outcome: str, reason: str, error: type[Exception]) -> None:
    """The exception's class says what to do, its text what happened to which event."""
    became = EventOutcome(outcome=outcome, reason=reason, wrong_version=error is WrongVersion)
    told = publish_outcome(Receipt("user", "user.close", "u1", "id1"), became)
    with pytest.raises(error, match=rf"user\.close of 'u1' \(id id1\) was {outcome}: {reason}") as caught:
        told.raise_for_outcome()
    assert type(caught.value) is error


def test_what_is_kept_is_to_be_found() -> None:
    """The command that shows it is named, for its namespace."""
    told = publish_outcome(Receipt("user", "user.close", "u1", "id1"), EventOutcome(outcome="parked", reason="no"))
    with pytest.raises(EventSetAside, match=r"It is kept: `retold parked list user` shows it"):
        told.raise_for_outcome()


def test_an_accepted_outcome_is_returned() -> None:
    """So that a script may chain wait and raise."""
    told = publish_outcome(Receipt("user", "user.close", "u1", "id1"), EventOutcome(outcome="accepted", sequence=1))
    assert told.raise_for_outcome() is told
