from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from streams.config import SETTINGS, load
from streams.errors import ConfigError
from streams.kafka.deleted_records import accepted_starts


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text('[tool.retold]\napp = "shop:app"\npartitions = 8\n')
    return tmp_path


def test_the_environment_wins_over_the_file_which_wins_over_the_default(project: Path) -> None:
    """Each setting is the variable's value, else the file's, else the table's default."""
    config = load({"RETOLD_PARTITIONS": "16", "PATH": "/bin"}, project)
    assert (config.partitions, config.app, config.replication) == (16, "shop:app", 1)


def test_the_nearest_file_above_is_the_project(project: Path) -> None:
    """A command started in a subfolder works on the project around it, and relative paths mean that folder."""
    below = project / "a" / "b"
    below.mkdir(parents=True)
    config = load({}, below)
    assert (config.project, config.schemas) == (project.resolve(), project.resolve() / "schemas")


def test_two_projects_keep_apart(tmp_path: Path) -> None:
    """Without RETOLD_STATE every project folder has a state folder of its own, the same one each time."""
    one, two = tmp_path / "one" / "same", tmp_path / "two" / "same"
    for folder in (one, two):
        folder.mkdir(parents=True)
        (folder / "pyproject.toml").touch()
    assert load({}, one).state == load({}, one).state
    assert load({}, one).state != load({}, two).state


@pytest.mark.parametrize(
    ("variable", "value", "expectation"),
    [
        ("RETOLD_PARTITIONS", "four", "a whole number from 1 to 1000"),
        ("RETOLD_PARTITIONS", "0", "a whole number from 1 to 1000"),
        ("RETOLD_TRANSACTION_SECONDS", "nan", "a number of seconds"),
        ("RETOLD_TRANSACTION_SECONDS", "20", "from 0.001 to 2"),  # Kafka would abort each full batch
        ("RETOLD_BROKER", "localhost", "host:port"),
        ("RETOLD_INSTANCE", "my host", "A-Z a-z 0-9 _ -"),
        ("RETOLD_PREFIX", "a/", "A-Z a-z 0-9 . _ -"),
        ("RETOLD_APP", "shop", "module:function"),
        ("RETOLD_LOG_LEVEL", "loud", "debug"),
        ("RETOLD_HISTORY", "3 minutes", "a number of hours or days, such as 12 hours or 30 days"),
    ],
)
def test_a_bad_value_is_a_sentence(tmp_path: Path, variable: str, value: str, expectation: str) -> None:
    """The error names the variable, its value and what was expected."""
    with pytest.raises(ConfigError) as caught:
        load({variable: value}, tmp_path)
    sentence = str(caught.value)
    assert (variable in sentence, repr(value) in sentence, expectation in sentence) == (True, True, True)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("partitions = true", "partitions in [tool.retold]"),
        ("partitons = 4", "did you mean partitions?"),
        ("partitions = ", "pyproject.toml cannot be read"),
    ],
)
def test_a_bad_file_is_a_sentence(tmp_path: Path, line: str, words: str) -> None:
    """A mistake in the file names the file and the setting, or the line that is no TOML."""
    (tmp_path / "pyproject.toml").write_text(f"[tool.retold]\n{line}\n")
    with pytest.raises(ConfigError) as caught:
        load({}, tmp_path)
    assert words in str(caught.value)
    assert str(tmp_path / "pyproject.toml") in str(caught.value)


@pytest.mark.parametrize("text", ["[tool]\nretold = 3\n", 'tool = "retold"\n'])
def test_a_table_that_is_none_is_a_sentence(tmp_path: Path, text: str) -> None:
    """It names the file, what stands there and what was expected."""
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"pyproject.toml is .*; a table was expected, that is, a line \[tool.retold\]"):
        load({}, tmp_path)


def test_an_unknown_variable_suggests_the_nearest(tmp_path: Path) -> None:
    """A misspelt variable would silently do nothing; it is refused, with the likely name."""
    with pytest.raises(ConfigError, match=r"no setting RETOLD_BROKR \(did you mean RETOLD_BROKER\?\)"):
        load({"RETOLD_BROKR": "localhost:9092"}, tmp_path)


def test_an_empty_variable_counts_as_not_set(project: Path) -> None:
    """Compose files pass every variable on, the unset ones empty."""
    config = load({"RETOLD_PARTITIONS": "", "RETOLD_BROKER": ""}, project)
    assert (config.partitions, config.broker) == (8, None)


def test_kafka_options_pass_through_and_are_never_shown(tmp_path: Path) -> None:
    """Any librdkafka option can be given, and a password does not appear in the settings' text."""
    config = load({"RETOLD_KAFKA_SASL_USERNAME": "ann", "RETOLD_KAFKA_SASL_PASSWORD": "hunter2"}, tmp_path)
    assert dict(config.kafka) == {"sasl.username": "ann", "sasl.password": "hunter2"}
    assert "hunter2" not in repr(config)


def test_every_default_is_readable() -> None:
    """A default written in a file as it is shown is accepted, so that documentation can be copied."""
    unread = [
        s.name for s in SETTINGS if not s.help or (s.default not in (None, "") and s.read(str(s.default)) != s.default)
    ]
    assert unread == []


def test_the_state_folder_of_a_project_has_letters_that_every_program_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of one whose name is no UTF-8; one that is there from before keeps its name."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "states"))
    names = set()
    for name in ("läden", "a b%:=#", "a\\b", "new\nline", os.fsdecode(b"l\xe4den")):
        state = load({}, start=tmp_path / name).state
        assert re.fullmatch(r"[A-Za-z0-9._-]+", state.name)
        names.add(state)
    assert len(names) == 5
    digest = load({}, start=tmp_path / "läden").state.name.rpartition("-")[2]
    (tmp_path / "states" / "retold" / f"läden-{digest}").mkdir(parents=True)
    assert load({}, start=tmp_path / "läden").state.name == f"läden-{digest}"


@pytest.mark.parametrize(
    ("setting", "value"),
    [("state", "a\0b"), ("http_proxies", "10.0.0.1;10.0.0.2"), ("http_proxies", "a:b:c"), ("http_proxies", "10.0.0.1,"),
     ("accepted_starts", "user-due-0"), ("broker", "localhost:99999"), ("broker", "a:1,b:0")],
)
def test_a_value_that_names_nothing_is_refused(project: Path, setting: str, value: str) -> None:
    """A proxy whose address is mistyped would be taken for one client."""
    with pytest.raises(ConfigError, match=f"RETOLD_{setting.upper()} is "):
        load({f"RETOLD_{setting.upper()}": value}, project)


def test_a_proxy_is_known_in_each_form_of_its_address(project: Path) -> None:
    """A connection's peer has one form alone."""
    assert load({"RETOLD_HTTP_PROXIES": "0:0:0:0:0:0:0:1, 10.0.0.1"}, project).http_proxies == "::1,10.0.0.1"


def test_first_offsets_that_are_accepted_are_read_with_blanks_between(project: Path) -> None:
    """One that was lost by a blank would be said again."""
    read = load({"RETOLD_ACCEPTED_STARTS": "user-due-0@12, a.b-1@3"}, project).accepted_starts
    assert accepted_starts(read) == {("user-due", 0): 12, ("a.b", 1): 3}


def test_a_blank_value_counts_as_not_set(project: Path) -> None:
    """As a path, it would be the project's own folder, and its state would be there."""
    assert load({"RETOLD_STATE": " ", "RETOLD_PREFIX": "\t"}, project) == load({}, project)
    (project / "pyproject.toml").write_text('[tool.retold]\napp = "shop:app"\npartitions = 8\nstate = " "\n')
    assert load({}, project).state == load({"RETOLD_STATE": ""}, project).state != project


@pytest.mark.parametrize("text", [f"x = {'9' * 5000}", f"x = {'[' * 5000}"], ids=["digits", "nested"])
def test_a_file_that_the_parser_cannot_read_is_named(project: Path, text: str) -> None:
    """Not every error of the parser is one of its own."""
    (project / "pyproject.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"pyproject\.toml cannot be read"):
        load({}, project)
