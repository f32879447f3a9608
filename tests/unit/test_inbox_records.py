"""What a worker takes out of the messages of a poll, many at once, and how it hands records to the client."""

from __future__ import annotations

from typing import Any

import pytest
from confluent_kafka import Producer

from streams.engine.records import UNREADABLE
from streams.kafka.messages import inbox_records
from streams.kafka.producer import PLAIN


class Sent:
    """A message as Confluent's client 2.16 gives it: without a text for a header's name it raises, and only the first time."""

    def __init__(self, offset: int, headers: Any) -> None:
        self._offset, self._headers, self._asked = offset, headers, False

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes:
        return b"k%d" % self._offset

    def value(self) -> bytes | None:
        return b"v" if self._offset % 2 else None

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_000 + self._offset

    def headers(self) -> Any:
        assert not self._asked
        self._asked = True
        if self._headers is SystemError:
            raise SystemError
        return self._headers


@pytest.mark.parametrize("odd", [{0}, {2}, {4}, {1, 2}, set(range(5)), set()])
def test_headers_that_do_not_read_are_those_of_their_record_alone(odd: set[int]) -> None:
    """Each message is asked once, and the others have theirs; a record without any has an empty list."""
    plain = [("a", b"1")]
    headers = [SystemError if n in odd else None if n == 3 else plain for n in range(5)]
    records = list(inbox_records([Sent(n, it) for n, it in enumerate(headers)]))  # type: ignore[misc]  # read alike
    assert [record[:3] for record in records] == [(n, b"k%d" % n, b"v" if n % 2 else None) for n in range(5)]
    assert [record[4] for record in records] == [1_000 + n for n in range(5)]
    assert [record[3] for record in records] == [[] if it in (SystemError, None) else it for it in headers]
    assert {n for n, record in enumerate(records) if record[3] is UNREADABLE} == odd


def test_the_client_takes_headers_by_their_place() -> None:
    """A version of it that has another order would write every record of a worker by the slow way, and say nothing."""
    producer = Producer({"bootstrap.servers": "127.0.0.1:1", "log_level": 0})
    producer.produce("t", b"v", b"k", 0, *PLAIN, [("a", b"1")])
    with pytest.raises(TypeError, match="headers"):
        producer.produce("t", b"v", b"k", 0, *PLAIN, 7)
    producer.purge()
