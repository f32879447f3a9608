"""A file of events through the command line: each row that happened is handled, and once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import answer, retold
from tests.support.site import Site
from tests.support.workers import until

EQUAL = {"user": "u1", "name": "Ada", "at": "2026-01-31T12:00:00Z"}
ROWS = [EQUAL, EQUAL, {**EQUAL, "at": "2026-01-31T12:00:01Z"}, {**EQUAL, "user": "u2"}, EQUAL]
"""Three are equal; one of them differs in its time alone."""


@pytest.fixture(scope="module")
def site(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A worker, and two users that have signed up."""
    state = tmp_path_factory.mktemp("file")
    site = Site.make(broker, state, f"file{state.name[-1]}.", DEMO_REMINDERS="off")
    with site.start("worker"):
        until(site.all_owned, "the worker is not ready")
        for user in ("u1", "u2"):
            answer("publish", "user.signup", f"user={user}", "email=e", "--wait", "30", env=site.env)
        yield site


def written(folder: Path, rows: list[dict[str, Any]]) -> str:
    path = folder / "renames.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return str(path)


def counted(site: Site) -> tuple[int, int, int]:
    """Accepted, duplicates and quarantined, once nothing waits."""
    until(lambda: site.now()["user"].lag == 0, "not all was handled")
    now = site.now()["user"]
    return now.counters.accepted, now.counters.duplicates, now.quarantined


def test_every_row_of_a_file_is_handled_once(site: Site, tmp_path: Path) -> None:
    """Equal ones too, and those that differ in their time alone; a second time changes nothing."""
    publish = ("publish", "user.rename", "--from", written(tmp_path, ROWS), "--time-column", "at")
    accepted, duplicates, quarantined = counted(site)
    done = retold(*publish, env=site.env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("5 events published in ")
    assert done.stdout.endswith("; 2 rows equal an earlier row of the file (same data and time)\n")
    assert counted(site) == (accepted + len(ROWS), duplicates, quarantined)
    again = answer(*publish, env=site.env)
    assert {name: again[name] for name in ("published", "equal", "repeated", "skipped")} == {
        "published": 5, "equal": 2, "repeated": 0, "skipped": 0,
    }  # fmt: skip
    assert counted(site) == (accepted + len(ROWS), duplicates + len(ROWS), quarantined)


def test_rows_with_one_id_are_one_event(site: Site, tmp_path: Path) -> None:
    """It leaves once, and the others are counted; another event under that id keeps the file back."""
    rows = [{"number": "r-1", **EQUAL}, {"number": "r-2", **EQUAL}, {"number": "r-1", **EQUAL}]
    publish = ("publish", "user.rename", "--id-column", "number", "--time-column", "at", "--from")
    accepted, duplicates, quarantined = counted(site)
    done = retold(*publish, written(tmp_path, rows), env=site.env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1:] == ["1 row left out: an equal row before has the same id"]
    assert counted(site) == (accepted + 2, duplicates, quarantined)
    file = written(tmp_path, [*rows, {**rows[0], "name": "Eve"}])
    refused = retold(*publish, file, env=site.env)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.splitlines() == [
        f"{file}:4: column 'number': the id 'r-1' is that of line 1, whose data or time are not the same: one id names one event",
        "Nothing was published: 1 line of 4 broken.",
    ]
