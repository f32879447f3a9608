"""Control records in the engine: a command said twice, one that fails again, and the order of a restored queue."""

from __future__ import annotations

from streams import App, Event, Gateway, Namespace, Outcome, Rejected
from streams.codec import codec_of
from streams.data import EventData
from streams.engine import control
from streams.engine.attempts import Unwatched
from streams.engine.batch import CallGivenUp, PartitionWork
from streams.engine.changes import Changes, ParkedReference
from streams.engine.commands import EVENTS_PER_COMMAND
from streams.engine.control import OperatorCommand
from streams.engine.engine import Engine
from streams.engine.event_handlers import Limits
from streams.engine.image import Image
from streams.engine.records import InboxRecord
from streams.engine.stored import log_record, parked_record
from streams.worker.image_reader import ImageReader
from tests.applications import probe, shop
from tests.applications.probe.events import ProbeDo, ProbeRow
from tests.applications.shop.events import PaymentCharge, PaymentCharged, PaymentRefunded, PaymentRow
from tests.support.answers import came_of
from tests.support.kept import Kept, ParkedTopic

APP = probe.app()
CODEC = codec_of(APP)


def event(offset: int, how: str = "count", text: str = "") -> InboxRecord:
    return (offset, b"k", CODEC.encode(ProbeDo(name="k", how=how, text=text)), None, 0)


def retry(offset: int, at: int) -> InboxRecord:
    return (at, b"k", control.encode(OperatorCommand("retry", "k", offset, "ada")), None, 0)


def test_a_retry_that_fails_does_not_count_for_the_breaker() -> None:
    """What was parked before is no sign of a bad deploy; else a retry of many would stop the namespace, again and again."""
    engine = Engine(APP, "probe", CODEC)
    image, _ = parked(engine)
    changes = engine.handle(image, [retry(0, 2)], 1)
    assert changes.raised == []
    assert [aside.offset for aside in changes.queues["k"]] == [0, 1]


class Switch:
    """A handler that raises until it is mended."""

    def __init__(self) -> None:
        self.broken = True

    def __call__(self, row: ProbeRow, key: str) -> object:
        if self.broken:
            raise RuntimeError("a bug")
        return probe.counted(row)


def parked(engine: Engine) -> tuple[Image, Switch]:
    """A key with two parked events: the first raised, the second is behind it."""
    switch = probe.WRONG["switch"] = Switch()
    image = engine.image()
    image.apply(engine.handle(image, [event(0, "switch"), event(1)], 1))
    assert [aside.offset for aside in image.parked["k"]] == [0, 1]
    return image, switch


def test_a_command_said_twice_does_nothing_the_second_time() -> None:
    """Also in one batch: each parked event is handled and logged once."""
    engine = Engine(APP, "probe", CODEC)
    image, switch = parked(engine)
    switch.broken = False
    changes = engine.handle(image, [retry(0, 2), retry(0, 3)], 1)
    image.apply(changes)
    assert (len(changes.log), changes.unparked, image.parked) == (2, [(0, 0), (1, 0)], {})
    assert image.rows["k"][0] == ProbeRow(count=2, texts={})


def test_a_retry_that_fails_again_leaves_the_queue_as_it_was() -> None:
    """Once mended, each of it is handled once, in order."""
    engine = Engine(APP, "probe", CODEC)
    image, switch = parked(engine)
    image.apply(engine.handle(image, [retry(0, 2)], 1))
    assert [aside.offset for aside in image.parked["k"]] == [0, 1]
    switch.broken = False
    changes = engine.handle(image, [retry(0, 3), event(4)], 1)
    assert [log_record(logged).key for logged in changes.log] == [b"k@1", b"k@2", b"k@3"]


def test_arrivals_behind_a_retry_that_fails_stay_behind() -> None:
    """In the same batch too."""
    engine = Engine(APP, "probe", CODEC)
    image, _ = parked(engine)
    image.apply(engine.handle(image, [retry(0, 2), event(3)], 1))
    assert [aside.offset for aside in image.parked["k"]] == [0, 1, 3]


def test_a_restored_queue_is_in_order_whatever_compaction_kept() -> None:
    """An event that was parked again lies behind its successors in the topic, and still comes first."""
    engine = Engine(APP, "probe", CODEC)
    image, _ = parked(engine)
    reading = ImageReader(engine, 0)
    for aside in reversed(image.parked["k"]):
        reading.parked(Kept(*parked_record(aside)))  # type: ignore[arg-type]  # reads alike
    assert [aside.offset for aside in reading.image().parked["k"]] == [0, 1]


class Answered:
    """One payment's worth of an application: a gateway that has given up, and a handler of its answer that raises."""

    def __init__(self) -> None:
        self.broken = True
        payment = Namespace("payment", row=PaymentRow)

        @payment.handles(PaymentCharged)
        def charged(row: PaymentRow | None, event: Event[PaymentCharged]) -> Outcome[PaymentRow]:
            if self.broken:
                raise RuntimeError("a bug")
            return Outcome(PaymentRow(status="charged"))

        @payment.handles(PaymentRefunded)
        def refunded(row: PaymentRow | None, event: Event[PaymentRefunded]) -> Outcome[PaymentRow]:
            if self.broken:
                raise RuntimeError("a bug")
            return Outcome(row)

        app = App(
            name="answered",
            namespaces=[payment],
            gateways=[Gateway(PaymentCharge, shop.CardApi().charge, answers=[PaymentCharged])],
        )
        self.codec = codec_of(app)
        self.engine = Engine(app, "payment", self.codec)
        self.image, self.topic = self.engine.image(), ParkedTopic(self.engine)

    def take(self, offset: int, data: EventData | OperatorCommand) -> Changes:
        value = control.encode(data) if isinstance(data, OperatorCommand) else self.codec.encode(data)
        changes = self.engine.handle(self.image, [(offset, b"k", value, None, 0)], 1)
        self.topic.write(self.image, changes)
        return changes

    def give_up(self) -> None:
        [call] = self.image.calls.values()
        self.topic.write(self.image, came_of(self.engine, self.image, CallGivenUp(call, "closed"), 1))

    @property
    def queue(self) -> list[int]:
        assert self.topic.restored().parked == self.image.parked
        return [aside.offset for aside in self.image.parked["k"]]


def test_an_operators_answer_that_fails_stands_where_its_request_stood() -> None:
    """Before what came later, also after a restore; mended and tried again it is handled first, once."""
    it = Answered()
    it.take(0, PaymentCharge(order="k", amount=1))
    it.give_up()
    it.take(1, PaymentRefunded(order="k", receipt="later"))
    assert it.queue == [0, 1]
    by_hand = it.codec.encode(PaymentCharged(order="k", receipt="by hand"))
    it.take(2, OperatorCommand("answer", "k", 0, "ada", "", by_hand))
    assert it.queue == [0, 1]
    it.take(3, OperatorCommand("retry", "k", 0, "ada"))
    assert it.queue == [0, 1]
    it.broken = False
    changes = it.take(4, OperatorCommand("retry", "k", 0, "ada"))
    assert [logged.offset for logged in changes.log] == [2, 1]
    assert it.image.rows["k"][0] == PaymentRow(status="charged")
    assert it.topic.restored().parked == it.image.parked == {}


def test_a_request_that_is_given_up_late_stands_before_what_came_after_it() -> None:
    """An event of its key was parked while it was called: the order is the inbox's, before and after a restore."""
    it = Answered()
    it.take(0, PaymentCharge(order="k", amount=1))
    it.take(1, PaymentRefunded(order="k", receipt="later"))
    it.give_up()
    assert it.queue == [0, 1]


def test_a_long_queue_is_let_through_in_parts() -> None:
    """One of a hundred thousand would take longer than the group waits; what arrives meanwhile stays behind, in order."""
    engine = Engine(APP, "probe", CODEC)
    image, switch = parked(engine)
    count = 2 * EVENTS_PER_COMMAND + 1
    image.apply(engine.handle(image, [event(offset) for offset in range(2, count)], 1))
    switch.broken = False
    record: InboxRecord | None = retry(0, count)
    handled = list[int]()
    while record is not None:
        changes = engine.handle(image, [record, event(record[0] + 1)], 1)
        image.apply(changes)
        handled.append(len(changes.log))
        follows = [it for it in changes.emitted if it.namespace == "probe"]
        record = (record[0] + 2, follows[0].key, follows[0].value, follows[0].headers, 0) if follows else None
    assert handled == [EVENTS_PER_COMMAND, EVENTS_PER_COMMAND, 1 + 2 + 1]  # the rest, what came meanwhile, what came behind it
    assert image.parked == {}
    assert image.rows["k"][0] == ProbeRow(count=count + 3, texts={})
    assert image.counters.control == 3


class OutOfTime(Unwatched):
    """A batch whose handlers have taken all of its time."""

    def out_of_time(self) -> bool:
        return True


def test_a_queue_of_slow_handlers_is_let_through_in_parts() -> None:
    """A transaction has its time, however short the queue; each part handles one event at least."""
    engine = Engine(APP, "probe", CODEC)
    image, switch = parked(engine)
    image.apply(engine.handle(image, [event(offset) for offset in range(2, 5)], 1))
    switch.broken = False
    record, parts = retry(0, 5), 0
    while image.parked:
        *_, changes = engine.process(image, PartitionWork(records=[record]), 1, attempts=OutOfTime())
        image.apply(changes)
        parts += 1
        if changes.emitted:
            [following] = changes.emitted
            record = (record[0] + 1, following.key, following.value, following.headers, 0)
    assert (parts, image.rows["k"][0]) == (5, ProbeRow(count=5, texts={}))


def leave_to_the_topic(image: Image, *offsets: int) -> None:
    """What is parked there is a reference from now on."""
    for aside in [it for it in image.parked["k"] if it.offset in offsets]:
        image.exchange(aside, ParkedReference(aside.offset, "k", aside.offset, aside.offset + 1))


def test_a_command_waits_for_a_body_that_is_not_in_memory() -> None:
    """It says for which key, and neither it nor what is behind it is handled; what is before it is."""
    engine = Engine(APP, "probe", CODEC)
    image, switch = parked(engine)
    [first, _] = image.parked["k"]
    leave_to_the_topic(image, 0)
    switch.broken = False
    changes = engine.handle(image, [event(2), retry(0, 3), event(4)], 1)
    image.apply(changes)
    assert (changes.needs, changes.log, changes.inbox_next) == ("k", [], 3)
    assert [aside.offset for aside in image.parked["k"]] == [0, 1, 2]
    image.exchange(image.parked["k"][0], first)
    changes = engine.handle(image, [retry(0, 3), event(4)], 1)
    assert (changes.needs, len(changes.log), changes.queues["k"]) == (None, 4, [])


def test_a_queue_is_handled_up_to_where_its_bodies_end() -> None:
    """A command of its own goes on there, and the key stays parked until then."""
    engine = Engine(APP, "probe", CODEC)
    image, switch = parked(engine)
    leave_to_the_topic(image, 1)
    switch.broken = False
    changes = engine.handle(image, [retry(0, 2), event(3)], 1)
    assert [aside.offset for aside in changes.queues["k"]] == [1, 3]
    [following] = changes.emitted
    assert control.read(following.key, following.value).offset == 1
    assert (len(changes.log), changes.needs) == (1, None)


def test_a_parked_event_is_kept_whole_however_large() -> None:
    """It will be handled; only what is quarantined may be left to the inbox."""
    engine = Engine(APP, "probe", CODEC, limits=Limits(event_bytes=1024))
    image, switch = engine.image(), Switch()
    probe.WRONG["switch"] = switch
    headers = [(f"ce_x{number}", b"x" * 1000) for number in range(40)]
    first = (0, b"k", CODEC.encode(ProbeDo(name="k", how="switch")), headers, 0)
    image.apply(engine.handle(image, [first], 1))
    switch.broken = False
    image.apply(engine.handle(image, [retry(0, 1)], 1))
    assert (image.parked, image.counters.accepted) == ({}, 1)


def test_whatever_a_handler_raises_parks_its_event() -> None:
    """A handler that ends the process would end it again at each start; so would one whose error cannot be written."""

    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("nothing can be said of it")

    def leave(row: ProbeRow, key: str) -> object:
        raise SystemExit(1)

    def mumble(row: ProbeRow, key: str) -> object:
        raise Mute

    def quote(row: ProbeRow, key: str) -> object:
        error = FileNotFoundError("no file 'caf\udce9'")
        error.add_note("a note of somebody else's")
        raise error

    class Panic(BaseException):
        """As libraries in other languages raise them."""

    def panic(row: ProbeRow, key: str) -> object:
        raise Panic("a library in another language")

    engine, reasons = Engine(APP, "probe", CODEC), list[str]()
    for way in (leave, mumble, quote, panic):
        probe.WRONG["switch"] = way
        [aside] = engine.handle(engine.image(), [event(0, "switch")], 1).set_aside
        reasons.append(aside.header.reason)
    assert [reason.rpartition(".")[2] for reason in reasons] == [
        "SystemExit: 1", "Mute: <exception str() failed>", "FileNotFoundError: no file 'caf\\udce9'",
        "Panic: a library in another language",
    ]  # fmt: skip


def test_a_rejection_may_quote_what_has_no_form_in_utf_8() -> None:
    """A file's name may be any bytes; the log says it as well as it can."""

    def refuse(row: ProbeRow, key: str) -> object:
        raise Rejected("no file 'caf\udce9'")

    probe.WRONG["switch"] = refuse
    engine = Engine(APP, "probe", CODEC)
    [logged] = engine.handle(engine.image(), [event(0, "switch")], 1).log
    assert logged.reason == "no file 'caf\\udce9'"
