"""A file of events through the command line: each row that happened is handled, and once."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from processors.events import UserRename
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
        site.wait_until_owned()
        for user in ("u1", "u2"):
            answer("publish", "user.signup", f"user={user}", "email=e", "--wait", "60", env=site.env)
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
    assert done.stdout.splitlines()[1:] == ["1 row skipped: an equal earlier row has the same id"]
    assert counted(site) == (accepted + 2, duplicates, quarantined)
    file = written(tmp_path, [*rows, {**rows[0], "name": "Eve"}])
    refused = retold(*publish, file, env=site.env)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.splitlines() == [
        f"{file}:4: column 'number': the id 'r-1' is that of line 1, whose data or time are not the same: one id names one event",
        "Nothing was published: 1 of 4 lines is broken.",
    ]


@pytest.mark.parametrize("on_error", ["stop", "skip"])
def test_a_named_pipe_is_published_like_a_file(on_error: str, site: Site, tmp_path: Path) -> None:
    """It can be read but once; a shell's `<(…)` is one too."""
    pipe, rows = tmp_path / "renames.jsonl", [{**EQUAL, "name": f"{on_error}{n}"} for n in range(2_000)]
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("".join(f"{json.dumps(row)}\n" for row in rows),), daemon=True)
    writer.start()
    done = retold("publish", "user.rename", "--from", str(pipe), "--time-column", "at", "--on-error", on_error, env=site.env)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("2,000 events published in ")
    writer.join(60)


def shortening(row: Any) -> Any:
    """A function for `--with` that takes the other rows from its file once it has met the last one."""
    if row["name"].startswith("last"):
        os.truncate(row["file"], len(json.dumps({**row, "name": "0" + row["name"][4:]})) + 1)
    return UserRename(user=row["user"], name=row["name"])


def altering(row: Any) -> Any:
    """A function for `--with` that changes the first row in its file, of the same length, once it has met the last one."""
    if row["name"].startswith("last"):
        with Path(row["file"]).open("r+b") as file:
            before = file.readline()
            file.seek(0)
            file.write(before.replace(b": \"0x", b": \"zx"))
    return UserRename(user=row["user"], name=row["name"])


def published_while_it_shrinks(
    site: Site, tmp_path: Path, rows: int, size: int, function: str = "shortening"
) -> tuple[Path, CompletedProcess[str]]:
    file = tmp_path / "renames.jsonl"
    names = [*map(str, range(rows - 1)), "last"]
    written(tmp_path, [{"user": "u1", "file": str(file), "name": name + "x" * size} for name in names])
    return file, retold("publish", "--from", str(file), "--with", f"tests.e2e.test_publish_file:{function}", env=site.env)


def test_what_was_checked_is_published_whatever_becomes_of_the_file(site: Site, tmp_path: Path) -> None:
    """A file of usual size is read once."""
    _, done = published_while_it_shrinks(site, tmp_path, rows=3, size=20_000)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("3 events published in ")


def test_a_large_file_that_changes_while_it_is_published_is_an_error(site: Site, tmp_path: Path) -> None:
    """One that is read twice: what was published is reported, and that it is not what was checked."""
    file, done = published_while_it_shrinks(site, tmp_path, rows=80, size=900_000)
    assert done.returncode == 3, done.stderr
    assert done.stdout.startswith("1 event published in ")
    assert done.stderr.startswith(f"{file} changed while it was published: 80 rows with 80 events were checked, then 1 row with")


def test_a_large_file_whose_rows_change_while_it_is_published_is_an_error(site: Site, tmp_path: Path) -> None:
    """There are as many as were checked, and what was published is not what was checked."""
    file, done = published_while_it_shrinks(site, tmp_path, rows=80, size=900_000, function="altering")
    assert done.returncode == 3, done.stderr
    assert done.stdout.startswith("80 events published in ")
    said = "changed while it was published: 80 rows with 80 events were checked, then as many with other data were read"
    assert done.stderr.startswith(f"{file} {said}")


def topics_beside(site: Site) -> set[str]:
    """All of the broker whose names begin as those of the site."""
    found = AdminClient({"bootstrap.servers": site.foreign.clients.address}).list_topics(timeout=10).topics
    return {name for name in found if name.startswith(site.foreign.config.prefix)}


def test_a_benchmark_measures_a_worker_in_topics_of_its_own(site: Site) -> None:
    """It gives figures, deletes its topics, and what the application has is as before. A gateway's request is refused."""
    before, topics = counted(site), topics_beside(site)
    found = answer("bench", "user.rename", "--seconds", "1", "--rate", "20", "--keys", "0", "--json", env=site.env)
    assert found["events_per_second"] > 0
    assert (found["visible_ms"]["events"], found["unseen"]) == (15, 0)
    assert found["accepted"] == 0 < found["rejected"]
    assert (counted(site), topics_beside(site)) == (before, topics)
    refused = retold("bench", "email.send", env=site.env)
    assert (refused.returncode, refused.stdout) == (3, "")
    assert refused.stderr.startswith("email.send is handled by a gateway, and a worker would call it")
