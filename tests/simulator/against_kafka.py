"""Draws scripts and plays them on both: `python -m tests.simulator --against-kafka 300`, on an embedded broker of its own."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings

from streams.localbroker import embedded
from tests.simulator.drawn_scripts import scripts
from tests.simulator.script import Script, text_of
from tests.simulator.side_by_side import Difference, RealSide, in_memory

SHOWN = 3
"""Differences that are shown in a script that is as short as possible."""


def drawn(count: int) -> list[Script]:
    """No two alike."""
    found: dict[str, Script] = {}

    @settings(max_examples=2 * count, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(scripts())
    def collect(it: Script) -> None:
        if len(found) < count:
            found.setdefault(text_of(it), it)

    collect()
    return list(found.values())


def smaller(real: RealSide, difference: Difference) -> Difference:
    """The same without the operations that it shows itself without, too: all that leave out one are tried at once."""
    while shown := difference.script:
        fewer = [shown[:at] + shown[at + 1 :] for at in range(len(shown))]
        found = next(real.differences(fewer, [in_memory(it) for it in fewer]), None)
        if found is None:
            break
        difference = found
    return difference


def against_kafka(count: int, keep: Path | None) -> int:
    """How many scripts show a difference; some are shown as small as they get. Others go to `keep`."""
    there = set(keep.read_text().splitlines()) if keep is not None and keep.exists() else set()
    drawn_scripts = drawn(count)
    with tempfile.TemporaryDirectory() as state, embedded.start(Path(state)) as broker:
        real = RealSide(broker.address, "drawn-")
        found = list(real.differences(drawn_scripts, [in_memory(it) for it in drawn_scripts]))
        for it in found[:SHOWN]:
            print(f"{smaller(real, it)}\n", file=sys.stderr, flush=True)
    if keep is not None:
        differing = [it.script for it in found]
        kept = [text_of(it) for it in drawn_scripts if it not in differing]
        keep.write_text("".join(f"{line}\n" for line in sorted({*there, *kept})))
    print(f"{len(drawn_scripts)} scripts were played on both, {len(found)} show a difference")
    return len(found)
