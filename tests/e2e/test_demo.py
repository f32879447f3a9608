"""`make demo` as a newcomer meets it: what it says, what it leaves behind, and how it ends."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.processes import PROJECT, answer
from tests.support.workers import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class Demo:
    """A demonstration in a session of its own, as in a terminal of its own, its temporary files below `folder`."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder, self.said = folder, folder / "said"
        folder.mkdir(exist_ok=True)
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("RETOLD_", "DEMO_"))}
        with (folder / "told").open("wb") as out, self.said.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ops.demo", *arguments],
                cwd=PROJECT,
                env={**environment, "TMPDIR": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    @property
    def told(self) -> str:
        return (self.folder / "told").read_text(encoding="utf-8")

    def says(self, text: str) -> None:
        """Wait until it has said `text`, or fail with what it said."""
        until(
            lambda: text in self.said.read_text(encoding="utf-8") or self.process.poll() is not None,
            f"it does not say {text!r}: {self.said.read_text(encoding='utf-8')}",
        )
        assert text in self.said.read_text(encoding="utf-8")

    def interrupt(self) -> None:
        """Ctrl-C reaches every process of the terminal's foreground group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def left(self) -> list[str]:
        """Processes that know the state folder, by argument or by variable, or that run in it."""
        mark = str(self.folder / "retold-demo-").encode()
        return [name for name, text in running() if mark in text]


def running() -> Iterator[tuple[str, bytes]]:
    """Number, arguments, variables and folder of every process that we may look at."""
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                texts = [(process / name).read_bytes() for name in ("cmdline", "environ")]
                yield process.name, b"".join([*texts, os.fsencode((process / "cwd").readlink())])
            except OSError:
                continue  # it has ended, or is somebody else's


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Demo]]:
    """Starts demonstrations; ended with the test, whatever happens."""
    started: list[Demo] = []

    def one(*arguments: str) -> Demo:
        started.append(Demo(tmp_path / f"demo{len(started)}", *arguments))
        return started[-1]

    yield one
    for demo in started:
        if demo.process.poll() is None:
            demo.process.kill()
            demo.process.wait()


@pytest.fixture
def demo(start: Callable[..., Demo], few: Path) -> Demo:
    """One that stays up, with a few sign-ups only."""
    return start("--keep", "--input", str(few))


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """The first 20 sign-ups."""
    file = tmp_path / "few.tsv"
    with (PROJECT / "ops/data/signups.tsv").open(encoding="utf-8") as lines:
        file.write_text("".join(itertools.islice(lines, 21)), encoding="utf-8")
    return file


def test_two_demonstrations_at_once_do_not_meet(start: Callable[..., Demo], few: Path) -> None:
    """Each reports its own sign-ups, 500 or those given, in one JSON object on the last line, exits with 0, and leaves nothing.

    Seven events each: the sign-up, its folder, its mail and the answer, the reminder (all of them were silent for
    thirty days), its mail and the answer. The reminder is handled in place: it is not emitted.
    """
    for each, count in [(start("--json"), 500), (start("--json", "--input", str(few)), 20)]:
        assert each.process.wait(280) == 0, each.said.read_text(encoding="utf-8")
        told = json.loads(each.told.splitlines()[-1])
        assert_timed(told.pop("phases"), told.pop("seconds"), count)
        assert told == {
            "published": count,
            "handled": 7 * count,
            "rejected": 0,
            "parked": 0,
            "quarantined": 0,
            "duplicates": 0,
            "emitted": 5 * count,
            "rows": {"user": count, "folder": count, "email": 2 * count},
            "mails": 2 * count,
            "logged": {"user": 2 * count, "folder": count, "email": 4 * count},
        }
        assert story_of(each.told) == [
            "user.signup 2",
            "→ email.send 2/welcome",
            "→ email.sent 2/welcome",
            "→ folder.create 2",
            "→ user.remind 2",
            "→ email.send 2/reminder",
            "→ email.sent 2/reminder",
        ]
        for words in (
            "Subject: Welcome",
            "Subject: Your account waits",
            '{"key":"2","version":1,"row":{"owner":"2","name":"2"}}',  # the body, as the server gives it
            '"status":"sent"',
            "How long it took",
        ):
            assert words in each.told
        assert [line for line in each.told.splitlines()[:-1] if len(line.rstrip()) > 80] == []
        assert each.left() == []
        assert list(each.folder.glob("retold-demo-*")) == []


def assert_timed(phases: dict[str, dict[str, float]], seconds: float, published: int) -> None:
    """Each phase took some of the time, and its rate is what it counted divided by its seconds."""
    counts = {name: phase.get("count") for name, phase in phases.items()}
    assert counts == {"kafka_start": None, "publishing": published, "handling": 7 * published, "mails": 2 * published}
    for phase in phases.values():
        assert 0 < phase["seconds"] < seconds
        assert phase.get("per_second") == (
            pytest.approx(phase["count"] / phase["seconds"], 0.05) if "count" in phase else None
        )


def story_of(told: str) -> list[str]:
    """Event and key of each line of the first table."""
    lines = told.partition("what followed from it")[2].partition("What was mailed")[0].splitlines()[4:]
    words = (line.split() for line in lines)
    return [" ".join(each[1:4] if each[1] == "→" else each[1:3]) for each in words if each]


def test_a_demonstration_that_stays_can_be_asked_and_ends_with_ctrl_c(demo: Demo) -> None:
    """It says which variables lead to it; Ctrl-C adds no line, gives 130, and leaves nothing behind."""
    demo.says("retold get user 2")
    said = demo.said.read_text(encoding="utf-8")
    exports = dict(line.split("export ")[1].split("=", 1) for line in said.splitlines() if "export " in line)
    env = {**os.environ, **exports}
    found = answer("get", "user", "2", env=env)
    assert found["row"]["email"] == "2@example.org"
    url = said.partition("the server at ")[2].split()[0]
    assert httpx.get(f"{url}/rows/email/2/welcome").json()["row"]["status"] == "sent"
    demo.interrupt()
    assert demo.process.wait(120) == 130
    assert demo.said.read_text(encoding="utf-8") == said
    assert demo.left() == []
    assert list(demo.folder.glob("retold-demo-*")) == []


@pytest.mark.parametrize("moment", ["", "starting Kafka", "Kafka answers"])
def test_ctrl_c_at_any_moment_leaves_nothing_behind(moment: str, demo: Demo) -> None:
    """In the imports, while Kafka starts, while events are published: no line, 130, no process, no folder."""
    if moment:
        demo.says(moment)
    else:
        until(lambda: signal_is_caught(demo.process.pid), "it does not listen to signals")
    said = demo.said.read_text(encoding="utf-8")
    demo.interrupt()
    assert (demo.process.wait(120), demo.said.read_text(encoding="utf-8")) == (130, said)
    assert demo.left() == []
    assert list(demo.folder.glob("retold-demo-*")) == []


def signal_is_caught(pid: int) -> bool:
    """Whether its handlers are set: Python has none for SIGTERM, which the demonstration sets after SIGINT's."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return bool(caught & 1 << (signal.SIGTERM - 1))


def test_a_killed_demonstration_takes_broker_and_worker_along(demo: Demo) -> None:
    """After `kill -9` nobody else could end them."""
    demo.says("retold get user 2")
    assert len(demo.left()) >= 4, "a broker, its keeper, a worker and a server"
    demo.process.kill()
    demo.process.wait()
    until(lambda: demo.left() == [], "something still runs")


def test_a_broken_line_is_named_before_anything_starts(start: Callable[..., Demo], tmp_path: Path) -> None:
    """Its number and column; with exit code 1."""
    lines = (PROJECT / "ops/data/signups.tsv").read_text(encoding="utf-8").splitlines()[:3]
    file = tmp_path / "broken.tsv"
    file.write_text("\n".join([*lines, lines[1].replace("101", "many")]), encoding="utf-8")
    demo = start("--input", str(file))
    assert demo.process.wait(120) == 1
    first, last = demo.said.read_text(encoding="utf-8").splitlines()
    assert f"{file}:4: column 'reputation' is 'many'" in first
    assert last == "Nothing was published: 1 of 3 lines is broken."
    assert demo.told == ""
    assert demo.left() == []
