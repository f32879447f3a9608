"""Planning and applying corrections: CPU and wall time of one process, in memory and without a broker.

What is measured is deciding: the past is read and decided again for each round of steps, as it is with Kafka. What the broker and
workers take for the steps themselves is not in it.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

from streams.history.correction.correction_plan import CorrectionPlan
from streams.testing import World
from tests.applications import shop
from tests.applications.shop.events import Line, OrderPlace, StockReceive

ROUNDS = 5
COUNT = 1_000
"""Events of the one key, and keys that one change reaches."""
Say = Callable[[str], None]
Figures = dict[str, dict[str, float]]
T = TypeVar("T")


def a_long_key(count: int) -> tuple[World, Mapping[str, StockReceive]]:
    """So many deliveries of one thing, of which the first had another number of pieces."""
    world = World(shop.app())
    for number in range(count):
        world.when(StockReceive(sku="A1", quantity=1, price=3), id=f"receive-{number}")
    return world, {"receive-0": StockReceive(sku="A1", quantity=50, price=3)}


def many_keys(count: int) -> tuple[World, Mapping[str, StockReceive]]:
    """So many orders, each charged, of a thing that was never there."""
    world = World(shop.app())
    world.when(StockReceive(sku="A1", quantity=count, price=3), id="receive-0")
    for number in range(count):
        world.when(OrderPlace(order=f"o{number}", customer="c", lines=(Line(sku="A1", quantity=1),)), id=f"place-{number}")
        world.settle()
    return world, {"receive-0": StockReceive(sku="A1", quantity=0, price=3)}


def measure(say: Say, count: int = COUNT) -> Figures:
    found: Figures = {}
    for name, made in ((f"a key of {count:,} events", a_long_key), (f"{count:,} orders that are refused", many_keys)):
        times: dict[str, list[tuple[float, float]]] = {"plan": [], "apply": []}
        rows = 0
        for _ in range(ROUNDS):
            world, change = made(count)
            gc.collect()
            plan = _timed(times["plan"], lambda world=world, change=change: _plan(world, change))
            _timed(times["apply"], lambda world=world, plan=plan: world.apply(plan))
            rows = len(plan.rows)
        for what, of in times.items():
            found |= _figures(f"{what}, {name}, {rows:,} rows", of, say)
    return found


def _plan(world: World, change: Mapping[str, StockReceive]) -> CorrectionPlan:
    return world.history().correct(replace=change, by="ann", why="measured")


def _timed(into: list[tuple[float, float]], work: Callable[[], T]) -> T:
    wall, cpu = time.perf_counter(), time.process_time()
    done = work()
    into.append((time.process_time() - cpu, time.perf_counter() - wall))
    return done


def _figures(what: str, times: list[tuple[float, float]], say: Say) -> Figures:
    found: Figures = {}
    for kind, values in zip(("CPU", "wall"), zip(*times, strict=True), strict=True):
        found[f"{what}, ms of {kind}"] = {
            "median": round(statistics.median(values) * 1000, 1), "low": round(min(values) * 1000, 1),
            "high": round(max(values) * 1000, 1),
        }  # fmt: skip
        say(f"correct: {what}: {statistics.median(values) * 1000:,.0f} ms of {kind}")
    return found
