"""What retold keeps on a machine that others use, too."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from streams.cli import run_command
from streams.errors import ConfigError
from streams.kafka.clients import Clients
from streams.kafka.local_access import client_file, options_of
from streams.localbroker import password, state
from streams.localbroker.moved import where_it_went
from streams.localbroker.password import access_sentence
from streams.worker.deadman import AttemptRecord
from streams.worker.slots import Slot
from tests.support.workers import settings


@pytest.fixture(autouse=True)
def anybody_reads() -> object:
    """The usual umask, under which others may read."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_broker_that_came_back_elsewhere_is_named(tmp_path: Path) -> None:
    """To those that a setting has not told where it is; one that is where it was, or that does not run, is not."""
    config = settings(tmp_path, "")
    assert where_it_went(config, "127.0.0.1:1") == ""
    held = state.take(config.state)
    try:
        state.write(config.state, "127.0.0.1:2", 1)
        assert where_it_went(config, "127.0.0.1:2") == ""
        assert "is at 127.0.0.1:2 now: start it again" in where_it_went(config, "127.0.0.1:1")
        assert where_it_went(replace(config, broker="127.0.0.1:1"), "127.0.0.1:1") == ""
    finally:
        os.close(held)
    assert where_it_went(config, "127.0.0.1:1") == ""


def test_no_broker_is_started_beside_one_that_a_setting_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Commands would go on with that one, and nobody with what is started."""
    monkeypatch.setenv("RETOLD_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("RETOLD_BROKER", "kafka-1:9092")
    assert run_command(["kafka"]) == 3
    assert "is 'kafka-1:9092': a broker that retold does not start. Unset it" in capsys.readouterr().err
    assert not (tmp_path / "state" / "kafka").exists()


def test_a_state_folder_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Whichever role makes it first; one from before becomes so."""
    Slot(tmp_path / "by a worker" / "slots", "item").release()
    os.close(state.take(tmp_path / "by a broker"))
    (tmp_path / "from before").mkdir()
    os.close(state.take(tmp_path / "from before"))
    state.write(tmp_path / "from before", "127.0.0.1:1", 1)
    found = list(tmp_path.rglob("*"))
    assert len(found) == 8
    assert [str(it) for it in found if mode(it) & 0o077] == []


def test_a_state_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    """Whichever role meets it first: it is the same setting that helps."""
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "state"
    said = set()
    record = folder / "notes" / "item.0.attempt"
    for meet in (lambda: state.take(folder), lambda: Slot(folder / "slots", "item"), lambda: AttemptRecord(record, "id", "stacks")):
        with pytest.raises(ConfigError) as raised:
            meet()
        said.add(str(raised.value))
    [sentence] = said
    assert sentence.startswith(f"the state folder {folder} cannot be written (Not a directory); ")
    assert sentence.endswith("Make it writable, or set RETOLD_STATE to a folder of your own")


def test_a_project_keeps_its_own_rights(tmp_path: Path) -> None:
    """Somebody may have set the state folder to the project's."""
    (tmp_path / "pyproject.toml").touch()
    tmp_path.chmod(0o755)
    os.close(state.take(tmp_path))
    assert mode(tmp_path) == 0o755


def test_the_options_are_for_the_broker_that_wrote_them(tmp_path: Path) -> None:
    """Also for a client that names its address; one of another broker hears nothing of the password."""
    (tmp_path / "kafka").mkdir()
    config = settings(tmp_path, "")
    assert options_of(config) == {}
    lines = password.set_up(tmp_path, "127.0.0.1:7")
    own = options_of(config)
    assert (own["security.protocol"], own["sasl.username"]) == ("SASL_PLAINTEXT", "retold")
    assert lines.count(own["sasl.password"]) == 4, "as a client of its own, and as what it takes, on both listeners"
    assert options_of(replace(config, broker="127.0.0.1:7")) == own
    assert options_of(replace(config, broker="example.org:7", kafka={"a": "b"})) == {"a": "b"}
    assert own["sasl.password"] not in repr(Clients.of(config, "127.0.0.1:7"))
    assert [mode(it) for it in (tmp_path / "kafka").iterdir()] == [0o600] * 3
    password.set_up(tmp_path, "127.0.0.1:8")
    assert options_of(config) == own, "it is made once"
    password.take_down(tmp_path)
    assert options_of(config) == {}


def test_it_is_said_who_has_access(tmp_path: Path) -> None:
    """In one line, without the password."""
    (tmp_path / "kafka").mkdir()
    config = settings(tmp_path, "")
    assert "every user of this machine" in (access_sentence(config) or "")
    assert "RETOLD_HTTP_TOKENS is set" in (access_sentence(replace(config, http_token="x" * 16)) or "")
    assert access_sentence(replace(config, broker="example.org:9")) is None
    password.set_up(tmp_path, "127.0.0.1:7")
    said = access_sentence(config) or ""
    assert str(client_file(tmp_path)) in said
    assert options_of(config)["sasl.password"] not in said
    assert "\n" not in said


@pytest.mark.parametrize("name", ["pyproject.toml", ".bashrc", "somebody's folder/file"])
def test_a_folder_with_other_things_keeps_its_rights(tmp_path: Path, name: str) -> None:
    """Whoever sets RETOLD_STATE to /tmp or to a home would close it to everybody else; a folder of that name inside it too."""
    for folder in (tmp_path, tmp_path / "slots"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
        folder.chmod(0o755)
    Slot(tmp_path / "slots", "item").release()
    os.close(state.take(tmp_path))
    assert [mode(it) for it in (tmp_path, tmp_path / "slots", tmp_path / "broker.lock")] == [0o755, 0o755, 0o600]


@pytest.mark.parametrize("name", ["notes", "kafka", "faust"])
def test_what_others_keep_beside_ours_is_not_deleted(tmp_path: Path, name: str) -> None:
    """A project's folder may be its state folder, and have folders of these names."""
    there = {
        "notes": ["user.breaker.json", "p.user-3.stuck.json", "user.0.attempt", "a1.stacks", "user.breaker.json.77"],
        "kafka": ["data/meta.properties", "server.properties", "secret", "client.properties", "broker.log.1", "output"],
        "faust": ["v1/tables/x"],
    }[name]
    for file in (*there, "ideas.md", "sub/__init__.py"):
        (tmp_path / name / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name / file).touch()
    assert state.delete(tmp_path, name)
    assert {str(it.relative_to(tmp_path / name)) for it in (tmp_path / name).rglob("*") if it.is_file()} == {
        "ideas.md", "sub/__init__.py"
    }  # fmt: skip
    assert not state.delete(tmp_path, name)
