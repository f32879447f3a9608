"""The tutorial, and the how-to pages that continue it or begin anew, run as they stand: files, commands, outputs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.processes import Process, environment

ROOT = Path(__file__).parents[2]
TUTORIAL, HEADERS = ROOT / "docs" / "tutorial.md", ROOT / "docs" / "events-and-headers.md"
SCHEMAS, SEVERAL = ROOT / "docs" / "howto" / "schemas.md", ROOT / "docs" / "howto" / "several-namespaces.md"
CHANGE, BACK = ROOT / "docs" / "howto" / "change-a-rule.md", ROOT / "docs" / "howto" / "roll-back.md"
BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECONDS = 240.0
"""For one command. `retold run` has to start a worker, the others a Python."""


@dataclass
class Reader:
    """A user with two terminals: one for what stays up, one for the rest."""

    folder: Path
    environment: dict[str, str]
    code: int = 0
    background: list[tuple[subprocess.Popen[bytes], Path]] = field(default_factory=list)

    def write(self, name: str, how: str, text: str) -> None:
        path = self.folder / name
        before = path.read_text() if path.exists() else ""
        if how == "excerpt":
            assert text in before, f"{name} does not hold what the tutorial shows"
        elif how == "append":
            path.write_text(f"{before}\n\n{text}")
        elif how == "line":
            start = re.split("import|=", text)[0]
            lines = [text if line.startswith(start) else line for line in before.splitlines(keepends=True)]
            assert text in lines, f"{name} has no line {start}"
            path.write_text("".join(lines))
        elif how == "function":
            parts, start = before.rstrip("\n").split("\n\n\n"), text[: text.index("\n")]
            assert [part.startswith(start) for part in parts].count(True) == 1, f"{name} has no function below {start}"
            new = [text.rstrip("\n") if part.startswith(start) else part for part in parts]
            path.write_text("\n\n\n".join(new) + "\n")
        else:
            assert how == "", f"a block that is to be {how!r}"
            path.write_text(text)

    def run(self, command: str, expected: list[str]) -> None:
        if command.startswith("cd "):
            self.folder /= command[3:]
            return
        shell = f"(exit {self.code}); {command}"
        done = subprocess.run(
            ["bash", "-c", shell],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=SECONDS,
            check=False,
        )
        self.code = done.returncode
        compare(command, done.stdout.decode(), expected)

    def leave_running(self, command: str, expected: list[str]) -> None:
        out = self.folder / "background.out"
        with out.open("wb") as file:
            process = subprocess.Popen(
                command.split(),
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        self.background.append((process, out))
        deadline = time.monotonic() + SECONDS
        while expected[-1] not in out.read_text():
            assert process.poll() is None, f"{command} has ended:\n{out.read_text()}"
            assert time.monotonic() < deadline, f"{command} is not ready after {SECONDS:.0f} s:\n{out.read_text()}"
            time.sleep(0.1)  # another process decides when
        compare(command, out.read_text(), expected)

    def follow(self, page: Path) -> None:
        """From the first block to the last."""
        for language, rest, text in BLOCK.findall(page.read_text(encoding="utf-8")):
            words = rest.split()
            if language != "console":
                self.write(words[0], "".join(words[1:]), text)
                continue
            if words == ["restart"]:
                assert [code for code, _ in self.stop()] == [130]
            for command, output in steps(text):
                if words:
                    self.leave_running(command, output)
                else:
                    self.run(command, output)

    def stop(self) -> Iterator[tuple[int, str]]:
        """Exit code and output of what stayed up, after Ctrl-C."""
        while self.background:
            process, out = self.background.pop()
            process.send_signal(signal.SIGINT)
            try:
                yield process.wait(120), out.read_text()
            finally:
                process.kill()
                process.wait()


def compare(command: str, got: str, expected: list[str]) -> None:
    """`…` in a line stands for anything in it; a line of nothing else for any lines. Blank lines do not count."""
    if not expected:
        return
    pattern = ""
    for line in filter(str.strip, expected):
        text = re.escape(line.rstrip()).replace("…", ".*")
        pattern += r"(?:.*\n)*?" if line == "…" else rf"{text}\n"
    lines = "".join(f"{line.rstrip()}\n" for line in got.splitlines() if line.strip())
    assert re.fullmatch(pattern, lines), f"{command} said\n{lines}\nand the tutorial says\n" + "\n".join(expected)


def steps(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each command of a console block, with the lines below it."""
    for part in re.split(r"(?m)^\$ ", text)[1:]:
        command, *output = part.rstrip("\n").split("\n")
        yield command, output


@pytest.fixture
def reader(broker: str, prefix: str, tmp_path: Path) -> Iterator[Reader]:
    """Of settings only what tests that run at one time share: the broker, where its names begin, and the ports."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RETOLD_")}
    ours = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "COLUMNS": "80",
        "RETOLD_BROKER": broker,
        "RETOLD_PREFIX": prefix,
        "RETOLD_STATE": str(tmp_path / "state"),
        "RETOLD_HTTP_PORT": "0",
    }
    reader = Reader(tmp_path, kept | ours)
    yield reader
    for process, _ in reader.background:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_tutorial_works_as_it_is_written(reader: Reader) -> None:
    """Every file, every command and every line of output of the page, from the first to the last; the types are right."""
    assert len(BLOCK.findall(TUTORIAL.read_text(encoding="utf-8"))) > 10
    reader.follow(TUTORIAL)
    [(code, said)] = reader.stop()
    assert (code, "Traceback" in said) == (130, False)
    reader.run("python -m mypy --strict shop tests deliver.py", ["Success: …"])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_schemas_change_as_it_is_written(reader: Reader) -> None:
    """Each change, what is said of it, what a worker does that does not know it yet, and one that was started again."""
    reader.follow(SCHEMAS)
    [(code, said)] = reader.stop()
    assert (code, "Traceback" in said) == (130, False)
    reader.run("python -m mypy --strict shop tests", ["Success: …"])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_first_product_of_several_namespaces_works_as_it_is_written(reader: Reader) -> None:
    """Nothing of the sample is left, and what one namespace of the reader's emits, the other handles: in memory and on Kafka."""
    reader.follow(SEVERAL)
    [(code, said)] = reader.stop()
    assert (code, "Traceback" in said) == (130, False)
    reader.run("python -m mypy --strict hotel tests", ["Success: …"])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_rule_changes_and_is_taken_back_as_it_is_written(reader: Reader) -> None:
    """Rows are built beside those of a worker that goes on, are gone over to, and are left again; each time all is whole."""
    for page in (CHANGE, BACK):
        reader.follow(page)
        reader.run("retold rebuild status item --json && retold verify --json", ["…"])
        assert reader.code == 0
    [(code, said)] = reader.stop()
    assert (code, "Traceback" in said) == (130, False)


def test_clients_that_know_nothing_of_retold_publish_and_read(broker: str, prefix: str, tmp_path: Path) -> None:
    """The two programs of the page on headers: a plain producer's event is handled, a plain consumer reads the log."""
    env = environment(broker, prefix, tmp_path)
    publish, read = (text for language, _, text in BLOCK.findall(HEADERS.read_text(encoding="utf-8")))
    subprocess.run(
        [sys.executable, "-m", "streams.cli", "topics", "--create"], cwd=ROOT, env=env, timeout=240, check=True
    )
    with Process("worker", "user", env=env, log=tmp_path / "worker.log"):
        subprocess.run([sys.executable, "-c", publish], cwd=ROOT, env=env, timeout=240, check=True)
        done = subprocess.run(
            [sys.executable, "-c", read], cwd=ROOT, env=env, stdout=subprocess.PIPE, timeout=240, check=True
        )
    assert done.stdout.decode() == "ada@1 accepted\n"
