"""The demonstration's report: one user's events and what followed, the tables, times and rates, where to look next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path

from ops import demo_story as story
from ops import demo_timing as timing
from processors import app as make_app
from streams.cli.output.screen import plural, say_lines, table
from streams.codec import codec_of
from streams.config import Config
from streams.data import Record
from streams.engine.times import from_micros
from streams.kafka.clients import Clients
from streams.kafka.messages import LogEntry, LogEvent
from streams.kafka.status import Status
from streams.kafka.tables_and_logs import Tail, read_table

NAMESPACES = [namespace.name for namespace in make_app().namespaces]
SHOWN = 3
COLUMNS = {
    "user": ("email", "plan", "reputation", "since"),
    "folder": ("owner", "name"),
    "email": ("to", "status"),
}


@dataclass(frozen=True)
class Contents:
    """What Kafka holds afterwards: log records counted by namespace and outcome, their times, the tables, one chain."""

    outcomes: Counter[tuple[str, str]]
    rows: dict[str, dict[str, tuple[Record, int]]]
    chain: list[LogEvent]
    times: timing.LogTimes


@dataclass(frozen=True)
class Result:
    """`seconds` is the whole run; `phases` are parts of it, which overlap."""

    published: int
    status: Status
    contents: Contents
    story: story.Story
    phases: Sequence[timing.Phase]
    seconds: float

    def as_json(self) -> dict[str, object]:
        """`handled` counts accepted log records; with `rejected` it is all that is logged. `phases` gives times and rates."""
        count = self.contents.outcomes
        sums = {
            name: sum(getattr(space.counters, name) for space in self.status.namespaces)
            for name in ("duplicates", "emitted")
        }
        return {
            "published": self.published,
            "handled": sum(n for (_, outcome), n in count.items() if outcome == "accepted"),
            "rejected": sum(n for (_, outcome), n in count.items() if outcome == "rejected"),
            "parked": sum(space.parked for space in self.status.namespaces),
            "quarantined": sum(space.quarantined for space in self.status.namespaces),
            **sums,
            "rows": {name: len(rows) for name, rows in self.contents.rows.items()},
            "mails": self.story.mails,
            "logged": {name: count[name, "accepted"] + count[name, "rejected"] for name in NAMESPACES},
            "phases": {phase.key: phase.as_json() for phase in self.phases},
            "seconds": round(self.seconds, 2),
        }


def read(config: Config, address: str, root: str | None) -> Contents:
    """Reads logs and tables from Kafka, as any client could; the chain is that of the event with the id `root`."""
    app, clients = make_app(), Clients.of(config, address)
    codec = codec_of(app)
    outcomes: Counter[tuple[str, str]] = Counter()
    chain: list[LogEvent] = []
    times = timing.LogTimes()
    tail = Tail(clients, config.prefix, NAMESPACES, codec)
    for entry in tail.entries():
        outcomes[entry.namespace, entry.header.outcome] += 1
        times.add(entry.text("ce_type"), from_micros(entry.header.recorded), partial(_time_of, entry))
        if root is not None and root in (entry.text("ce_id"), entry.text("ce_correlationid")):
            event = tail.decoded(entry)  # which shows whether it does follow from its cause
            if event.event.correlation == root:
                chain.append(event)
    rows = {
        space.name: dict(read_table(clients, config.prefix, space.name, codec, space.row_type, generation=space.generation).rows)
        for space in app.namespaces
    }
    return Contents(outcomes, rows, chain, times)


def _time_of(entry: LogEntry) -> datetime:
    return datetime.fromisoformat(entry.text("ce_time"))


def show(result: Result, path: Path) -> None:
    """For a reader, in 80 columns."""
    numbers = result.as_json()
    handled = plural(sum(result.contents.outcomes.values()), "event")
    say_lines(f"\n{plural(result.published, 'sign-up')} from {path.name} published; {handled} handled in all.")
    story.show(result.story)
    for name, rows in result.contents.rows.items():
        _show_table(name, rows)
    names = ("handled", "rejected", "parked", "quarantined", "duplicates", "emitted")
    table(names, [[numbers[name] for name in names]], title="In numbers", right=names)
    timing.show(result.phases, result.seconds)
    say_lines("Where to look next")
    say_lines("  processors/user.py           the handlers: row and event in, outcome out")
    say_lines('  make demo ARGS="--keep"      the same, and it stays up for your queries')
    say_lines("  .venv/bin/retold --help      every command, with an example each")
    say_lines("  .venv/bin/retold new shop    an application of your own")


def _show_table(name: str, rows: dict[str, tuple[Record, int]]) -> None:
    columns = COLUMNS[name]
    shown = [
        (key, version, *(getattr(row, column) for column in columns))
        for key, (row, version) in islice(sorted(rows.items(), key=lambda item: (len(item[0]), item[0])), SHOWN)
    ]
    title = f"The table {name}: {plural(len(rows), 'row')}, the first {len(shown)}"
    table(("key", "version", *columns), shown, title=title, right=["version", "reputation"])
