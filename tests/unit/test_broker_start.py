"""What one start of the embedded Kafka prepares for the next ones: an archive of classes, and a formatted folder."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streams.localbroker import class_archive, data_folder, keeper
from tests.support.workers import until

JARS = [Path("/jars/kafka.jar")]


AT_ONCE = """
import sys
sys.path.insert(0, sys.argv.pop(1))
import keeper
keeper.SECONDS_BEFORE_WORK = 0.0
sys.exit(keeper.main())
"""
"""The keeper, of a broker that has loaded its classes when it answers."""


@pytest.fixture(autouse=True)
def caching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


class Work:
    """In `folder`, of a broker that answers and is about to write the name of a second class."""

    def __init__(self, folder: Path, program: str = "cp") -> None:
        self.files = {name: str(folder / name) for name in ("loaded", "classes", "draft", "result", "lock")}
        self.command = [program, self.files["classes"], self.files["draft"]]
        self.folder, self.record = folder, folder / "broker.json"
        (folder / "loaded").write_bytes(b"java/lang/Object\njava/lang/Str")
        self.record.touch()

    @contextmanager
    def beside_a_broker(self) -> Iterator[None]:
        """Which ends with the block."""
        with (self.folder / "broker.lock").open("w") as lock:
            work = {"broker_arguments": [], "command": self.command, **self.files}
            task = {"commands": [["sleep", "300"]], "lock": lock.fileno(), "record": str(self.record), "work": work}
            words = [sys.executable, "-I", "-S", "-c", AT_ONCE, str(Path(keeper.__file__).parent), json.dumps(task)]
            with subprocess.Popen(words, stdin=subprocess.PIPE, pass_fds=[lock.fileno()]) as process:
                assert process.stdin is not None
                try:
                    yield
                finally:
                    process.stdin.close()
                    assert process.wait(60) == 0

    def left(self) -> set[str]:
        return {file.name for file in self.folder.iterdir()} - {"broker.json", "broker.lock", "lock", "cache"}


def test_an_archive_is_made_beside_a_broker_of_what_it_has_loaded(tmp_path: Path) -> None:
    """Of whole lines; nothing else is left when the broker ends."""
    work = Work(tmp_path)
    with work.beside_a_broker():
        until(lambda: "result" in work.left(), "nothing is made")
    assert (tmp_path / "result").read_bytes() == b"java/lang/Object\n"
    assert work.left() == {"result"}


def test_no_archive_is_made_before_the_broker_answers(tmp_path: Path) -> None:
    """It has not loaded what matters, and would have to share the machine."""
    work = Work(tmp_path)
    work.record.unlink()
    with work.beside_a_broker():
        time.sleep(0.5)  # nothing tells that nothing happens
    assert work.left() == set()


def test_an_archive_without_a_java_leaves_nothing(tmp_path: Path) -> None:
    """The next start tries it again."""
    work = Work(tmp_path, "/nowhere/java")
    with work.beside_a_broker():
        until((tmp_path / "classes").exists, "it is not tried")
    assert work.left() == set()


@pytest.mark.parametrize("end", ["exit 1", "exec sleep 300"], ids=["fails", "takes too long"])
def test_half_an_archive_is_not_kept(tmp_path: Path, end: str) -> None:
    """Of a Java that fails, or that is not ready when the broker ends."""
    program = tmp_path / "bin" / "java"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\ncp "$1" "$2"\ntouch "$2.written"\n{end}\n')
    program.chmod(0o700)
    work = Work(tmp_path, str(program))
    with work.beside_a_broker():
        until((tmp_path / "draft.written").exists, "it is not tried")
    assert work.left() == {"bin", "draft.written"}


def test_one_of_several_brokers_makes_the_archive(tmp_path: Path) -> None:
    """Each would take 9 s of CPU."""
    work = Work(tmp_path)
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with work.beside_a_broker():
            time.sleep(0.5)  # nothing tells that nothing happens
    assert work.left() == set()


def java_in(folder: Path, release: str = "25") -> Path:
    for name, text in {"bin/java": "", "lib/modules": "1", "lib/server/libjvm.so": "2", "release": release}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder / "bin" / "java"


def test_equal_javas_share_an_archive(tmp_path: Path) -> None:
    """Each virtual environment has a copy of Java; another release has an archive of its own, and so has one that is no JDK."""
    first, copy, other = java_in(tmp_path / "a"), java_in(tmp_path / "b"), java_in(tmp_path / "c", "26")
    bare = tmp_path / "java"
    bare.touch()
    [made] = {class_archive.job(java, JARS).result for java in (first, copy)}  # type: ignore[union-attr] # there is none yet
    Path(made).touch()
    assert class_archive.use(first, JARS) == class_archive.use(copy, JARS) == [f"-XX:SharedArchiveFile={made}"]
    assert class_archive.job(copy, JARS) is None
    assert class_archive.use(other, JARS) == class_archive.use(bare, JARS) == class_archive.use(first, []) == []


def formatted(folder: Path, properties: str) -> Path:
    folder.mkdir()
    (folder / "meta.properties").write_text(f"#\n#Thu Nov 26\n{properties}")
    (folder / "bootstrap.checkpoint").write_bytes(b"\x00\xffof Kafka")
    return folder


KNOWN = "cluster.id=c\ndirectory.id=d\nnode.id=1\nversion=1\n"


def test_a_folder_is_written_as_the_tool_wrote_the_first(tmp_path: Path) -> None:
    """But for its names, which are its own."""
    data_folder.write(tmp_path / "none", JARS)
    assert not (tmp_path / "none").exists()
    data_folder.keep(formatted(tmp_path / "first", KNOWN), JARS)
    found = []
    for name in ("second", "third"):
        data = tmp_path / name
        data_folder.write(data, JARS)
        assert data_folder.is_formatted(data)
        assert sorted(file.name for file in data.iterdir()) == ["bootstrap.checkpoint", "meta.properties"]
        assert (data / "bootstrap.checkpoint").read_bytes() == b"\x00\xffof Kafka"
        assert [file.stat().st_mode & 0o077 for file in (data, *data.iterdir())] == [0, 0, 0]
        found.append(dict(line.split("=") for line in (data / "meta.properties").read_text().splitlines()))
    assert [(it["version"], it["node.id"]) for it in found] == [("1", "1")] * 2
    names = {it[name] for it in found for name in ("cluster.id", "directory.id")}
    assert ({len(name) for name in names}, len(names), names & {"c", "d"}) == ({22}, 4, set())


@pytest.mark.parametrize("properties", [KNOWN.replace("version=1", "version=2"), f"{KNOWN}more=1\n", "", "no property"])
def test_a_folder_that_is_not_understood_is_no_pattern(tmp_path: Path, properties: str) -> None:
    """Another version of Kafka may write more: then its tool formats each folder."""
    data_folder.keep(formatted(tmp_path / "first", properties), JARS)
    data_folder.write(tmp_path / "second", JARS)
    assert not data_folder.is_formatted(tmp_path / "second")
