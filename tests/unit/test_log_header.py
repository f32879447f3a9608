"""The header of a log record, which is written in a quick way for most events."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from streams.engine.changes import HandledRecord
from streams.engine.envelope import log_header, pack
from streams.engine.records import ACCEPTED, REJECTED
from streams.engine.stored import log_header_of, log_record, log_records

NUMBERS = st.integers(0, 2**62)


@given(
    NUMBERS, NUMBERS, NUMBERS, st.sampled_from([ACCEPTED, REJECTED]), st.none() | st.just("id"), st.none() | NUMBERS,
    st.booleans(), st.booleans(),
)
@example(1, 2, 3, ACCEPTED, None, None, False, False)
@example(1, 2, 3, ACCEPTED, None, None, False, True)
@example(1, 0, 3, ACCEPTED, None, None, False, False)
def test_it_is_written_as_the_struct_is(
    offset: int, sequence: int, recorded: int, outcome: str, own_id: str | None, own_time: int | None, timer: bool,
    duplicate: bool,
) -> None:
    """Byte for byte, with all of its members, whichever way it goes; and read back it is the same."""
    handled = HandledRecord(offset, outcome, sequence=sequence, recorded=recorded, key=b"k", value=b"v", fingerprint="f00")
    handled.reason = None if outcome == ACCEPTED else 'a "reason"'
    handled.own_id, handled.own_time, handled.timer, handled.duplicate = own_id, own_time, timer, duplicate
    headers = log_record(handled).headers
    assert list(log_records([handled])) == ([log_record(handled)] if handled.logged else [])
    assert headers == [pack(log_header_of(handled))]
    assert log_header(headers) == log_header_of(handled)
