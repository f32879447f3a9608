"""What is wrong around retold, such as a closed stdout or a full disk, is a sentence and an exit code, and no traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastavro
import pytest

from streams.cli.process import exit_codes
from streams.errors import ConfigError
from streams.eventfiles.rows import avro
from streams.kafka import local_access
from streams.load import _last_line
from streams.localbroker import embedded, jars, password, state
from streams.schemas.files import read_all
from streams.schemas.generate import generate
from streams.server.listen import listen
from tests.support.workers import settings

LIST = [sys.executable, "-P", "-m", "streams.cli", "schemas", "list"]
ROOT = Path(__file__).parents[2]


def environ(**others: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RETOLD_", "PYTHONIOENCODING", "LC_"))}
    return {**kept, **others}


def shell(command: str, **others: str) -> subprocess.CompletedProcess[bytes]:
    """In retold's own folder; `retold` stands for the command."""
    words = command.replace("retold", f"{sys.executable} -P -m streams.cli")
    return subprocess.run(["bash", "-c", words], cwd=ROOT, env=environ(**others), capture_output=True, timeout=120, check=False)


@pytest.mark.parametrize("command", ["schemas list", "schemas list --json", "--version", "schemas list --help"])
@pytest.mark.parametrize(("where", "why"), [("> /dev/full", b"No space left on device"), (">&-", b"stdout is closed")])
def test_an_output_that_cannot_be_written_is_a_sentence(command: str, where: str, why: bytes) -> None:
    """With exit code 3: whoever reads the output misses it."""
    done = shell(f"retold {command} {where}")
    assert (done.returncode, done.stdout) == (exit_codes.CONFIGURATION, b"")
    assert why in done.stderr
    assert b"Traceback" not in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_a_command_without_output_needs_no_stdout() -> None:
    """Nor stderr, nor stdin."""
    assert shell("retold check <&- >&- 2>&-").returncode == exit_codes.OK


@pytest.mark.parametrize("command", ["schemas list", "schemas list --help"])
def test_a_terminal_without_a_letter_shows_another(command: str) -> None:
    """Lines of a table, arrows and letters are escaped or drawn otherwise."""
    done = shell(f"retold {command}", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (exit_codes.OK, b"")
    assert done.stdout.isascii()


def test_a_value_without_a_letter_is_still_json(tmp_path: Path) -> None:
    """An escape of Python's would be none of JSON's."""
    code = "from streams.cli.output.screen import json_line, prepare_streams; prepare_streams(); json_line({'name': 'Zoë 🫖'})"
    done = subprocess.run([sys.executable, "-c", code], env=environ(PYTHONIOENCODING="latin-1"), capture_output=True, check=True)
    assert done.stdout == b'{"name": "Zo\\u00eb \\ud83e\\uded6"}\n'


@pytest.mark.parametrize(
    ("file", "says"),
    [
        (
            "schemas/lock.json",
            "retold cannot go on: schemas/lock.json: Read-only file system. Change that and try again; what was confirmed before "
            "is kept.\n",
        ),
        (
            "/srv/state/read/0/lock",
            "the state folder /srv/state cannot be written (Read-only file system); retold keeps its locks, notes and its Kafka's "
            "data there. Make it writable, or set RETOLD_STATE to a folder of your own.\n",
        ),
    ],
)
def test_a_folder_that_cannot_be_written_is_a_sentence(file: str, says: str) -> None:
    """Here by its disk: the file is named, or the setting by which it may be elsewhere."""
    code = (
        "import errno, os, sys\nfrom streams import cli\n"
        "import streams.cli.commands.schemas as command\n"
        f"def full(*_): raise OSError(errno.EROFS, os.strerror(errno.EROFS), {file!r})\n"
        "command.formats.generate = full\nsys.exit(cli.run_command(['schemas', 'generate']))\n"
    )
    env = environ(RETOLD_STATE="/srv/state")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (exit_codes.CONFIGURATION, says)


def test_a_container_with_a_codec_that_is_not_there_is_one(tmp_path: Path) -> None:
    """Which codec, and what to do; a file that is none is told apart."""
    file = tmp_path / "f.avro"
    schema = fastavro.parse_schema({"type": "record", "name": "r", "fields": [{"name": "a", "type": "long"}]})
    with file.open("wb") as out:
        fastavro.writer(out, schema, [{"a": 1}], codec="deflate")
    file.write_bytes(file.read_bytes().replace(b"\x0edeflate", b"\x0eunknown"))
    with file.open("rb") as container, pytest.raises(ConfigError, match="compressed with 'unknown', which cannot be read here"):
        list(avro(container))


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become another user")
def test_a_lock_of_another_user_is_no_missing_broker(tmp_path: Path) -> None:
    """Nobody knows whether its broker runs, so nobody starts another one."""
    for folder in (tmp_path, *list(tmp_path.parents)[:3]):
        folder.chmod(0o755)
    os.close(state.take(tmp_path))
    pid = os.fork()
    if pid == 0:
        os.setuid(65534)
        try:
            state.running(tmp_path)
        except ConfigError as error:
            os._exit(0 if "belongs to another user" in str(error) else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_line_without_a_letter_is_a_line() -> None:
    """An event may have been published already when its key cannot be shown."""
    code = "from streams.cli.output.screen import prepare_streams, say, table; prepare_streams(); say('Zoë'); table(['ë'], [['→']])"
    done = subprocess.run([sys.executable, "-c", code], env=environ(PYTHONIOENCODING="ascii"), capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.splitlines()[0] == b"Zo\\xeb"
    assert b"\\u2192" in done.stdout


def test_a_fault_is_shown_where_the_project_has_it(tmp_path: Path) -> None:
    """And not in a folder beside it whose name begins alike."""
    ours, beside = tmp_path / "shop" / "rules.py", tmp_path / "shop2" / "rules.py"
    names: dict[str, Any] = {}
    exec(compile("def fail():\n    raise ValueError('no')", str(beside), "exec"), names)
    exec(compile("def call(fail):\n    fail()", str(ours), "exec"), names)
    with pytest.raises(ValueError, match="no") as raised:
        names["call"](names["fail"])
    assert _last_line(raised.value, tmp_path / "shop") == f"{ours}:2: "


@pytest.mark.parametrize("command", ["check", "new shop", "status"])
def test_a_current_folder_that_was_deleted_is_a_sentence(tmp_path: Path, command: str) -> None:
    """By somebody else, or by a test that has ended."""
    done = shell(f"mkdir {tmp_path}/gone; cd {tmp_path}/gone; rmdir ../gone; retold {command}")
    assert (done.returncode, done.stdout) == (exit_codes.CONFIGURATION, b"")
    assert done.stderr.startswith(b"the current folder was deleted")


GARBAGE = bytes(range(256))


def test_files_of_the_state_folder_with_anything_in_them_are_no_faults(tmp_path: Path) -> None:
    """A crash of the machine, or of a disk, leaves what it likes."""
    for name in ("server.properties", "secret", "client.properties"):
        (tmp_path / "kafka").mkdir(exist_ok=True)
        (tmp_path / "kafka" / name).write_bytes(GARBAGE)
    (tmp_path / "broker.json").write_bytes(GARBAGE)
    assert embedded._last_port(tmp_path / "kafka") == 0
    assert local_access.read_options(local_access.client_file(tmp_path))[0] == ""
    assert "sasl" in password.set_up(tmp_path, "127.0.0.1:1")
    lock = state.take(tmp_path)
    assert state.running(tmp_path) is None
    os.close(lock)
    (tmp_path / "kafka" / "server.properties").write_text("\nlisteners=BROKER://127.0.0.1:99999,CONTROLLER://127.0.0.1:1\n")
    assert embedded._last_port(tmp_path / "kafka") == 0


def test_a_java_that_says_anything_has_no_version(tmp_path: Path) -> None:
    """Its words are in whatever encoding."""
    (tmp_path / "java").write_bytes(b"#!/bin/sh\nprintf '\\377\\376 version \"99999999999' >&2\n")
    (tmp_path / "java").chmod(0o755)
    assert jars.java_version(tmp_path / "java") >= 0


def test_generated_classes_with_anything_in_them_are_out_of_date(tmp_path: Path) -> None:
    """They are written again."""
    schemas, output = tmp_path / "schemas", tmp_path / "events.py"
    (schemas / "user").mkdir(parents=True)
    (schemas / "user.avsc").write_text('{"type": "record", "name": "user.row", "fields": [{"name": "n", "type": "long"}]}')
    output.write_bytes(GARBAGE)
    generate(tmp_path, Path("schemas"), Path("events.py"))
    assert "class UserRow" in output.read_text(encoding="utf-8")


def test_a_host_that_is_no_name_is_a_sentence(tmp_path: Path) -> None:
    """Python refuses it before anything is asked."""
    config = settings(tmp_path, "", http_host="...", http_token="x" * 16)
    with pytest.raises(ConfigError, match=r"RETOLD_HTTP_HOST is '\.\.\.'"):
        listen(config)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_schema_that_is_no_file_is_one_breach(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """Nobody writes to a pipe, so reading it would not end."""
    make(tmp_path / "user.avsc")
    _, [breach] = read_all(tmp_path)
    assert "this is no file" in str(breach)
