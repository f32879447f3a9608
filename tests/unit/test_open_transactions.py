"""What is said of a transaction that holds up its readers, and what its questions are asked with."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest

from streams.kafka.clients import Clients
from streams.kafka.offsets import _java_hash
from streams.kafka.open_transactions import OpenTransaction, sentence
from streams.kafka.security import NotMapped, connection_options
from streams.kafka.writers import writers

SINCE = datetime(2026, 11, 26, 5, 31, 31, 214000, tzinfo=UTC).astimezone()
FOREIGN = OpenTransaction("user", 3, 1042, 17, SINCE, 4002, "billing-1", 60.0)
WHERE = "user-3 waits at offset 1042 for a transaction that has been open since 2026-11-26T05:31:31Z: "
TOOL = "kafka-transactions.sh --bootstrap-server kafka:9092"


@pytest.mark.parametrize(
    ("told", "ending"),
    [
        (
            FOREIGN,
            "17 records from there on cannot be read. It is producer 4002's (transactional id billing-1), which ends it by "
            "commit or abort, or the broker does after its time-out of 60 s.",
        ),
        (
            OpenTransaction("user", 3, 1042, 1, SINCE, 7, "p.retold.shop.user.host.0", 10.0),
            "1 record from there on cannot be read. It is producer 7's (transactional id p.retold.shop.user.host.0), a worker "
            "of retold: that worker ends it when it starts again, or the broker does after its time-out of 10 s.",
        ),
        (
            OpenTransaction("user", 3, 1042, 2, SINCE, 7, "billing-1", None, hangs=True),
            "2 records from there on cannot be read. It is producer 7's (transactional id billing-1), and it hangs: an operator "
            f"ends it with `{TOOL} abort --topic user --partition 3 --start-offset 1042`.",
        ),
        (
            OpenTransaction("user", 3, 1042, 2, SINCE, 7, None, None, hangs=True),
            "2 records from there on cannot be read. It is producer 7's, and it hangs, unless this user may not see its "
            f"transactional id: an operator ends it with `{TOOL} abort --topic user --partition 3 --start-offset 1042`.",
        ),
        (
            OpenTransaction("user", 3, 1042, 2, SINCE, unknown="this version of Kafka does not tell it"),
            "2 records from there on cannot be read. Whose it is, is not known: this version of Kafka does not tell it. "
            f"`{TOOL} describe-producers --topic user --partition 3` tells it. That producer ends it by commit or abort, or the "
            "broker does after the producer's time-out.",
        ),
    ],
    ids=["foreign", "ours", "hanging", "hanging or hidden", "unknown"],
)
def test_a_sentence_says_where_since_when_whose_and_what_ends_it(told: OpenTransaction, ending: str) -> None:
    """Times in UTC, wherever the machine is; the command is one that can be copied."""
    assert sentence(told, "kafka:9092", "p.") == WHERE + ending


def test_where_the_first_record_is_not_read_no_time_is_told() -> None:
    """It may be that this user may ask for offsets, and not read."""
    text = sentence(OpenTransaction("user", 3, 1042, 2, unknown="no"), "kafka:9092", "")
    assert text.startswith("user-3 waits at offset 1042 for a transaction that is open: 2 records")


def test_options_of_librdkafka_are_those_of_the_questions() -> None:
    """What a protocol does not use is not looked at."""
    assert connection_options({"sasl.mechanisms": "GSSAPI"}) == {"security_protocol": "PLAINTEXT"}
    user = {"sasl.username": "who", "sasl.password": "sesame"}
    assert connection_options({"security.protocol": "sasl_plaintext", "sasl.mechanism": "SCRAM-SHA-512", **user}) == {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "who",
        "sasl_plain_password": "sesame",
    }


@pytest.mark.parametrize(("checked", "algorithm"), [(True, {}), (False, {"ssl.endpoint.identification.algorithm": "none"})])
def test_a_certificate_is_always_asked_for(checked: bool, algorithm: dict[str, str]) -> None:
    """And its name is compared, unless the options say otherwise."""
    context = connection_options({"security.protocol": "ssl", **algorithm})["ssl_context"]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, checked)


@pytest.mark.parametrize(
    ("options", "refused"),
    [
        ({"security.protocol": "sasl_ssl", "sasl.mechanisms": "OAUTHBEARER"}, "sasl.mechanisms"),
        ({"security.protocol": "sasl_plaintext"}, "sasl.mechanisms"),
        ({"security.protocol": "ssl", "ssl.ca.pem": "sesame"}, "ssl.ca.pem"),
        ({"security.protocol": "ssl", "enable.ssl.certificate.verification": "sesame"}, "enable.ssl.certificate.verification"),
        ({"security.protocol": "sesame"}, "security.protocol"),
    ],
)
def test_an_option_that_cannot_be_taken_over_is_named_without_its_value(options: dict[str, str], refused: str) -> None:
    """Nobody is asked then: with half of what secures a connection there is to be none."""
    with pytest.raises(NotMapped, match=rf"^{refused}$"):
        connection_options(options)
    [why] = writers(Clients("127.0.0.1:1", options), [("user", 3)]).values()
    assert why == f"with the Kafka option {refused} it cannot be asked from here"


def test_a_certificate_that_is_not_there_is_an_answer(tmp_path: Path) -> None:
    """That something waits is told all the same."""
    options = {"security.protocol": "ssl", "ssl.ca.location": str(tmp_path / "none.pem")}
    assert writers(Clients("127.0.0.1:1", options), [("user", 3)]) == {("user", 3): "asking failed with FileNotFoundError"}


def test_a_groups_partition_is_found_as_java_finds_it() -> None:
    """By `String.hashCode`, whose values these are."""
    assert [_java_hash(text) for text in ("", "a", "Aa", "BB", "polygenelubricants")] == [0, 97, 2112, 2112, -(2**31)]
