"""When a worker's process looks for reference cycles."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from streams.cli.process.collector import COLLECT_AFTER, OLD, WHILE_ANOTHER_LIVES, BetweenBatches


class Circle:
    """It refers to itself, so only the collector frees it."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def _no_other_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_cycles_are_collected_between_batches_when_many_containers_are_new() -> None:
    """By how many there are, as Python itself does it."""
    circle = weakref.ref(Circle())
    between_batches()
    assert circle() is None


def test_nothing_is_collected_between_small_batches() -> None:
    """An idle worker has hundreds of cycles a second."""
    circle = weakref.ref(Circle())
    between = BetweenBatches()
    between.taken()
    between.dropped()
    assert circle() is not None


def test_what_another_namespace_has_in_hand_is_not_looked_through() -> None:
    """All of it lives, and three namespaces are hardly ever without a batch: they wait for more to be new, and then collect."""
    circle, between = weakref.ref(Circle()), BetweenBatches()
    between.taken()
    between.taken()
    many = [[] for _ in range(2 * COLLECT_AFTER)]
    between.dropped()
    assert circle() is not None
    between.dropped()
    assert circle() is None
    circle = weakref.ref(Circle())
    between.taken()
    between.taken()
    many += [[] for _ in range(WHILE_ANOTHER_LIVES + COLLECT_AFTER)]
    between.dropped()
    assert circle() is None


def test_old_cycles_are_collected_less_often_between_batches() -> None:
    """All of them, when a hundred collections have left out the oldest."""
    circle = Circle()
    gc.collect(1)
    freed = list[bool]()
    weakref.finalize(circle, freed.append, True)
    del circle
    between_batches()
    assert not freed
    for _ in range(OLD + 1):
        gc.collect(1)
    between_batches()
    assert freed


def between_batches() -> None:
    between = BetweenBatches()
    between.taken()
    many = [[] for _ in range(2 * COLLECT_AFTER)]
    between.dropped()
    assert many
