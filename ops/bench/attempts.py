"""Runs that stick are told with their reason and made once again; a wrong result never is."""

from __future__ import annotations

import time
from collections.abc import Callable

from confluent_kafka import KafkaException

from ops.bench.figures import BenchFigures
from ops.bench.measure import TooFewSteps
from ops.bench.watch import GaveUp, WrongResult

STUCK = (GaveUp, TooFewSteps, TimeoutError, KafkaException)


def attempt(figures: BenchFigures, name: str, work: Callable[[str], None]) -> None:
    """`work` is given a prefix that nobody used before. Without a right result in every round, `name` has no figure."""
    for again in (True, False):
        if name in figures.left_out:
            return
        figures.prefixes.append(f"bench{time.time_ns() // 1_000_000}-")
        try:
            work(figures.prefixes[-1])
            return
        except STUCK as error:
            figures.repeated[name].append(str(error))
            if not again:
                figures.left_out[name] = str(error)
            figures.say(f"{name}: {'again, since ' if again else ''}{error}")
        except WrongResult as error:
            figures.left_out[name] = str(error)
            figures.say(str(error))
