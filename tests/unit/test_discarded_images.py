"""An image that is not used any more is freed little by little."""

from __future__ import annotations

from itertools import pairwise

from streams.engine.image import Image
from streams.worker.discarded_images import AT_ONCE, DiscardedImages
from tests.simulator.time import StepBackground, VirtualClock


def filled(count: int) -> Image:
    image = Image(window=count // 2)
    image.rows.apply({f"k{number}": (None, number) for number in range(count)})
    for number in range(count):
        image.window.add({b"%d" % number: (number, 0, "accepted")})
    return image


def size(image: Image) -> int:
    return len(image.rows) + len(image.window)


def test_no_step_frees_more_than_a_part() -> None:
    """While a step frees rows no other thread runs. In the end nothing is left, of rows and of both parts of the window."""
    background, images = StepBackground(clock := VirtualClock()), [filled(3 * AT_ONCE), filled(AT_ONCE // 2)]
    discarded, sizes = DiscardedImages(background), [sum(map(size, images))]
    for image in images:
        discarded.add(image)
    while background.jobs and len(sizes) < 100:
        background.step()
        clock.sleep(1.0)
        sizes.append(sum(map(size, images)))
    assert sizes[-1] == 0
    assert max(before - after for before, after in pairwise(sizes)) <= AT_ONCE
    discarded.add(image := filled(10))
    background.step()
    assert size(image) == 0, "an image that comes later is not freed"


def test_nothing_is_freed_by_a_worker_that_leaves() -> None:
    """Its partitions wait for it to go, and its memory ends with its process."""
    background = StepBackground(VirtualClock())
    discarded, first, second = DiscardedImages(background), filled(2 * AT_ONCE), filled(10)
    discarded.add(first)
    background.step()
    before = size(first), size(second)
    discarded.close()
    discarded.add(second)
    background.close(wait=True)
    assert (size(first), size(second)) == before
