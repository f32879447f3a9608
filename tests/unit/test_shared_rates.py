"""Rates that several processes share."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.server.access.request_rates import Rates, RequestRates
from streams.server.access.shared_rates import PATIENCE, SETS, SLOT, WAYS, SharedRates, make_shared_rates

TAKES = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5), st.floats(0, 2), st.booleans()), max_size=40)
TAKER = """
import sys
from streams.server.access.shared_rates import SharedRates
rates = SharedRates(int(sys.argv[1]))
print(sum(rates.take("shop", 1_000, 50.0) == 0 for _ in range(1_500)))
"""


@pytest.fixture
def memory() -> Iterator[int]:
    number = make_shared_rates()
    yield number
    os.close(number)


def waits(rates: Rates, takes: Sequence[tuple[str, int, float, bool]]) -> list[float]:
    now, found = 100.0, []
    for name, count, later, is_more in takes:
        now += later
        found.append(rates.take_more(name, 3, now, count) if is_more else rates.take(name, 3, now))
    return found


@given(TAKES)
def test_they_let_through_what_rates_of_one_process_do(takes: list[tuple[str, int, float, bool]]) -> None:
    """Whatever is taken, and when, the answers are those of the buckets that one process has for itself."""
    number = make_shared_rates()
    try:
        assert waits(SharedRates(number), takes) == waits(RequestRates(), takes)
    finally:
        os.close(number)


def test_several_processes_take_from_one_bucket(memory: int) -> None:
    """Three processes that take at the same time are given what one would be: the 2,000 of a burst."""
    command = [sys.executable, "-c", TAKER, str(memory)]
    running = [subprocess.Popen(command, pass_fds=[memory], stdout=subprocess.PIPE) for _ in range(3)]
    given = sum(int(each.communicate()[0]) for each in running)
    assert 2_000 <= given <= 2_003  # a machine so busy that one waits in vain for a lock lets one more through


def test_a_process_that_is_stopped_in_the_middle_holds_nobody_up(memory: int) -> None:
    """A set that another process has locked, and does not let go of, is used all the same."""
    program = f"import fcntl, sys; fcntl.lockf({memory}, fcntl.LOCK_EX); print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, pass_fds=[memory], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        taken = list[float]()
        thread = threading.Thread(target=lambda: taken.append(SharedRates(memory).take("shop", 5, 1.0)), daemon=True)
        thread.start()
        thread.join(20)
        assert taken == [0.0]
        rates, began = SharedRates(memory), time.monotonic()
        assert [rates.take("shop", 5, 1.0) for _ in range(9)] == [0.0] * 9
        assert time.monotonic() - began < 9 * PATIENCE  # once, and not for each of its requests
        holder.communicate(b"")


@pytest.mark.parametrize(("level", "at"), [(float("nan"), 1.0), (float("inf"), 1.0), (-1e9, 1e12), (1e9, 1.0)])
def test_what_half_was_written_lasts_no_longer_than_a_burst(memory: int, level: float, at: float) -> None:
    """Whatever stands in a bucket, a principal is let through as if it had been quiet, and no more often."""
    rates = SharedRates(memory)
    rates.take("shop", 5, 0.0)
    os.lseek(memory, 0, os.SEEK_SET)
    content = bytearray(os.pread(memory, SETS * WAYS * SLOT.size, 0))
    [place] = [it for it in range(0, len(content), SLOT.size) if any(content[it : it + 8])]
    SLOT.pack_into(content, place, bytes(content[place : place + 8]), level, at)
    os.pwrite(memory, content, 0)
    assert [rates.take("shop", 5, 2.0) == 0 for _ in range(11)] == [True] * 10 + [False]


def test_who_was_quiet_longest_makes_room(memory: int) -> None:
    """With more names than there is room for, each is still let through, and who asked last is remembered."""
    rates = SharedRates(memory)
    for number in range(SETS * WAYS * 2):
        rates.take(f"name {number}", 1, float(number))
    last = f"name {SETS * WAYS * 2 - 1}"
    assert [rates.take(last, 1, float(SETS * WAYS * 2)) == 0 for _ in range(3)] == [True, True, False]
