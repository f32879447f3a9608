"""The purity run: repeats what a World did in another process and compares the results (rule 21).

The other process has another hash seed, time zone and locale, and its clock, random numbers and sockets raise.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from streams.engine.changes import Changes
from streams.engine.envelope import ParkedHeader
from streams.engine.stored import log_record
from streams.errors import ConfigError, how_ended
from streams.testing.results import Step
from streams.testing.world import World

SEEDS = (1, 2, 3)
SECONDS = 60


def purity_probe(world: World, app: str, *, seeds: Sequence[int] = SEEDS) -> list[str]:
    """Handle again, in other processes, all that the world handled, and compare: a pure handler decides alike each time.

    Each run is a process with another hash seed, time zone and locale, in which clocks, random numbers and sockets raise.

    Args:
        world: A world that has handled something.
        app: The function that makes its application, as `module:function`; it is called without arguments.
        seeds: The hash seeds, one run for each.

    Returns:
        The first difference of each run, as a sentence; empty if there is none.

    Raises:
        ConfigError: The application could not be run there.

    """
    expected = [trace(step.changes) for step in world.steps]
    records = msgspec.msgpack.encode([(step.namespace, step.now, step.record, step.fired) for step in world.steps])
    found: list[str] = []
    for seed in seeds:
        got = _in_another_process(app, records, seed)
        found += _first_difference(world.steps, expected, got, seed)
    return found


def _in_another_process(app: str, records: bytes, seed: int) -> list[Any]:
    """The traces of the same records in a process of its own, which inherits no environment."""
    environment = {
        "PYTHONHASHSEED": str(seed),
        "PYTHONPATH": ":".join([str(Path.cwd()), *filter(None, sys.path)]),
        "TZ": "Pacific/Chatham",
        "LC_ALL": "C",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONUTF8": "0",
    }
    command = [sys.executable, "-m", "streams.testing.purity_process", app]
    done = subprocess.run(command, input=records, capture_output=True, env=environment, timeout=SECONDS, check=False)
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace")[-2000:]
        raise ConfigError(f"{app} could not be run in another process, which {how_ended(done.returncode)}:\n{said}")
    traces: list[Any] = msgspec.msgpack.decode(done.stdout)
    return traces


def _first_difference(steps: Sequence[Step], expected: list[Any], got: list[Any], seed: int) -> Iterator[str]:
    for step, here, there in zip(steps, expected, got, strict=True):
        if here != there:
            part = next(name for name in here if here[name] != there[name])
            at = f"{step.namespace}@{step.record[0]}" if step.record is not None else f"a timer of {step.namespace}"
            yield (
                f"{at} gave other {part} in a process with PYTHONHASHSEED={seed}: "
                f"here {here[part]!r:.500}, there {there[part]!r:.500}"
            )
            return


def trace(changes: Changes) -> dict[str, Any]:
    """The result of handling a record without tracebacks, in MessagePack's types; what explains a difference best is first."""
    return {
        "parked": [[aside.offset, aside.value, _reason(aside.header)] for aside in changes.set_aside],
        "rows": [[key, changes.row_bytes[key]] for key in changes.row_bytes],
        "log": [_record(*log_record(handled)) for handled in changes.log],
        "emissions": [_record(emitted.key, emitted.value, emitted.headers) for emitted in changes.emitted],
        "timers": [[due.at, due.emitted.value, due.event_id] for due in changes.due],
        "duplicates": [[it.offset, it.sequence, it.outcome] for it in changes.duplicates],
    }


def _record(key: bytes, value: bytes, headers: list[tuple[str, bytes]]) -> list[Any]:
    return [key, value, [list(header) for header in headers]]


def _reason(header: ParkedHeader) -> list[Any]:
    return [header.status, header.key, header.reason]
