"""Half of a log or of a table is no answer: a request that needs the whole is refused with the reason."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import msgspec
import pytest
from confluent_kafka import Consumer, TopicPartition

from streams import App, Tables, View, required
from streams.codec import codec_of
from streams.engine import marker
from streams.engine.envelope import VERSION_HEADER, LogHeader, pack
from streams.engine.generations import built_key
from streams.engine.records import Headers
from streams.kafka.clients import Clients
from streams.kafka.schemas_topic import LearningCodec
from streams.kafka.topics import topic_names
from streams.server.readmodel import commit_pace, topic_reading
from streams.server.readmodel.follower_state import FollowerState
from streams.server.readmodel.model import ReadModel
from streams.server.readmodel.row_writer import UnreadableRow
from streams.server.readmodel.store import Store, StoreDoubt
from streams.server.readmodel.topic_reading import TopicReading
from tests.applications import bank, shop
from tests.applications.bank.events import AccountOpen, AccountRow
from tests.applications.shop.events import OrderPlace, OrderRow
from tests.support.memory_consumer import MemoryConsumer
from tests.support.memory_server import MemoryServer
from tests.unit.test_read_model_file import reshape
from tests.unit.test_server_errors import assert_problem
from tests.unit.test_server_folds import marker as marker_of

ACCOUNT = ("account", 0)
PAID = OrderRow(customer="c", status="paid", placed=datetime(2026, 1, 1, tzinfo=UTC), waiting=0, total=3, held={})
COUNT = 10


def views() -> App:
    """The shop, with views of one table, of none, of one that catches what it can, and of a projection."""
    order = next(space for space in shop.app().namespaces if space.name == "order")
    charges = next(it for it in shop.app().projections if it.name == "charges")

    def careless(tables: Tables) -> int:
        try:
            return len(tables.of(order))
        except Exception:  # noqa: BLE001 - what an application may do
            return 0

    def endless(tables: Tables) -> Iterator[int]:
        yield 1
        raise RuntimeError("not today")

    return replace(
        shop.app(),
        views=[
            View("orders", lambda tables: len(tables.of(order))),
            View("careless", careless),
            View("charges", lambda tables: len(tables.of(charges))),
            View("days", lambda tables: len(tables.of(shop.orders_per_day))),
            View("seven", lambda tables: 7),
            View("object", lambda tables: object()),
            View("endless", endless),
            View("exits", lambda tables: sys.exit(3)),
            View("order/{key}", lambda tables, key: required(tables.of(order).get(key), f"there is no order {key}")),
        ],
    )


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MemoryServer]:
    with MemoryServer(views(), tmp_path, answering=True) as server:
        yield server


@pytest.mark.parametrize("path", ["orders", "careless"])
def test_a_view_over_rows_that_do_not_read_is_refused(server: MemoryServer, path: str) -> None:
    """503 and why, also if the view catches what was raised; a view of other tables answers."""
    server.kafka.put_row("order", "new", UnreadableRow("nobody here knows the schema id 7"), 1)
    got = server.http.get(f"/views/{path}")
    assert_problem(got, 503, f"the view {path} rests on", "1 rows of order", "'new'", "schema id 7")
    assert (got.headers["retry-after"], server.http.get("/views/seven").json()["answer"]) == ("1", 7)
    server.kafka.put_row("order", "new", None, 2)
    assert server.http.get(f"/views/{path}").json()["answer"] == 0


@pytest.mark.parametrize("path", ["object", "endless"])
def test_what_a_view_cannot_give_as_json_is_its_own_fault(server: MemoryServer, path: str) -> None:
    """It is reported as the view's, and not as a fault of the server's."""
    assert_problem(server.http.get(f"/views/{path}"), 500, f"the view {path} gave what cannot be written as JSON")


def test_a_view_that_exits_is_reported_like_one_that_raises(server: MemoryServer) -> None:
    """And the server answers on."""
    assert_problem(server.http.get("/views/exits"), 500, "the view exits raised SystemExit")
    assert server.http.get("/views/seven").status_code == 200


def test_a_view_that_has_no_answer_says_so(server: MemoryServer) -> None:
    """A 404 with its reason, and no fault of the view's; also in a stream, which it ends."""
    for headers in ({}, {"Accept": "text/event-stream"}):
        got = server.http.get("/views/order/o%0A1", headers=headers)
        assert_problem(got, 404, "the view order/{key} has no answer: there is no order o")
    assert server.http.get("/views/seven").status_code == 200


def test_a_list_names_the_rows_that_do_not_read(server: MemoryServer) -> None:
    """Their number and at most 100 of their keys: nobody takes the list for all that there is."""
    assert server.http.get("/rows/order").json()["unreadable"] == {"count": 0, "keys": []}
    wrong = UnreadableRow("nobody here knows the schema id 7")
    for n in range(150):
        server.kafka.writer.put_row("order", 0, f"o{n:03}", n + 1, wrong)
    server.kafka.commit()
    found = server.http.get("/rows/order?customer=c7").json()["unreadable"]
    assert (found["count"], found["keys"]) == (150, [f"o{n:03}" for n in range(100)])


def test_what_rests_on_a_log_that_stands_still_is_refused(server: MemoryServer) -> None:
    """503 with the reason for projections and views of them, as long as it stands; tables and other views answer."""
    server.kafka.publish(OrderPlace(order="o1", customer="c", lines=()))
    why = "order-log-0 is not read beyond offset 7: nobody here knows the schema id 7"
    server.model.stuck["order", 0] = why
    refused = [f"/projections/{name}" for name in ("orders_per_day", "orders_per_day/2026-01-31")]
    for url in refused:
        assert_problem(server.http.get(url), 503, "the projection orders_per_day lacks events", why)
    assert [server.http.get(url).status_code for url in ("/rows/order", "/views/seven")] == [200, 200]
    server.model.stuck["payment", 0] = why
    assert_problem(server.http.get("/views/charges"), 503, "the view charges rests on", why)
    server.model.stuck.clear()
    assert server.http.get("/views/charges").status_code == 200


def test_a_projection_that_is_folded_again_is_at_its_own_position(
    server: MemoryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is folded into it meanwhile, so the answer says where it stands. One that is new is not answered at all."""
    monkeypatch.setattr("streams.server.http.answers.POSITION_TIMEOUT", 0.01)
    server.http.post("/events/order.place", json={"order": "o1", "customer": "c", "lines": [{"sku": "A1", "quantity": 1}]})
    url, position = "/projections/orders_per_day", "order-0:1"
    before = server.http.get(url)
    assert before.headers["retold-position"] == position
    server.kafka.tell(rebuilding={"orders_per_day": 43}, held={"orders_per_day": {"order-0": 0}})
    held = server.http.get(url)
    shown = [held.headers[f"retold-{name}"] for name in ("position", "lag", "rebuilding")]
    assert (shown, held.json()["rows"]) == (["order-0:0", "1", "orders_per_day 43%"], before.json()["rows"])
    refused = server.http.get(f"{url}?_min_position={position}")
    assert_problem(refused, 503, "stands at order-0:0. orders_per_day is folded again, 43 % are done", field="_min_position")
    assert "order-0:0" in server.http.get("/views/days").headers["retold-position"]
    server.kafka.tell(missing=["orders_per_day"])
    for each in (url, f"{url}/2026-01-01", "/views/days"):
        assert_problem(server.http.get(each), 503, "the projection orders_per_day is new", "43 % are done")
    server.kafka.tell(rebuilding={}, held={}, missing=[])
    assert server.http.get(url).headers["retold-position"] == position


def test_who_waits_for_an_outcome_hears_what_holds_it_up(server: MemoryServer) -> None:
    """The rows of its namespace may be read again, or the server be behind: then the worker is not to blame."""
    server.kafka.held = True
    body, wait = {"order": "o1", "customer": "c", "lines": [{"sku": "A1", "quantity": 1}]}, {"Prefer": "wait=0.05"}
    words = {
        "was not handled after 0.05 s": {},
        "reads the rows of order again for their present schema: 43 % are done": {"rebuilding": {"order": 43}},
        "does not see it yet: no broker": {"rebuilding": {}, "behind": "no broker"},
    }
    for expected, told in words.items():
        server.kafka.tell(**told)
        found = server.http.post("/events/order.place", json=body, headers=wait)
        assert_problem(found, 504, expected, "see /events/order/0/")


def test_a_namespace_that_is_new_is_refused_until_it_is_read(server: MemoryServer) -> None:
    """Nothing of it is there to be answered; all else is."""
    server.kafka.put_row("order", "o1", PAID, 1)
    server.kafka.tell(missing=["order"], rebuilding={"order": 43})
    server.model.counts.pop("order")  # as long as the broker has not told them
    for url in ("/rows/order", "/rows/order/o1", "/live/order", "/live/order/o1", "/views/orders", "/views/careless"):
        assert_problem(server.http.get(url), 503, "the namespace order is new, and read from all logs: 43 % are done")
    assert server.http.get("/rows/payment").status_code == server.http.get("/views/seven").status_code == 200


def test_rows_of_a_former_schema_are_answered_as_they_are(server: MemoryServer) -> None:
    """And it is said. What asks for fields that they do not have is refused until they are made again, as views are."""
    server.kafka.put_row("order", "o1", PAID, 1)
    before = server.http.get("/rows/order/o1")
    assert "retold-rebuilding" not in before.headers
    server.kafka.tell(rebuilding={"order": 43, "charges": 7}, reshaped=["order"])
    server.kafka.writer._db.execute('alter table r_order rename column f_customer to f_former')
    for url in ("/rows/order/o1", "/rows/order", "/rows/order?_sort=status", "/rows/order/none"):
        assert server.http.get(url).headers["retold-rebuilding"] == "order 43%", url
    now = server.http.get("/rows/order/o1")
    assert now.json() == before.json()
    assert (now.headers["etag"], now.headers["etag"] != before.headers["etag"]) == ('"1.0"', True)
    for url in ("/rows/order?customer=c", "/rows/order?_sort=-customer"):
        assert_problem(server.http.get(url), 503, "the rows of order are made again", "sorted by customer", field="customer")
    assert server.http.get("/views/charges").headers["retold-rebuilding"] == "charges 7%"
    assert_problem(server.http.get("/views/careless"), 503, "the rows of order are made again", "43 % are done")
    server.kafka.tell(rebuilding={}, reshaped=[])
    assert "retold-rebuilding" not in server.http.get("/views/careless").headers


def test_the_metrics_of_the_file_are_those_of_its_writer(server: MemoryServer) -> None:
    """How long transactions took, how often it could not be written, how large it is, and how much room it has."""
    server.kafka.tell(commit=0.02)
    server.kafka.tell(commit=9.0, store_errors=1, rebuilding={"charges": 7})
    found = server.http.get("/-/metrics").text.splitlines()
    for line in (
        'retold_store_commit_seconds_bucket{le="0.01"} 0.0', 'retold_store_commit_seconds_bucket{le="0.03"} 1.0',
        "retold_store_commit_seconds_count 2.0", "retold_store_commit_seconds_sum 9.02", "retold_store_errors_total 1.0",
        'retold_projection_rebuilt_ratio{projection="charges"} 0.07',
        'retold_projection_rebuilt_ratio{projection="orders_per_day"} 1.0',
    ):  # fmt: skip
        assert line in found
    sizes = {line.partition(" ")[0]: float(line.partition(" ")[2]) for line in found if "_bytes " in line and line[0] != "#"}
    assert sizes["retold_store_bytes"] > 4096
    assert 0 < sizes["retold_disk_free_bytes"] <= sizes["retold_disk_bytes"]


def logged(sequence: int) -> Headers:
    """What a worker writes of a record of a log."""
    header = LogHeader(sequence, 0, sequence - 1, "accepted", "f", id=f"id-{sequence}", time=0)
    return [("ce_id", b"id-%d" % sequence), ("ce_type", b"account.open"), pack(header)]


def test_rows_of_projections_are_counted_without_looking_at_each(tmp_path: Path) -> None:
    """The home page and each scrape of metrics count them, and a projection has no row that does not read."""
    with MemoryServer(shop.app(), tmp_path) as server:
        server.kafka.writer._db.execute(
            "with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000) "
            "insert into p_orders_per_day(key, body) select 'k' || i, '{}' from n"
        )
        steps = list[int]()
        with server.model.readers.borrow() as db:
            db.set_progress_handler(lambda: steps.append(1), 1_000)
        assert server.model.sizes()["orders_per_day"] == 20_000
        with server.model.readers.borrow() as db:
            assert len(steps) < 10
            db.execute("select count(*) from p_orders_per_day where problem is not null").fetchone()
            assert len(steps) > 10, "such a question is seen"


class Reading:
    """Reads one topic of the bank, into the file in this folder."""

    def __init__(self, path: Path, topic: str) -> None:
        app, self.codec = bank.app(), codec_of(bank.app())
        self.model, self.store = ReadModel(app, self.codec), Store(path, "", app, self.codec)
        self.store.open()
        self.store.partitions = {"account": 1}
        self.state = FollowerState(self.model.take)
        self.state.rebuilding = dict.fromkeys(self.store.reread, 0)
        self.state.opened(str(self.store.file), self.store.partitions)
        self.value = self.codec.encode(AccountOpen(account="a", balance=1))
        self.topic, self.consumer = topic, MemoryConsumer(topic)

    def begin(self, count: int) -> None:
        """Read what the consumer has, which is up to the offset `count`."""
        consumer, ends = cast(Consumer, self.consumer), {(self.topic, 0): count}
        learning = LearningCodec(self.codec, Clients("127.0.0.1:1"), "")
        self.reading = TopicReading(
            consumer, [topic_names("", "account")], self.store, self.store.writer(), learning, self.state, ends
        )
        self.reading.offset_of((self.topic, 0), 0)


def reading(path: Path, count: int, unreadable: Collection[int] = ()) -> Reading:
    """Of a log of `count` records, of which those in `unreadable` have no header of retold's."""
    it = Reading(path, topic_names("", "account").log)
    for sequence in range(1, count + 1):
        it.consumer.add(it.value, logged(sequence) if sequence not in unreadable else [])
    it.begin(count)
    return it


def test_a_row_that_was_deleted_stays_so_while_rows_are_read_again(tmp_path: Path) -> None:
    """One that was built before that lies behind it, as in a first reading."""
    before = Reading(tmp_path, "")
    before.store.completed()
    before.store.close()
    reshape(before.store.file, "r_account")
    it = Reading(tmp_path, topic_names("", "account").table)
    assert it.store.reread == ["account"]
    it.consumer.add(b"", [(VERSION_HEADER, b"7")], b"gone")
    it.consumer.add(marker.encode(msgspec.structs.replace(marker_of(8), generation=2)), [], marker.KEY)
    for key in ("gone", "new"):
        it.consumer.add(it.codec.encode_row(AccountRow(balance=1)), [(VERSION_HEADER, b"6")], built_key(key, 1))
    it.consumer.add(marker.encode(marker_of(9)), [], marker.KEY)
    it.begin(5)
    it.reading.step()
    assert it.store.reread == []
    assert it.store._db.execute("select key from r_account").fetchall() == [("new",)]
    it.store.close()


def test_rows_of_another_schema_take_their_place_once_they_are_whole(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Until then those before are answered, with their own position, and it is said how far it is."""
    monkeypatch.setattr(commit_pace, "BATCH", 3)
    monkeypatch.setattr(commit_pace, "RECORDS", 1)
    store = Store(tmp_path, "", bank.app(), codec_of(bank.app()))
    store.open()
    store.partitions = {"account": 1}
    writer = store.writer()
    writer.put_row("account", 0, "old", 1, AccountRow(balance=1))
    writer.put_marker("account", 0, marker_of(1))
    writer.commit()
    store.completed()
    store.close()
    reshape(store.file, "r_account")
    it = Reading(tmp_path, topic_names("", "account").table)
    for number in range(1, 4):
        it.consumer.add(marker.encode(marker_of(number)), [], marker.KEY)
        it.consumer.add(it.codec.encode_row(AccountRow(balance=number)), [(VERSION_HEADER, b"%d" % number)], b"new")
    it.begin(6)
    seen = []
    for _ in range(2):
        it.reading.step()
        row = it.model.row(it.model.tables["account"], "new")
        found = dict(it.model.rebuilding), it.model.table_position(ACCOUNT), None if row is None else row.version
        seen.append((*found, it.model.lag(["table"], [ACCOUNT])))
    assert seen == [({"account": 67}, 1, None, None), ({}, 3, 3, 0)]
    assert (it.model.row(it.model.tables["account"], "old"), it.model.behind) == (None, None)
    it.store.close()


def test_while_much_is_to_be_read_a_transaction_takes_several_batches(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Until that is read, nothing of it is told; what comes afterwards is committed at once."""
    monkeypatch.setattr(commit_pace, "BATCH", 10)
    monkeypatch.setattr(commit_pace, "RECORDS", 25)
    it = reading(tmp_path, 40)
    seen = []
    for _ in range(4):
        it.reading.step()
        seen.append((it.model.log_position(ACCOUNT), it.model.lag(["log"], [ACCOUNT])))
    assert seen == [(0, None), (0, None), (33, 7), (40, 0)]
    assert it.store.is_complete
    it.consumer.add(it.value, logged(41))
    it.reading.step()
    assert it.model.log_position(ACCOUNT) == 41
    it.store.close()


def test_a_log_that_stands_still_has_its_lag(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """From the record that does not read to the end, whatever is reported of that; once it reads, all goes on."""
    it = reading(tmp_path, COUNT, unreadable={5})
    model, consumer = it.model, it.consumer
    it.reading.step()
    assert (model.log_position(ACCOUNT), model.lag(["log"], [ACCOUNT])) == (4, COUNT - 4)
    assert "not read beyond offset 4" in model.stuck[ACCOUNT]
    it.reading._on_error(consumer.end_again())
    it.state.tell()
    assert model.lag(["log"], [ACCOUNT]) == COUNT - 4
    monkeypatch.setattr(topic_reading, "STUCK_EVERY", 0.0)
    it.reading.step()
    it.reading.step()
    assert "not read beyond offset 4" in model.stuck[ACCOUNT], "it still does not read"
    consumer.replace(4, it.value, logged(5))
    it.reading.step()
    assert (model.log_position(ACCOUNT), model.lag(["log"], [ACCOUNT])) == (COUNT, 0)
    assert (model.stuck, model.faults) == ({}, {})
    it.store.close()


@pytest.mark.parametrize("unreadable", [[COUNT], [3, COUNT]], ids=["at its end", "and before"])
def test_a_log_that_stood_still_goes_on_in_another_reading(tmp_path: Path, unreadable: list[int]) -> None:
    """Such as after the broker was away: that it stands still is told until it reads, and not for ever."""
    it = reading(tmp_path, COUNT, unreadable=unreadable)
    it.reading.step()
    it.begin(COUNT)
    it.state.tell()
    assert "is not read beyond offset" in it.model.stuck[ACCOUNT]
    for sequence in unreadable:
        it.consumer.replace(sequence - 1, it.value, logged(sequence))
    it.consumer.resume([])
    it.consumer.seek(TopicPartition(it.topic, 0, unreadable[0] - 1))
    it.reading.step()
    assert (it.model.stuck, it.model.faults, it.model.log_position(ACCOUNT)) == ({}, {}, COUNT)
    it.store.close()


def test_a_log_goes_on_if_what_did_not_read_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when it was erased: then the log ends without it."""
    monkeypatch.setattr(topic_reading, "STUCK_EVERY", 0.0)
    it = reading(tmp_path, COUNT, unreadable={COUNT})
    it.reading.step()
    assert "is not read beyond offset" in it.model.stuck[ACCOUNT]
    it.consumer.remove_last()
    it.reading.step()
    assert (it.model.stuck, it.model.faults, it.model.lag(["log"], [ACCOUNT])) == ({}, {}, 0)
    it.store.close()


@pytest.mark.parametrize(("kind", "key"), [("due", b"rubbish"), ("parked", b"rubbish"), ("table", b"\xff")])
def test_a_foreign_record_stops_its_own_partition_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, key: bytes
) -> None:
    """With topic and offset; once it is gone, all goes on. Projections lack nothing, so they are answered."""
    monkeypatch.setattr(topic_reading, "STUCK_EVERY", 0.0)
    it = Reading(tmp_path, getattr(topic_names("", "account"), kind))
    it.consumer.add(b"rubbish", [], key)
    it.begin(1)
    it.reading.step()
    name = f"account-{kind}-0"
    assert it.model.faults[name].startswith(f"{name} is not read beyond offset 0: ")
    assert (it.model.stuck, it.model.behind, [*it.state.unread.values()]) == ({}, None, [it.model.faults[name]])
    it.begin(1)
    assert it.state.unread == {}, "another reading may read it"
    it.reading.step()
    assert name in it.model.faults
    it.consumer.remove_last()
    it.reading.step()
    assert (it.model.faults, it.state.unread, it.model.lag([kind], [ACCOUNT])) == ({}, {}, 0)
    it.store.close()


def test_a_log_of_which_all_is_read_again_stands_still_no_more(tmp_path: Path) -> None:
    """Also one that is not there any more, since its topic was made again with fewer partitions."""
    it = reading(tmp_path, COUNT, unreadable={COUNT})
    it.reading.step()
    it.state.got_stuck(("log", "account", 7), "account-log-7 is not read")
    it.begin(COUNT)
    it.state.tell()
    assert it.model.stuck.keys() == {ACCOUNT}
    it.state.begin_anew()
    it.state.tell()
    assert (it.model.stuck, it.model.faults) == ({}, {})
    it.store.close()


@pytest.mark.parametrize("frontier", [0, 1], ids=["young", "old"])
def test_a_new_namespace_that_has_a_past_has_everything_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frontier: int
) -> None:
    """What was told as of a time did not know its events; one that is as young as its deployment is read beside."""
    monkeypatch.setattr(Store, "frontier", frontier)
    monkeypatch.setattr(Store, "new_namespaces", frozenset({"account"}))
    it = Reading(tmp_path, topic_names("", "account").log)
    header = LogHeader(1, 1, 0, "accepted", "f", id="id-1", time=0)
    it.consumer.add(it.value, [("ce_id", b"id-1"), ("ce_type", b"account.open"), pack(header)])
    it.begin(1)
    if frontier:
        with pytest.raises(StoreDoubt, match="account is new here, and has a past"):
            it.reading.step()
    else:
        it.reading.step()
        assert it.model.log_position(ACCOUNT) == 1
    it.store.close()
