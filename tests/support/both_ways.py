"""An application whose records are handled in the quick way and in the careful one, side by side; what comes out must be equal."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_args, get_origin
from unittest.mock import patch

from confluent_kafka import murmur2
from msgspec.structs import fields, replace

from streams import App
from streams.codec import codec_of
from streams.data import EventData, Record, namespace_of
from streams.engine import control
from streams.engine.attempts import Attempt
from streams.engine.attributes import time_text
from streams.engine.batch import CallAnswer, PartitionWork
from streams.engine.changes import Changes, HandledRecord
from streams.engine.control import OperatorCommand
from streams.engine.engine import Engine
from streams.engine.event_handlers import Inbox, Limits
from streams.engine.quick_handling import QuickHandling
from streams.engine.records import Headers, InboxRecord
from streams.engine.timers import due_timers
from streams.engine.times import to_micros
from streams.hints import without_none
from streams.testing.world_io import ask, headers_of

START = datetime(2026, 3, 1, tzinfo=UTC)
KEYS = ("k0", "k1", "k2", "k3", "ä" * 40)
SOURCES = ("test", "test", "test", "retold/x/y", "/other")
PARTITIONS = 2


class Calls:
    """Watches as a worker does: every call of a handler, and that it has ended. `refused` have never returned before."""

    ctrl_c = False

    def __init__(self, refused: Callable[[Attempt], bool]) -> None:
        self.seen: list[Attempt | None] = []
        self._refused = refused

    def began(self, attempt: Attempt) -> None:
        self.seen.append(attempt)
        if self._refused(attempt):
            raise TimeoutError("it never returned")

    def ended(self) -> None:
        self.seen.append(None)

    def out_of_time(self) -> bool:
        return False


class Side:
    """One namespace's partition in one of the two ways."""

    def __init__(self, app: App, namespace: str, partition: int, limits: Limits) -> None:
        self.codec = codec_of(app)
        self.engine = Engine(app, namespace, self.codec, limits=limits, inbox=Inbox(namespace, f"id-{namespace}", partition_of))
        self.image = self.engine.image(partition)
        self.rows: dict[str, tuple[bytes, int]] = {}

    def handle(self, work: PartitionWork, now: int, calls: Calls) -> Changes:
        [*_, changes] = self.engine.process(self.image, work, now, attempts=calls)
        return changes

    def apply(self, changes: Changes) -> None:
        self.image.apply(changes)
        self.rows |= {key: (value, changes.rows[key][1]) for key, value in changes.row_bytes.items()}

    def restore_rows(self) -> None:
        """As after a restart: rows are bytes until their key is handled."""
        self.image.rows = self.engine.rows()
        for key, (value, version) in self.rows.items():
            self.image.rows.restore(key, value, version)


def partition_of(key: bytes) -> int:
    return int(murmur2(key, PARTITIONS))


@contextmanager
def carefully() -> Iterator[None]:
    """No record is taken in the quick way."""
    with patch.object(QuickHandling, "take", lambda *_: False):
        yield


class BothWays:
    """Each action is one of `ACTIONS` with a number, of which three are made that say what it is about."""

    def __init__(self, app: App, limits: Limits) -> None:
        self.app, self.now, self.quick = app, START + timedelta(days=1), 0
        self.codec = codec_of(app)
        self.types = list(app.event_types().values())
        self._gateways = {gateway.data: gateway for gateway in app.gateways}
        self._places = [(space.name, at) for space in app.namespaces for at in range(PARTITIONS)]
        self._sides = {place: (Side(app, *place, limits), Side(app, *place, limits)) for place in self._places}
        self.inboxes: dict[tuple[str, int], deque[InboxRecord]] = defaultdict(deque)
        self._offsets: dict[tuple[str, int], int] = defaultdict(int)
        self.results: list[HandledRecord] = []
        self.everything: list[tuple[str, bytes | None, bytes | None, Headers | None]] = []

    def act(self, action: str, number: int) -> None:
        number, a = divmod(number, 101)
        c, b = divmod(number, 103)
        getattr(self, action)(a, b, c)

    def publish(self, a: int, b: int, c: int) -> None:
        """An event of type `a` about key `b`, with other values by `c`."""
        data = made(self.types[a % len(self.types)], KEYS[b % len(KEYS)], c)
        source = SOURCES[c // 3 % len(SOURCES)]
        headers = headers_of(data, f"id-{len(self.everything)}", source, time_text(START + timedelta(hours=c % 30, minutes=b % 3)))
        self.put(namespace_of(data.event_type), data.key.encode(), self.codec.encode(data), headers)

    def again(self, a: int, b: int, c: int) -> None:
        """A duplicate of record `a`; sometimes with the body of record `b`, from another source, or in the wrong partition."""
        if self.everything:
            latest = self.everything[-6:] if b % 2 else self.everything
            namespace, key, value, headers = latest[a % len(latest)]
            if c % 3 == 0:
                value = latest[b % len(latest)][2]
            elif c % 3 == 1:
                headers = [(name, b"other" if name == "ce_source" else text) for name, text in headers or []]
            self.put(namespace, key, value, headers, astray=c % 5 == 0)

    def odd(self, a: int, b: int, c: int) -> None:
        """Record `a`, mostly under a new id, with something wrong by `b` and `c`."""
        if self.everything:
            namespace, key, value, kept = self.everything[a % len(self.everything)]
            headers = [(name, b"new-%d" % len(self.everything) if name == "ce_id" and a % 4 else text) for name, text in kept or []]
            self.put(namespace, *_spoilt(key, value, headers, b, c))

    def command(self, a: int, b: int, c: int) -> None:
        """An operator's command about the first event of a key that is parked."""
        parked = [(place, key, queue[0]) for place in self._places for key, queue in self._sides[place][0].image.parked.items()]
        if parked:
            (namespace, _), key, first = parked[a % len(parked)]
            what: Any = ("retry", "reject", "reject")[b % 3]
            said = OperatorCommand(what, key, first.offset, "ada", timer=first.timer)
            self.put(namespace, key.encode(), control.encode(said), [])

    def handle(self, a: int, b: int, c: int) -> None:
        """A batch of at most `b` records of a partition. Of some batches one handler is not called, as it never returned."""
        ready = [place for place in self._places if self.inboxes[place]]
        if ready:
            place = ready[a % len(ready)]
            inbox = self.inboxes[place]
            records = [inbox[number] for number in range(min(len(inbox), b % 40 + 1))]
            refused = records[c % len(records)][0] if c % 4 == 0 else None
            changes = self._handle(place, PartitionWork(records=records), refused)
            for _ in range(changes.taken):
                inbox.popleft()
            if changes.blocked is not None:
                inbox.popleft()

    def fire(self, a: int, b: int, c: int) -> None:
        """The wall clock goes on, and fires timers."""
        self.now += timedelta(hours=b % 9)
        place = self._places[a % len(self._places)]
        timers = due_timers(self._sides[place][0].image, to_micros(self.now))
        self._handle(place, PartitionWork(timers=timers), None)

    def restart(self, a: int, b: int, c: int) -> None:
        for side in self._sides[self._places[a % len(self._places)]]:
            side.restore_rows()

    def _handle(self, place: tuple[str, int], work: PartitionWork, refused: int | None) -> Changes:
        quick, careful = self._sides[place]
        calls = [Calls(lambda attempt: attempt.offset == refused) for _ in range(2)]
        now = to_micros(self.now)
        with counted() as taken:
            changes = quick.handle(work, now, calls[0])
        self.quick += len(taken)
        with carefully():
            expected = careful.handle(work, now, calls[1])
        assert comparable(changes) == comparable(expected)
        assert calls[0].seen == calls[1].seen, "handlers were called for other events, or more than once"
        self.results += changes.results
        for side in (quick, careful):
            side.apply(changes if side is quick else expected)
        for record in [*changes.emitted, *self._answers(quick, changes)]:
            if record.namespace in {name for name, _ in self._places}:
                self.put(*record)
        return changes

    def _answers(self, side: Side, changes: Changes) -> list[Any]:
        found = []
        for call in changes.calls.values():
            batch = side.engine.begin(side.image, to_micros(self.now))
            batch.answer(CallAnswer(call, ask(self._gateways[type(call.event.data)], call.event)))
            found += batch.changes.emitted
        return found

    def put(
        self, namespace: str, key: bytes | None, value: bytes | None, headers: Headers | None, *, astray: bool = False
    ) -> None:
        place = (namespace, (partition_of(key or b"") + astray) % PARTITIONS)
        self.everything.append((namespace, key, value, headers))
        self.inboxes[place].append((self._offsets[place], key, value, headers, to_micros(self.now) // 1000))
        self._offsets[place] += 1


ACTIONS = ("publish", "publish", "publish", "again", "odd", "command", "handle", "handle", "handle", "fire", "restart")


@contextmanager
def counted() -> Iterator[list[InboxRecord]]:
    """What is taken in the quick way."""
    taken, take = list[InboxRecord](), QuickHandling.take

    def counting(self: QuickHandling, record: InboxRecord) -> bool:
        if take(self, record):
            taken.append(record)
            return True
        return False

    with patch.object(QuickHandling, "take", counting):
        yield taken


def comparable(changes: Changes) -> dict[str, Any]:
    """All of it; of a traceback only its last line, for the frames above the handler are others."""
    found = dict(vars(changes))
    for name in ("set_aside", "queues"):
        kept = found[name].items() if name == "queues" else [("", found[name])]
        found[name] = [
            (key, [it._replace(header=replace(it.header, detail=it.header.detail[-40:])) for it in asides]) for key, asides in kept
        ]
    found["raised"] = [(key, text[:30]) for key, text in changes.raised]
    found["order"] = [list(it) for it in (changes.rows, changes.row_bytes, changes.remembered, changes.settled, changes.calls)]
    return found


def made(cls: type[EventData], key: str, variant: int) -> EventData:
    """Data of this class; its values are few, so that each way of a handler is gone."""
    values = {it.name: _value(it.type, it.name, variant + 7 * number) for number, it in enumerate(fields(cls))}
    return cls(**{**values, cls.key_field: key})


HOWS = (
    "count", "echo", "raise", "none", "undeclared", "mutate row", "bad row", "refusing row", "wrong row", "bad emission", "refuse",
    "delete",
)  # fmt: skip


def _value(hint: Any, name: str, variant: int) -> Any:
    hint = without_none(hint)
    if name == "how":
        return HOWS[variant % len(HOWS)]
    if hint is str:
        return KEYS[variant % len(KEYS)]
    if hint is int:
        return (0, 1, 2, 3, 13, 99, 26, -1)[variant % 8]
    if hint is datetime:
        return START
    if get_origin(hint) is Literal:
        return get_args(hint)[variant % len(get_args(hint))]
    item = get_args(hint)[0]
    assert issubclass(item, Record)
    return tuple(item(**{it.name: _value(it.type, it.name, variant) for it in fields(item)}) for _ in range(variant % 3))


TIMES = [b"2026-03-01T05:00:00+01:00", b"2026-03-01T05:00:00", b"noon", b"2026-03-01T05:00:00.5Z", b"9999-12-31T23:59:59-01:00"]
VALUES = [b"", b"x", b"7", b"101", b"\xff", b"retold/x/y", "ä".encode(), b"x" * 2000]
MORE = [
    "ce_expectedversion", "ce_hops", "ce_causationid", "ce_ordinal", "ce_revision", "ce_sequence", "retold", "tenant",
    "traceparent", "ce_subject", "ce_causationsource", "ce_id",
]  # fmt: skip


def _spoilt(
    key: bytes | None, value: bytes | None, headers: Headers, b: int, c: int
) -> tuple[bytes | None, bytes | None, Headers | None]:
    """Key, value and headers with one thing changed."""
    at = c % len(headers) if headers else 0
    match b % 10:
        case 0 if headers:
            del headers[at]
        case 1 | 2 if headers:
            name = headers[at][0]
            values = TIMES if "time" in name else VALUES
            headers[at] = name, values[c // 7 % len(values)]
        case 3 | 4:
            headers.append((MORE[c % len(MORE)], VALUES[c // 12 % len(VALUES)]))
        case 5:
            return (b"other", None)[c % 2], value, headers
        case 6:
            return key, None if c % 4 == 0 or not value else value[: c % len(value)], headers
        case 7 if value:
            changed = bytearray(value)
            changed[c % len(value)] ^= 1 + c % 200
            return key, bytes(changed), headers
        case 8:
            return key, value, ([], None)[c % 2]
        case _:
            headers.reverse()
    return key, value, headers
