"""What is said of a transaction that holds up its readers, and what its questions are asked with."""

from __future__ import annotations

import asyncio
import logging
import ssl
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiokafka.errors import TopicAuthorizationFailedError
from confluent_kafka import KafkaException

from streams.errors import BrokerError
from streams.kafka.active_producers import (
    CoordinatorState,
    Forbidden,
    NeverKnown,
    _why,
    active_producers,
    run,
    still_active,
)
from streams.kafka.clients import Clients
from streams.kafka.commit_completion import of_id
from streams.kafka.offsets import GROUPS, _java_hash
from streams.kafka.open_transactions import OpenTransaction, _of_partition, concerns, sentence, worker_ids
from streams.kafka.security import UnmappedOption, connection_options

SINCE = datetime(2026, 11, 26, 5, 31, 31, 214000, tzinfo=UTC).astimezone()
FOREIGN = OpenTransaction("user", 3, 1042, 17, SINCE, 4002, "billing-1", 60.0)
WHERE = "user-3 waits at offset 1042 for a transaction that has been open since 2026-11-26T05:31:31Z: "
TOOL = "kafka-transactions.sh --bootstrap-server kafka:9092"


ABORT = f"To end it, run `{TOOL} abort --topic user --partition 3 --start-offset 1042`."


@pytest.mark.parametrize(
    ("found", "ending"),
    [
        (
            FOREIGN,
            "17 records from there on cannot be read. Its producer is 4002 (transactional id billing-1). It must commit or "
            "abort it; otherwise the broker aborts it after its time-out of 60 s.",
        ),
        (
            OpenTransaction("user", 3, 1042, 1, SINCE, 7, "p.retold.shop.user.host.0", 10.0),
            "1 record from there on cannot be read. Its producer is 7 (transactional id p.retold.shop.user.host.0), a worker "
            "of retold. It ends it when it starts again, or whoever takes over its partitions; otherwise the broker aborts it "
            "after its time-out of 10 s.",
        ),
        (
            OpenTransaction("user", 3, 1042, 2, SINCE, 7, "billing-1", None, hangs=True),
            "2 records from there on cannot be read. Its producer is 7 (transactional id billing-1). It hangs: its "
            f"coordinator knows of no transaction there. {ABORT}",
        ),
        (
            OpenTransaction("user", 3, 1042, 2, SINCE, 7, "billing-1", 60.0, hangs=True),
            "2 records from there on cannot be read. Its producer is 7 (transactional id billing-1). It hangs: the broker "
            f"has not aborted it, long after its time-out of 60 s. {ABORT}",
        ),
        (
            OpenTransaction("user", 3, 1042, 2, SINCE, 7, None, None, hangs=True),
            "2 records from there on cannot be read. Its producer is 7. It hangs: no coordinator knows it. (Or you lack the "
            f"right to describe its transactional id; check that first.) {ABORT}",
        ),
        (
            OpenTransaction("user", 3, 1042, 2, SINCE, unknown="this version of Kafka cannot say"),
            "2 records from there on cannot be read. Its producer is unknown: this version of Kafka cannot say. To find it, run "
            f"`{TOOL} describe-producers --topic user --partition 3`. It must commit or abort it; otherwise the broker aborts "
            "it after its time-out.",
        ),
    ],
    ids=["foreign", "ours", "hanging", "overdue", "hanging or hidden", "unknown"],
)
def test_a_sentence_says_where_since_when_whose_and_what_ends_it(found: OpenTransaction, ending: str) -> None:
    """Times in UTC, wherever the machine is; the command is one that can be copied."""
    assert sentence(found, "kafka:9092", "p.") == WHERE + ending


def test_a_transactional_id_is_shown_as_one_short_line() -> None:
    """Whoever may write to a topic chooses it: it can neither forge a line of the log nor fill it."""
    text = sentence(replace(FOREIGN, transactional_id="a\n\x1b[2K" + "x" * 30_000), "kafka:9092", "")
    assert "(transactional id a\\n\\x1b[2Kxxx" in text
    assert len(text) < 600


FIRST = OpenTransaction("user", 3, 1042, 17, SINCE)
LOST = CoordinatorState("billing-1", ongoing=False, started=None, timeout=60.0, partitions=frozenset())
LATER = SINCE + timedelta(seconds=30)


def producer(number: int, offset: int) -> dict[str, int]:
    return {"producer_id": number, "current_txn_start_offset": offset, "producer_epoch": 2, "coordinator_epoch": 0}


def test_one_that_no_coordinator_has_hangs_if_it_is_open_after_they_were_asked() -> None:
    """The first and whatever is behind it: an operator has to end each."""
    both = [producer(7, 1042), producer(8, 1050)]
    found = _of_partition(FIRST, still_active(both, both, {7: LOST}, all_asked=True), LATER)
    assert [(it.producer_id, it.first_offset, it.hangs) for it in found] == [(7, 1042, True), (8, 1050, True)]


def test_one_that_ends_while_we_ask_does_not_hang() -> None:
    """Its coordinator has forgotten it, and rightly so: to abort what comes next at that offset would do harm."""
    before = [producer(7, 1042), producer(8, 1050)]
    after = [producer(7, 1042), producer(8, 1055)]  # it has begun another one
    found = _of_partition(FIRST, still_active(before, after, {8: LOST}, all_asked=True), LATER)
    assert [(it.producer_id, it.hangs) for it in found] == [(7, True)]


@pytest.mark.parametrize(("again", "all_asked"), [(False, True), (True, False)])
def test_nothing_hangs_that_was_not_asked_of_everybody_twice(again: bool, all_asked: bool) -> None:
    """Where a leader or a coordinator does not answer, one waits for the time-out."""
    both = [producer(7, 1042)]
    [it] = _of_partition(FIRST, still_active(both, both if again else None, {}, all_asked), LATER)
    assert (it.producer_id, it.hangs) == (7, False)


@pytest.mark.parametrize(("seconds", "hangs"), [(70, False), (76, True)])
def test_one_past_its_time_out_hangs_once_the_broker_has_looked(seconds: float, hangs: bool) -> None:
    """It looks every 10 s."""
    known = CoordinatorState("billing-1", ongoing=True, started=SINCE, timeout=60.0, partitions=frozenset({("user", 3)}))
    both = [producer(7, 1042)]
    [it] = _of_partition(FIRST, still_active(both, both, {7: known}, all_asked=True), SINCE + timedelta(seconds=seconds))
    assert (it.hangs, it.timeout) == (hangs, 60.0)


def test_one_that_kafka_has_committed_elsewhere_must_not_be_aborted() -> None:
    """By its epoch it is the transaction that the coordinator has committed; else a record of an earlier one came late."""
    both = [producer(7, 1042)]
    known = replace(LOST, transactional_id="p.retold.shop.user.host.0", state="CompleteCommit", epoch=2)
    [it] = _of_partition(FIRST, still_active(both, both, {7: known}, all_asked=True), LATER)
    assert "Do not abort it: a worker of retold that starts under this id commits it here" in sentence(it, "kafka:9092", "p.")
    [late] = _of_partition(FIRST, still_active(both, both, {7: replace(known, epoch=3)}, all_asked=True), LATER)
    assert "abort --topic user" in sentence(late, "kafka:9092", "p.")


@pytest.mark.parametrize(
    ("state", "epoch", "left"),
    [
        ("CompleteAbort", 2, True), ("Empty", 2, True), ("Ongoing", 3, True), ("CompleteCommit", 3, True),
        ("Ongoing", 2, False), ("PrepareAbort", 2, False), ("CompleteCommit", 2, False), ("CompleteAbort", 1, False),
    ],
)  # fmt: skip
def test_what_its_coordinator_will_not_end_any_more_is_left(state: str, epoch: int, left: bool) -> None:
    """An open one of the same epoch is somebody's, a committed one is to be committed, and what is not proven is left alone."""
    both, known = [producer(7, 1042)], {7: replace(LOST, state=state, epoch=epoch)}
    assert [it.is_left for it in still_active(both, both, known, all_asked=True)] == [left]
    assert [it.is_left for it in still_active(both, both, known, all_asked=False)] == [False]


def test_who_does_not_know_whether_it_is_committed_asks_again() -> None:
    """A broker that has just started may not say yet: to go on would abort a part of what is committed."""
    both, at = [producer(7, 1042)], ("user", 3)
    for answer in ("there was no answer within 5 s", still_active(both, None, {}, all_asked=True)):
        with pytest.raises(KafkaException, match="whether the last transaction is complete is not known"):
            of_id("billing-1", {at: answer})
    assert of_id("billing-1", {at: NeverKnown("this version of Kafka cannot say")}) == {}
    known = replace(LOST, state="CompleteCommit", epoch=2)
    [found] = of_id("billing-1", {at: still_active(both, both, {7: known}, all_asked=True)}).values()
    assert found[0].is_committed
    assert of_id("another", {at: still_active(both, both, {7: known}, all_asked=True)}) == {}


def test_who_may_not_ask_what_is_open_is_told_which_right_is_missing() -> None:
    """To ask again and again would never end. Of groups' offsets nothing is needed: a restore does not depend on them."""
    forbidden = _why(TopicAuthorizationFailedError("mail"))
    assert isinstance(forbidden, Forbidden)
    with pytest.raises(BrokerError, match="Give the worker's user the right Read on the topic mail"):
        of_id("billing-1", {("mail", 3): forbidden})
    assert of_id("billing-1", {("__consumer_offsets", 3): forbidden}) == {}


def test_among_the_groups_offsets_only_our_workers_concern_us() -> None:
    """And those whose name is hidden."""
    ours = (worker_ids("p.", "shop", "user"),)
    ids = ["p.retold.shop.user.host.0", "p.retold.shop.item.host.0", "billing-1", None]
    there = [OpenTransaction(GROUPS, 3, 0, 1, transactional_id=name) for name in ids]
    assert [concerns(it, ours) for it in there] == [True, False, False, True]
    assert concerns(FOREIGN, ours)


def test_only_our_own_questions_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """An application whose gateway uses the same library has its log."""
    with caplog.at_level(logging.DEBUG, "aiokafka"):
        active_producers(Clients("127.0.0.1:1"), [("user", 3)])
        assert caplog.messages == []
        logging.getLogger("aiokafka.client").error("of a gateway")
        assert caplog.messages == ["of a gateway"]


def test_the_look_up_of_an_address_that_hangs_is_not_waited_for() -> None:
    """It stands in a thread that nothing can end; here that thread waits for the test to be over."""
    over = threading.Event()

    async def looked_up() -> None:
        await asyncio.get_running_loop().run_in_executor(None, over.wait, 20)

    began = time.monotonic()
    with pytest.raises(TimeoutError):
        run(looked_up(), 0.1)
    assert time.monotonic() - began < 10
    over.set()


def test_where_the_first_record_is_not_read_no_time_is_said() -> None:
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
    with pytest.raises(UnmappedOption, match=rf"^{refused}$"):
        connection_options(options)
    [why] = active_producers(Clients("127.0.0.1:1", options), [("user", 3)]).values()
    assert why == f"with the Kafka option {refused} it cannot be asked from here"


def test_a_certificate_that_is_not_there_is_an_answer(tmp_path: Path) -> None:
    """That something waits is said all the same."""
    options = {"security.protocol": "ssl", "ssl.ca.location": str(tmp_path / "none.pem")}
    assert active_producers(Clients("127.0.0.1:1", options), [("user", 3)]) == {("user", 3): "asking failed with FileNotFoundError"}


def test_a_groups_partition_is_found_as_java_finds_it() -> None:
    """By `String.hashCode`, whose values these are."""
    assert [_java_hash(text) for text in ("", "a", "Aa", "BB", "polygenelubricants")] == [0, 97, 2112, 2112, -(2**31)]
