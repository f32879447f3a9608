"""The recorded past: how fast it is written, read, decided again and verified, in CPU time of one process and without a broker.

The events are those of the bank in the tests: transfers between accounts, of which each is five events in two namespaces. So
what is measured is what the properties there hold for.
"""

from __future__ import annotations

import gc
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import msgspec

from ops.bench.child import ROOT
from ops.bench.environments import python_of
from ops.bench.history_file import CODE, HistoryFixture, a_past_of_keys, a_past_of_transfers, with_copies
from streams.cli.process.base_code import CodeProcess
from streams.cli.process.collector import spare_the_collector
from streams.history.branch.branch import replay_difference, what_if
from streams.history.branch.change import Change
from streams.history.code.code_link import CodeLink
from streams.history.cut_past import Cut
from streams.history.stored.read_ahead import ReadAhead
from streams.history.stored.stored_rows import StoredRows
from streams.server.readmodel.store_high_water import fill_high_water

ROUNDS = 5
ASKED = {"one": 1, "some": 1_000, "many": 100_000}
"""Keys, with their events, whose rows are asked for as of a time."""
Say = Callable[[str], None]
Figures = dict[str, dict[str, float]]


class HistoryFigures:
    """Median, lowest and highest of each, by what it is of."""

    def __init__(self, say: Say) -> None:
        self.figures: Figures = {}
        self._say = say

    def add(self, what: str, found: list[float]) -> None:
        self.figures[what] = {
            "median": round(statistics.median(found), 2), "low": round(min(found), 2), "high": round(max(found), 2),
        }  # fmt: skip
        self._say(f"history: {what}: {statistics.median(found):,.1f} ({min(found):,.1f} to {max(found):,.1f})")

    def rate(self, what: str, work: Callable[[], int], rounds: int = ROUNDS) -> None:
        """`work` returns how many it did."""
        found = []
        for _ in range(rounds):
            gc.collect()
            began = time.process_time()
            count = work()
            found.append(count / (time.process_time() - began))
        self.add(f"{what}, /s of CPU", found)

    def milliseconds(self, what: str, work: Callable[[], object], rounds: int = 3 * ROUNDS) -> None:
        found = []
        for _ in range(rounds):
            began = time.process_time()
            work()
            found.append((time.process_time() - began) * 1000)
        self.add(f"{what}, ms", found)


def measure(folder: Path, transfers: int, total: int, say: Say) -> Figures:
    """`transfers` of the bank; `total` records in the file in which a what-if is asked."""
    spare_the_collector()
    found = HistoryFigures(say)
    say(f"history: making {transfers:,} transfers")
    with closing(a_past_of_transfers(folder / "bank", transfers, random.Random(7))) as bank:  # noqa: S311 - no secret
        found.add("import from the log's messages, /s of CPU", [bank.imported_per_second])
        found.rate("high-water times", lambda: _high_water(bank))
        found.rate("ordered scan", lambda: sum(1 for _ in bank.past().events()))
        found.rate("replay with the difference, other code in its own process", lambda: _replay(bank))
        _rehydrate(found, bank, folder, say)
        found.rate("verify, log records", lambda: _verified(bank), 3)
        found.add("memory of a branch that decides everything, kB an event", [_branch_memory(bank)])
        _what_if(found, bank, total)
    with closing(a_past_of_keys(folder / "keys", ASKED)) as keys:
        for name, events in ASKED.items():
            found.milliseconds(f"as of a time, a key of {events:,}", lambda name=name: _as_of(keys, name))
    return found.figures


def _high_water(bank: HistoryFixture) -> int:
    bank.db.execute("update record set high = null")
    count = 0
    while some := fill_high_water(bank.db, 2**62):
        count += some
    return count


def _replay(bank: HistoryFixture) -> int:
    past = ReadAhead(bank.past())
    with _environment(RETOLD_APP="tests.applications.bank:app"), CodeProcess(ROOT) as other:
        link = CodeLink(bank.handlers, past.logged(), other.requests, other.answers)
        difference = replay_difference(past, link, bank.handlers)
    assert difference.is_empty
    return difference.decided


def _rehydrate(found: HistoryFigures, bank: HistoryFixture, folder: Path, say: Say) -> None:
    """The accepted events, by `eventsourcing`."""
    file = folder / "events.json"
    with file.open("w") as lines:
        for it in bank.past().events():
            if it.accepted:
                lines.write(msgspec.json.encode([it.namespace, it.key, it.event_type, it.event.data]).decode() + "\n")
    command = [str(python_of("eventsourcing", say)), str(ROOT / "ops/bench/contestants/event_sourcing.py"), str(file), str(ROUNDS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        raise RuntimeError(f"eventsourcing failed:\n{done.stderr[-2000:]}")
    found.add("eventsourcing rehydrates the same events, /s of CPU", [float(line.split()[0]) for line in done.stdout.splitlines()])


def _verified(bank: HistoryFixture) -> int:
    report = bank.topics.verified()
    assert not report.findings
    return report.read.log


def _branch_memory(bank: HistoryFixture) -> float:
    """By how much a process of its own grows."""
    command = [sys.executable, "-m", "ops.bench.branch_memory", str(bank.file)]
    return float(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=600).stdout)


def _what_if(found: HistoryFigures, bank: HistoryFixture, total: int) -> None:
    """In a history of so many records: the bank's, and copies of them in other partitions, which no change reaches."""
    count = with_copies(bank, total)
    past = bank.past()
    for what, number in (("one of the last transfers", bank.transfers - 2), ("one in the midst", bank.transfers // 2)):
        [removed] = past.with_id(f"start-{number}")
        change = Change(remove=frozenset([removed.reference]))
        decided = what_if(past, bank.handlers, change).difference.decided
        rounds = 3 * ROUNDS if decided < 1_000 else 3
        name = f"what if {what} had not been, {decided:,} decisions in a history of {count:,}"
        found.milliseconds(name, lambda change=change: what_if(past, bank.handlers, change), rounds)


def _as_of(keys: HistoryFixture, key: str) -> None:
    """From its last checkpoint on, as the command and the server do."""
    [last] = keys.db.execute("select high from record where ns = 'bench' and key = ? order by seq desc limit 1", (key,)).fetchone()
    rows = StoredRows(keys.past(), Cut(as_of=last), keys.handlers, CODE)
    assert rows.entry(("bench", key))[0] is not None


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values, PYTHONPATH=os.pathsep.join([str(ROOT), *sys.path]))
    try:
        yield
    finally:
        os.environ.pop("PYTHONPATH")
        os.environ.update({name: text for name, text in before.items() if text is not None})
