"""What a publisher may say of its event."""

from __future__ import annotations

import subprocess
import sys
from uuid import RFC_4122, UUID

import pytest

from streams import Event
from streams.engine.attributes import attributes
from streams.engine.calls import answer_headers
from streams.engine.changes import PendingCall
from streams.errors import InvalidEvent
from streams.prepared_event import ASKED_AT_ONCE, new_id
from streams.testing import START
from tests.applications.bank.events import AccountOpen

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_trace_is_a_header() -> None:
    """As W3C's Trace Context writes it, and as a record has it that comes over Kafka."""
    assert dict(attributes("a", "s", None, None, TRACE))["traceparent"] == TRACE.encode()
    with pytest.raises(InvalidEvent, match=r"traceparent of an event is '00-1'; expected"):
        attributes("a", "s", None, None, "00-1")


def test_a_gateways_answer_belongs_to_the_trace_of_its_request() -> None:
    """As what a handler emits does."""
    data = AccountOpen(account="a", balance=1)
    for headers in ([("traceparent", TRACE.encode())], []):
        call = PendingCall(Event(data, "i", START), 1, 0, b"", [("ce_id", b"i"), *headers], 0)
        written = answer_headers("retold/bank/account", call, data, 1)
        assert [pair for pair in written if pair[0] == "traceparent"] == headers


@pytest.mark.parametrize("source", ["retold/shop/order", "retold/a/b/c", "retold//"])
def test_no_publisher_is_a_worker(source: str) -> None:
    """Neither a Client nor `retold publish` writes under the source of events that handlers emit."""
    with pytest.raises(InvalidEvent, match="written by workers alone") as found:
        attributes("a", source, None)
    assert found.value.field == "source"


def test_a_new_id_is_a_random_uuid_of_its_own_in_each_process() -> None:
    """Also where many are made, and in a process that was forked when some were left."""
    here = [new_id() for _ in range(3 * ASKED_AT_ONCE + 1)]
    assert all(str(UUID(it)) == it and UUID(it).version == 4 and UUID(it).variant == RFC_4122 for it in here)
    forks = "import os; from streams.prepared_event import new_id; new_id(); os.fork(); print(new_id() + '\\n', end='', flush=True)"
    there = subprocess.run([sys.executable, "-c", forks], capture_output=True, text=True, check=True).stdout.split()
    made = [*here, *there]
    assert len(there) == 2
    assert len(set(made)) == len(made)
