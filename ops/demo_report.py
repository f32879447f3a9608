"""What the demonstration tells: one user's events and what followed, the tables, and where to look next."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ops import demo_story as story
from processors import app as make_app
from streams.cli.output.screen import plural, say, table
from streams.codec import codec_of
from streams.config import Config
from streams.data import Record
from streams.kafka.clients import Clients
from streams.kafka.follow import Tail, read_table
from streams.kafka.messages import LogEvent
from streams.kafka.status import Status

NAMESPACES = [namespace.name for namespace in make_app().namespaces]
SHOWN = 3
COLUMNS = {
    "user": ("email", "plan", "reputation", "since"),
    "folder": ("owner", "name"),
    "email": ("to", "status"),
}


@dataclass(frozen=True)
class Kept:
    """What Kafka holds afterwards: log records counted by namespace and outcome, the tables, one chain of events."""

    outcomes: Counter[tuple[str, str]]
    rows: dict[str, dict[str, tuple[Record, int]]]
    chain: list[LogEvent]


@dataclass(frozen=True)
class Result:
    published: int
    status: Status
    kept: Kept
    story: story.Story
    seconds: float

    def as_json(self) -> dict[str, object]:
        """`handled` are accepted log records; with `rejected` it makes up all that is logged."""
        count = self.kept.outcomes
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
            "rows": {name: len(rows) for name, rows in self.kept.rows.items()},
            "mails": self.story.mails,
            "logged": {name: count[name, "accepted"] + count[name, "rejected"] for name in NAMESPACES},
            "seconds": round(self.seconds, 2),
        }


def read(config: Config, address: str, root: str | None) -> Kept:
    """Reads logs and tables from Kafka, as anyone could; the chain is of the event with the id `root`."""
    app, clients = make_app(), Clients.of(config, address)
    codec = codec_of(app)
    outcomes: Counter[tuple[str, str]] = Counter()
    chain: list[LogEvent] = []
    for event in Tail(clients, config.prefix, NAMESPACES, codec).beginning():
        outcomes[event.namespace, event.outcome] += 1
        if root is not None and event.event.correlation == root:
            chain.append(event)
    rows = {
        space.name: dict(read_table(clients, config.prefix, space.name, codec, space.row_type).rows)
        for space in app.namespaces
    }
    return Kept(outcomes, rows, chain)


def tell(result: Result, path: Path) -> None:
    """For a person, in 80 columns."""
    numbers = result.as_json()
    say(f"\n{plural(result.published, 'sign-up')} of {path.name} published and handled in {result.seconds:.1f} s.")
    story.tell(result.story)
    for name, rows in result.kept.rows.items():
        _tell_table(name, rows)
    names = ("handled", "rejected", "parked", "quarantined", "duplicates", "emitted")
    table(names, [[numbers[name] for name in names]], title="In numbers", right=names)
    say("Where to look next")
    say("  processors/user.py           the handlers: row and event in, outcome out")
    say('  make demo ARGS="--keep"      the same, and it stays up to be asked')
    say("  .venv/bin/retold --help      every command, with an example each")
    say("  .venv/bin/retold new shop    an application of your own")


def _tell_table(name: str, rows: dict[str, tuple[Record, int]]) -> None:
    columns = COLUMNS[name]
    shown = [
        (key, version, *(getattr(row, column) for column in columns))
        for key, (row, version) in islice(sorted(rows.items(), key=lambda item: (len(item[0]), item[0])), SHOWN)
    ]
    title = f"The table {name}: {plural(len(rows), 'row')}, the first {len(shown)}"
    table(("key", "version", *columns), shown, title=title, right=["version", "reputation"])
