"""Clients that are replaced once they are stale, and requests that end in time (rule 35)."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any, Generic, TypeVar

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from streams.clock import SYSTEM, Clock
from streams.kafka.cancellable_steps import Cancelled, never_cancelled, raise_if_cancelled

log = logging.getLogger("retold.kafka")

C = TypeVar("C")
K = TypeVar("K")
T = TypeVar("T")
V = TypeVar("V")

SILENCES = 2
DROPPED = KafkaError._DESTROY_BROKER
"""The client itself dropped a request, since it made new handles of its brokers meanwhile, as after a freeze."""
SLICE = 0.1
"""s between two checks whether a request was cancelled."""
GRACE = 1.0
"""s beyond its timeout in which a client must report that a request timed out."""
LED = 300.0
"""s for which a client knows who leads a topic, well below the 900 s of librdkafka's cache."""
HURRY = 1.0
"""s without an answer after which the client is made to ask for the cluster's controller."""
FIRST_TERM, LONGEST_TERM = 1.0, 8.0
"""s that a client is kept which took the place of a silent one; twice as long each time, until one gets an answer."""
METADATA, LONGEST_METADATA = 1.0, 3.0
"""s for a metadata request, which cannot be cancelled; the longer, the longer a client is kept."""


def got_no_answer(error: KafkaException) -> bool:
    """Whether the error is the client's own and not a broker's answer: a timeout, no leader, no connection."""
    return bool(error.args[0].code() < 0)


def silence(what: str) -> KafkaException:
    """A timeout error that the client did not raise itself."""
    return KafkaException(KafkaError(KafkaError._TIMED_OUT, what))


class RenewedClient(Generic[C]):
    """A client that is replaced after two requests in a row without an answer.

    After its broker had been frozen for 30 s, a client timed out for ever, or knew of no leader, while a new one got an
    answer in 10 ms. But where a broker is slow, each new client has to connect first, and gets no answer in time either: so
    one that took the place of another is kept for a term. `close` is called with the old one. Threads may share this as they may
    share the client. `clock` measures terms.
    """

    def __init__(self, make: Callable[[], C], close: Callable[[C], None] = lambda _: None, clock: Clock = SYSTEM) -> None:
        self._make, self._close, self.clock = make, close, clock
        self._lock = threading.Lock()
        self._silences = 0
        self._term, self._kept_until = 0.0, 0.0
        """s, and until when (by the monotonic clock) the client is kept, whether it gets an answer or not."""
        self.client = make()

    def ask(self, question: Callable[[C], T]) -> T:
        """What `question` returns or raises. A KafkaException of the client's own counts as no answer."""
        client, answer = self._answer(question)
        self.heard(client, silent=False)
        return answer

    def _answer(self, question: Callable[[C], T]) -> tuple[C, T]:
        """From which client, and what. One that raised is not kept by its error: see _outcome."""
        client = self.client
        try:
            return client, question(client)
        except KafkaException as error:
            self.heard(client, silent=got_no_answer(error))
            del client
            raise error.with_traceback(None)  # noqa: B904 - it is the same error

    def heard(self, client: C, *, silent: bool) -> None:
        with self._lock:
            if client is not self.client:  # another thread has replaced it meanwhile
                return
            self._silences = self._silences + 1 if silent else 0
            if not silent:
                self._term, self._kept_until = 0.0, 0.0
            if self._silences < SILENCES or (now := self.clock.monotonic()) < self._kept_until:
                return
            self._term = min(max(FIRST_TERM, 2 * self._term), LONGEST_TERM)
            self._silences, self._kept_until, self.client = 0, now + self._term, self._make()
        log.info("a Kafka client got no answer %d times in a row; replacing it", SILENCES)
        self._close(client)

    def close(self) -> None:
        self._close(self.client)


def as_raised(call: Callable[[], T]) -> T:
    """Raises what was raised within a call of a Kafka client, though Python makes a SystemError of it (confluent-kafka 2.16).

    A signal's handler raises in an admin client's call, such as KeyboardInterrupt, and the client returns a result all the same. A
    producer that was fenced raises in a flush or poll, and still calls the callback of a delivery.
    """
    try:
        return call()
    except SystemError as error:
        if isinstance(error.__cause__, KeyboardInterrupt | SystemExit | KafkaException):
            raise error.__cause__ from None
        raise


class Admin(RenewedClient[AdminClient]):
    """The only user of AdminClients. `clock` measures timeouts."""

    def __init__(self, make: Callable[[], AdminClient], clock: Clock = SYSTEM) -> None:
        super().__init__(make, clock=clock)
        self._led: tuple[Callable[[], AdminClient | None], frozenset[str], float] = lambda: None, frozenset(), 0.0
        """A client, the topics whose leaders it knows, and until when (by the monotonic clock).

        One that was replaced is not kept here: while the broker is away, no other one takes its place.
        """

    def learn_leaders(self, topics: Iterable[str], timeout: float) -> None:
        """Have the client know who leads these topics, before it is asked about their partitions. Raises KafkaException.

        librdkafka 2.16 (`rd_kafka_topic_partition_list_query_leaders_async`) else waits for the cluster's metadata, and uses freed
        memory if another thread's request brings some at that moment: the process is gone.
        """
        led_by, known, until = self._led
        if led_by() is not self.client or self.clock.monotonic() >= until or not known.issuperset(topics):
            self.refresh(timeout)

    def request(
        self,
        method: Callable[..., Mapping[K, Future[T]]],
        asked: object,
        *,
        timeout: float,
        read: Callable[[T], V],
        cancelled: Cancelled = never_cancelled,
        **options: Any,
    ) -> dict[K, V | KafkaException]:
        """Call a method of AdminClient: for each key what `read` makes of the answer, or the error, within `timeout` s.

        What the client drops is asked once more in the time that is left; who makes or deletes something must take it that it is
        so already. Raises PartitionLost when cancelled.
        """
        began = self.clock.monotonic()
        found = self._requested(method, asked, timeout, read, cancelled, options)
        left = began + timeout - self.clock.monotonic()
        if left > 0 and any(isinstance(each, KafkaException) and each.args[0].code() == DROPPED for each in found.values()):
            found = self._requested(method, asked, left, read, cancelled, options)
        return found

    def _requested(
        self,
        method: Callable[..., Mapping[K, Future[T]]],
        asked: object,
        timeout: float,
        read: Callable[[T], V],
        cancelled: Cancelled,
        options: Mapping[str, Any],
    ) -> dict[K, V | KafkaException]:
        client = self.client
        ask = getattr(client, method.__name__)  # by its name: the client may be a simulator's
        futures = as_raised(partial(ask, asked, request_timeout=timeout, **options))
        clock = self.clock
        began = asked_at = clock.monotonic()
        while not clock.wait(futures.values(), SLICE) and clock.monotonic() < began + timeout + GRACE:
            raise_if_cancelled(cancelled)
            left = began + timeout - clock.monotonic()
            if left > 0 and clock.monotonic() >= asked_at + HURRY:
                _learn_controller(client, min(HURRY, left))
                asked_at = clock.monotonic()
        found = {key: _outcome(future, read) for key, future in futures.items()}
        # One unavailable leader does not mean that the client is stale: others have answered it.
        silent = [isinstance(each, KafkaException) and got_no_answer(each) for each in found.values()]
        self.heard(client, silent=bool(silent) and all(silent))
        return found

    def refresh(self, timeout: float) -> None:
        """Make the client update its metadata, in a few seconds at most. Raises KafkaException.

        An answer does not reset the count of silences: a stale client may know the leader, and still send it nothing.
        """
        timeout = min(timeout, max(METADATA, min(self._term, LONGEST_METADATA)))
        client, found = self._answer(lambda it: it.list_topics(timeout=timeout))
        self._led = weakref.ref(client), frozenset(found.topics), self.clock.monotonic() + LED


def _learn_controller(client: AdminClient, timeout: float) -> None:
    """A client whose metadata has no controller waits for one, and sends no request by itself for minutes.

    After a freeze a broker reports no controller for a moment.
    """
    with suppress(KafkaException):
        client.list_topics(timeout=timeout)


def _outcome(future: Future[T], read: Callable[[T], V]) -> V | KafkaException:
    if not future.done():
        return silence("the client did not say that the request timed out")
    try:
        return read(future.result(0))
    except KafkaException as error:
        # Whoever keeps an error keeps the frames of its traceback, and with them the client; here it is the future, in a circle,
        # and a worker collects circles after a million containers. While its broker was away, no client that was replaced went.
        return error.with_traceback(None)
