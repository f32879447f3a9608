"""The command line as far as it needs no broker: help, exit codes, finding the application, checks, and files."""

from __future__ import annotations

import inspect
import io
import json
import os
import shutil
import socket
import subprocess
import sys
import uuid
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import typer.main

from streams.cli import command_table, make_cli, run_command
from streams.cli.command_table import COMMANDS, TableEntry
from streams.cli.process import exit_codes, port_wait
from streams.errors import (
    BrokerUnavailable,
    ConfigError,
    DefinitionError,
    EventRejected,
    OutcomeTimeout,
    SchemaError,
    StreamsError,
    TopicMismatch,
)

ROOT = Path(__file__).parents[2]


class Said(NamedTuple):
    code: int
    out: str
    err: str


class Project:
    """A folder with an application of its own, and the command line run in it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.name = folder, f"app_{uuid.uuid4().hex}"
        self._capsys = capsys
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "path", list(sys.path))
        for name in ("RETOLD_BROKER", "RETOLD_PREFIX", "RETOLD_APP", "RETOLD_SCHEMAS"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("RETOLD_STATE", str(folder / "state"))
        self.set("app", f"{self.name}:app")

    def set(self, name: str, value: str) -> None:
        (self.folder / "pyproject.toml").write_text(f'[tool.retold]\n{name} = "{value}"\n', encoding="utf-8")

    def write(self, file: str, text: str) -> Path:
        path = self.folder / file.replace("APP", self.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("APP", self.name), encoding="utf-8")
        return path

    def retold(self, *arguments: str) -> Said:
        self._capsys.readouterr()
        code = run_command(arguments)
        return Said(code, *self._capsys.readouterr())


@pytest.fixture
def project(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Project:
    return Project(tmp_path, capsys, monkeypatch)


@pytest.fixture
def demo(project: Project) -> Project:
    """The demonstration's application, seen from a project with its schemas and a state folder of its own."""
    project.set("app", "processors:app")
    shutil.copytree(ROOT / "schemas", project.folder / "schemas")
    shutil.copytree(ROOT / "processors", project.folder / "processors", ignore=shutil.ignore_patterns("__pycache__"))
    return project


GROUPS = ("schemas", "correct", "parked", "rebuild", "token")
"""Commands that have commands of their own."""


def all_commands() -> dict[str, Any]:
    group: Any = typer.main.get_command(make_cli())
    found = {name: command for name, command in group.commands.items() if name not in GROUPS}
    inner = {f"{of} {name}": it for of in GROUPS for name, it in group.commands[of].commands.items()}
    return found | inner


def test_help_names_every_command_and_every_exit_code(project: Project) -> None:
    """In the groups of the design, with what each exit code means."""
    said = project.retold("--help")
    assert said.code == 0
    for group in ("Make", "Run", "Use", "Operate", "Exit codes"):
        assert f"─ {group} ─" in said.out
    words = said.out.split()
    assert {entry.name for entry in COMMANDS} <= set(words)
    assert {str(code) for code in exit_codes.MEANINGS} <= set(words)


def test_help_fits_the_screen(project: Project) -> None:
    """No line is longer than 80 characters."""
    for name in ["", *all_commands()]:
        said = project.retold(*name.split(), "--help")
        assert [line for line in said.out.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("name", sorted(all_commands()))
def test_help_teaches_by_an_example(name: str, project: Project) -> None:
    """Each command shows one."""
    said = project.retold(*name.split(), "--help")
    assert "Example: " in said.out
    assert f"retold {name}" in said.out


@pytest.mark.parametrize("when", ["streams.app", "typer", "streams.cli.commands.status"])
def test_ctrl_c_while_a_command_is_imported_ends_it_without_a_traceback(when: str) -> None:
    """That takes a tenth of a second, in which somebody may see that the command was the wrong one."""
    code = (
        "import sys\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, *_):\n"
        f"        if name == {when!r}: raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupted())\n"
        "from streams.cli import main\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code, "status"], capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_help_waits_for_nothing_that_it_does_not_show() -> None:
    """Neither Kafka nor Faust nor the codec is loaded, nor what Typer would load for its own help."""
    code = "import sys; from streams.cli import run_command; run_command(['--help']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = set(done.stdout.splitlines()[-1].split())
    slow = {"confluent_kafka", "faust", "fastavro", "structlog", "rich.markdown", "pygments", "streams.config"}
    assert loaded & slow == set()
    assert not [name for name in loaded if name.startswith("streams.cli.commands")]


def test_the_table_has_the_summary_of_each_command() -> None:
    """`retold --help` shows it without importing the command, whose own help begins with it."""
    group: Any = typer.main.get_command(make_cli())
    own = {name: " ".join(inspect.cleandoc(command.help).split("\n\n")[0].split()) for name, command in group.commands.items()}
    assert {entry.name: entry.summary for entry in COMMANDS} == own


def test_a_mistyped_command_is_refused_with_the_nearest(project: Project) -> None:
    """Also though no command's module is imported then."""
    said = project.retold("stats")
    assert said.code == exit_codes.USAGE
    assert "No such command 'stats'. Did you mean 'status'?" in " ".join(said.err.replace("│", " ").split())


def test_tail_explains_log_sequences_and_inbox_offsets(project: Project) -> None:
    """Of the two numbers of an event, which are written differently: once, where both are seen."""
    out = project.retold("tail", "--help").out
    assert "user-3:7" in out
    assert "user-3@1042" in out


@pytest.mark.parametrize("words", [["schemas", "list"], ["topics"], ["get", "user", "u1", "--limit", "1"]])
def test_a_command_loads_nothing_that_it_does_not_use(words: list[str], tmp_path: Path) -> None:
    """Pydantic, with which Typer would read the options, and structlog, which only workers use, take longer than the rest."""
    code = f"import sys; from streams.cli import run_command; run_command({words}); print(*sys.modules)"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("RETOLD_")}
    environ["RETOLD_STATE"] = str(tmp_path)  # where no broker runs
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, env=environ)
    loaded = set(done.stdout.splitlines()[-1].split())
    commands = {f"streams.cli.commands.{entry.name}" for entry in COMMANDS}
    assert loaded & commands == {f"streams.cli.commands.{words[0]}"}
    assert loaded & {"pydantic", "structlog", "faust", "fastapi", "pygments"} == set()


@pytest.mark.parametrize("words", [["get", "us\udcff"], ["publish", "user.close", "us\udcff=1"], ["tail", "--last", "x"]])
def test_a_value_that_cannot_be_read_is_named(words: list[str], project: Project) -> None:
    """Bytes that are no UTF-8 come as halves of surrogate pairs, which no event can have."""
    said = project.retold(*words)
    assert said.code == exit_codes.USAGE
    assert "Invalid value for '" in said.err
    assert "was expected" in " ".join(said.err.replace("│", "").split())


def test_the_version_is_the_packages(project: Project) -> None:
    """As pip shows it."""
    assert project.retold("--version").out.startswith("retold 0.")


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-command"],
        ["publish"],
        ["publish", "user.signup", "user"],
        ["publish", "user.signup", "user=1", "user=2"],
        ["publish", "user.signup", "user=1", "email=e", "--limit", "3"],
        ["publish", "user.signup", "user=1", "email=e", "--id-column", "number"],
        ["publish", "user.signup", "user=1", "email=e", "--time-column", "at"],
        ["publish", "user.signup", "user=1", "email=e", "--time", "noon"],
        ["publish", "user.signup", "--from", "f.csv", "--wait", "3"],
        ["publish", "user.signup", "user=1", "--from", "f.csv"],
        ["publish", "user.signup", "--from", "f.csv", "--on-error", "cry"],
        ["publish", "--from", "f.csv"],
        ["parked", "retry"],
        ["parked", "retry", "user-0@1", "--all", "user"],
    ],
)
def test_a_command_written_otherwise_is_refused(arguments: list[str], demo: Project) -> None:
    """With exit code 2, before anything is looked for."""
    demo.write("f.csv", "user,email\n")
    said = demo.retold(*arguments)
    assert (said.code, said.out) == (exit_codes.USAGE, "")
    assert "Usage: retold" in said.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["publish", "--expected-version", "x"], "it is 'x'; a whole number of 0 or more was expected."),
        (["publish", "--expected-version", "-1"], "it is '-1'; a whole number of 0 or more was expected."),
        (["publish", "--wait", "-1"], "it is '-1'; a number of seconds, 0 or more, was expected."),
        (["worker", "--wait", "nan"], "it is 'nan'; a number of seconds, 0 or more, was expected."),
        (["server", "--wait", "soon"], "it is 'soon'; a number of seconds, 0 or more, was expected."),
        (["tail", "--last", "0"], "it is '0'; a whole number of 1 or more was expected."),
        (["get", "user", "--limit", "1_0"], "it is '1_0'; a whole number of 1 or more was expected."),
        (["worker", "--processes", "101"], "it is '101'; a whole number from 1 to 100 was expected."),
        (["parked", "retry"], "an inbox offset such as user-3@1042, or --all and a namespace's name, was expected."),
    ],
)
def test_a_wrong_value_is_reported_with_what_was_expected(arguments: list[str], sentence: str, demo: Project) -> None:
    """After the name of its option."""
    said = demo.retold(*arguments)
    words = " ".join(said.err.replace("│", " ").split())  # as it is without the frame, which breaks lines
    assert said.code == exit_codes.USAGE
    option = f" for '{arguments[-2]}'" if arguments[-2].startswith("--") else ""
    assert f"Invalid value{option}: {sentence}" in words


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), 3),
        (TopicMismatch("x"), 3),
        (BrokerUnavailable("x"), 4),
        (OutcomeTimeout("x"), 5),
        (DefinitionError("x"), 1),
        (SchemaError("x"), 1),
        (EventRejected("x"), 1),
        (StreamsError("x"), 1),
    ],
)
def test_an_errors_class_gives_the_exit_code(error: StreamsError, code: int) -> None:
    """The nearest class in the table decides."""
    assert exit_codes.code_of(error) == code


@pytest.mark.parametrize(
    ("app", "text", "message"),
    [
        ("nowhere_at_all:app", "", "names the module 'nowhere_at_all', and there is none below {folder}"),
        ("APP:start", "", "is '{name}:start', and {folder}/{name}.py has no 'start': correct the name"),
        ("APP:app", "app = 3", "is '{name}:app', which is a int; a function was expected"),
        ("APP:app", "def app(): return 3", "{name}:app gave a int; a streams.App was expected"),
        ("APP:app", "\ndef app(:", "{folder}/{name}.py:2: invalid syntax"),
        ("APP:app", "\n\nimport nowhere_at_all", "{folder}/{name}.py:3: ModuleNotFoundError: No module named 'nowhere"),
        ("APP:app", "def app():\n    return 1 / 0", "{folder}/{name}.py:2: ZeroDivisionError: division by zero"),
    ],
)
def test_an_application_that_cannot_be_found_is_a_sentence(app: str, text: str, message: str, project: Project) -> None:
    """It says which name is wrong, or in which line the application's own code stumbles; with exit code 3."""
    project.set("app", app.replace("APP", project.name))
    project.write("APP.py", text)
    project.write("schemas/README.md", "")
    said = project.retold("publish", "user.signup")
    assert (said.code, said.out) == (exit_codes.CONFIGURATION, "")
    assert message.format(folder=project.folder, name=project.name) in said.err
    assert len(said.err.splitlines()) == 1


NEED_THE_APPLICATION = [
    ["check"],
    ["schemas", "generate"],
    ["run"],
    ["worker"],
    ["server"],
    ["publish", "user.signup", "user=u1", "email=e"],
    ["get", "user"],
    ["tail"],
    ["status"],
    ["topics"],
    ["parked", "list"],
    ["parked", "show", "user-0@1"],
    ["parked", "retry", "user-0@1"],
    ["parked", "reject", "user-0@1", "--why", "w"],
    ["parked", "answer", "user-0@1", "user.signup", "user=u1", "--why", "w"],
    ["parked", "quarantine", "user-0@1", "--why", "w"],
]


@pytest.mark.parametrize("table", ["", "[tool.retodl]\napp = 'processors:app'\n", "[tool.retold]\npartitions = 8\n"])
@pytest.mark.parametrize("arguments", NEED_THE_APPLICATION, ids=lambda arguments: " ".join(arguments[:2]))
def test_without_an_application_no_other_one_is_taken(arguments: list[str], table: str, project: Project) -> None:
    """Not even the demonstration, which can be imported here: the file is named, and what to write; with exit code 3."""
    project.write("pyproject.toml", table)
    project.write("schemas/README.md", "")
    said = project.retold(*arguments)
    assert (said.code, said.out) == (exit_codes.CONFIGURATION, "")
    assert said.err == (
        f'no application is named: [tool.retold] app = "PACKAGE:app" is missing in {project.folder}/pyproject.toml. '
        "Write it, go to your project, or begin with `retold new shop`.\n"
    )


def test_without_a_project_a_sentence_says_where_to_go(project: Project) -> None:
    """No file is named that is not there; with exit code 3."""
    (project.folder / "pyproject.toml").unlink()
    said = project.retold("status")
    assert (said.code, said.out) == (exit_codes.CONFIGURATION, "")
    assert said.err == (
        f"no application is named: there is no pyproject.toml in {project.folder} or above. "
        "Go to your project, or begin with `retold new shop`.\n"
    )


def test_the_demonstration_keeps_the_laws(demo: Project) -> None:
    """Nothing on stdout, one sentence beside it."""
    assert demo.retold("check") == (0, "", "retold-demo keeps the laws: 10 events, each with its one handler.\n")


CLOCK = """
from datetime import datetime
from streams import App, Namespace, Outcome
from APP.events import ThingDo, ThingRow

thing = Namespace("thing", row=ThingRow)

@thing.handles(ThingDo, emits=[ThingDo])
def do(row, event):
    return Outcome(ThingRow(at=str(datetime.now())))

def app():
    return App(name="clock", namespaces=[thing])
"""
TYPO = '{"type": "record", "name": "row", "namespace": "thing", "fields": [\n{"name": "at", "type": "strng"}]}'
FIELDS = '"fields": [{"name": "at", "type": "string"}]'


def test_a_breach_is_reported_with_file_and_line(project: Project) -> None:
    """On stdout, one a line, as an editor reads it; cycles are reported beside it; with exit code 1."""
    project.write("schemas/thing.avsc", f'{{"type": "record", "name": "row", "namespace": "thing", {FIELDS}}}')
    project.write(
        "schemas/thing/do.avsc", f'{{"type": "record", "name": "do", "namespace": "thing", "key": "at", {FIELDS}}}'
    )
    project.write("APP/__init__.py", CLOCK)
    generated = project.retold("schemas", "generate")
    assert (generated.code, generated.out) == (0, "new thing.do\nnew thing.row\n")
    said = project.retold("check")
    assert said.code == exit_codes.NO
    assert said.out.startswith(f"{project.name}/__init__.py:10: ")
    assert "the handler of thing.do" in said.out
    assert "For information, a cycle: thing.do → thing.do." in said.err
    as_json = [json.loads(line) for line in project.retold("check", "--json").out.splitlines()]
    assert [(each["file"], each["line"], each["law"]) for each in as_json] == [
        (f"{project.name}/__init__.py", 10, "ImpureHandler")
    ]
    worker = project.retold("worker")
    assert (worker.code, worker.out) == (exit_codes.NO, "")
    assert worker.err.startswith(said.out)


@pytest.mark.parametrize("command", ["check", "worker"])
def test_a_folder_of_schemas_that_was_named_is_there(
    command: str, demo: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A misspelt one would leave every schema unchecked; with exit code 3, before a broker is looked for."""
    monkeypatch.setenv("RETOLD_SCHEMAS", "nope")
    said = demo.retold(command)
    assert (said.code, said.out) == (exit_codes.CONFIGURATION, "")
    assert f"is '{demo.folder}/nope'; the path of an existing folder was expected" in said.err


def test_code_that_is_deployed_alone_is_checked_by_a_worker(demo: Project) -> None:
    """Without the default folder the worker goes on to look for a broker, and `retold check` misses the schemas."""
    shutil.rmtree(demo.folder / "schemas")
    assert demo.retold("worker").code == exit_codes.BROKER
    assert demo.retold("check").out == "schemas:1: there is no such folder of schemas\n"


def test_a_schema_with_a_typo_is_reported_before_the_application_is_loaded(project: Project) -> None:
    """The application cannot load without its classes; the typo comes first."""
    project.write("schemas/thing.avsc", TYPO)
    project.write("APP/__init__.py", CLOCK)
    said = project.retold("check")
    assert said.code == exit_codes.NO
    assert said.out.startswith("schemas/thing.avsc:2: ")
    assert "Besides, the application does not load" in said.err
    assert project.retold("schemas", "generate").code == exit_codes.NO


def test_schemas_are_listed_and_released(demo: Project) -> None:
    """A release freezes what is a draft, once."""
    (demo.folder / "schemas/lock.json").unlink()
    (demo.folder / "schemas/user.avsc").write_text(
        (demo.folder / "schemas/user.avsc").read_text().replace('"version": 2', '"version": 1')
    )
    assert demo.retold("schemas", "generate").code == 0
    listed = [json.loads(line) for line in demo.retold("schemas", "list", "--json").out.splitlines()]
    assert len(listed) == 13
    assert {each["released"] for each in listed} == {False}
    assert demo.retold("schemas", "release").out.splitlines()[0] == "released email.bounced v1"
    assert demo.retold("schemas", "release") == (0, "", "All versions are released already.\n")
    assert demo.retold("schemas", "list").out.count("released") == 13
    assert demo.retold("schemas", "generate") == (0, "", "Nothing has changed.\n")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (["user=u1"], "field 'email' is missing; a text was expected."),
        (["user=u1", "email=e", "views=many"], "field 'views' is 'many'; a whole number from -9223372036854775808 to"),
        (["user=u1", "mail=e"], "field 'mail' is no field of user.signup (did you mean email?)"),
    ],
)
def test_a_field_that_does_not_fit_is_named(fields: list[str], message: str, demo: Project) -> None:
    """Before a broker is looked for."""
    said = demo.retold("publish", "user.signup", *fields)
    assert (said.code, said.out) == (exit_codes.NO, "")
    assert message in said.err


def test_an_event_that_nobody_handles_is_named(demo: Project) -> None:
    """With the nearest one that there is."""
    said = demo.retold("publish", "user.sign_up", "user=u1")
    assert said.code == exit_codes.USAGE
    assert "retold-demo handles no event 'user.sign_up' (did you mean user.signup?)" in said.err


@pytest.mark.parametrize("arguments", [["get", "user"], ["tail"], ["status"], ["topics"], ["worker"]])
def test_without_a_broker_a_sentence_says_how_to_get_one(arguments: list[str], demo: Project) -> None:
    """With exit code 4."""
    said = demo.retold(*arguments)
    assert (said.code, said.out) == (exit_codes.BROKER, "")
    assert "Start one with `retold run`" in said.err


def test_a_kafka_option_that_is_not_taken_is_named(demo: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its variable, with exit code 3: it is a setting, and no broker was asked."""
    monkeypatch.setenv("RETOLD_BROKER", "127.0.0.1:1")
    monkeypatch.setenv("RETOLD_KAFKA_NOPE", "1")
    said = demo.retold("status")
    assert (said.code, said.out, said.err.count("\n")) == (exit_codes.CONFIGURATION, "", 1)
    assert said.err.startswith("the setting RETOLD_KAFKA_NOPE (nope of kafka in [tool.retold]) is not usable: ")


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_namespace_that_is_not_there_is_named_once(processes: str, demo: Project) -> None:
    """However many workers were asked for, and before a broker is looked for."""
    said = demo.retold("worker", "nobody", "--processes", processes)
    assert (said.code, said.out, said.err.count("\n")) == (exit_codes.USAGE, "", 1)
    assert "has no namespace 'nobody'; it has: user, folder" in said.err


def test_run_finds_a_port_in_use_before_anything_starts(demo: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two ways out are named, with exit code 3; no broker was begun. Without a server, the port is of no matter."""
    monkeypatch.setattr(port_wait, "PATIENCE", 0.2)
    demo.write("state/kafka/data/meta.properties", "")
    (demo.folder / "state" / "broker.lock").mkdir()  # no broker can start here, which would be the next to be said
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("RETOLD_HTTP_PORT", str(port))
        said = demo.retold("run")
        alone = demo.retold("run", "--no-server")
    assert (said.code, said.out) == (exit_codes.CONFIGURATION, "")
    waits, first, second = said.err.splitlines()
    assert waits.startswith("The port is in use. Waiting up to 0.2 s")
    assert first.startswith(f"the port {port} of 127.0.0.1 is in use, ")
    assert "RETOLD_HTTP_PORT" in first
    assert second == "`retold run --no-server` runs without a server."
    assert alone.err.startswith("the state folder ")


@pytest.mark.parametrize("words", [("--link", "9999"), ("--rates", "9999"), ("--link", "9999", "--rates", "9998")])
def test_options_for_processes_that_the_server_starts_are_refused_by_hand(words: tuple[str, ...], demo: Project) -> None:
    """In a sentence, before anything is read."""
    said = demo.retold("server", *words)
    assert (said.code, said.out, said.err.count("\n")) == (exit_codes.CONFIGURATION, "", 1)
    assert f"{words[0]} is 9999" in said.err
    assert "Use --processes, and neither of them" in said.err


def test_a_broken_line_keeps_the_whole_file_back(demo: Project) -> None:
    """Each broken line is named by its number and column; the broker is not even looked for."""
    demo.write("f.csv", "user,email,views\nu1,e,1\nu2,e,x\nu3,e,3\nu4,e\n")
    said = demo.retold("publish", "user.signup", "--from", "f.csv")
    assert (said.code, said.out) == (exit_codes.NO, "")
    first, second, last = said.err.splitlines()
    assert first.startswith("f.csv:3: column 'views' is 'x'; a whole number")
    assert second == "f.csv:5: column 'views' is missing: 2 of 3 are there"
    assert last == "Nothing was published: 2 of 4 lines are broken."


def test_many_broken_lines_are_counted(demo: Project) -> None:
    """Ten are reported one by one."""
    demo.write("f.jsonl", "?\n" * 1234)
    said = demo.retold("publish", "user.signup", "--from", "f.jsonl")
    *told, more, last = said.err.splitlines()
    assert len(told) == 10
    assert more == "… and 1,224 more lines like these."
    assert last == "Nothing was published: 1,234 of 1,234 lines are broken."


def test_only_as_many_rows_as_asked_for_are_read(demo: Project) -> None:
    """A broken line beyond the limit is none of our business: what is missing now is a broker."""
    demo.write("f.jsonl", '{"user": "u1", "email": "e"}\n?\n')
    assert demo.retold("publish", "user.signup", "--from", "f.jsonl", "--limit", "1").code == exit_codes.BROKER


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("u2,e,,2026-01-31T12:00:00Z", "column 'number' is ''; a text of 1 to 1024 bytes or a whole number was expected, as "),
        ("u2,e,2,noon", "column 'created' is 'noon'; an ISO 8601 time with a zone"),
        ("u2,e,1,2026-01-31T12:00:00Z", "column 'number': the id '1' is that of line 2, whose data or time are not the "),
    ],
)
def test_columns_of_the_file_may_be_id_and_time(line: str, problem: str, demo: Project) -> None:
    """One that is no field of the event is none then, one that is a field is both; what is wrong in it breaks its line."""
    demo.write("f.csv", f"user,email,number,created\nu1,e,1,2026-01-31T12:00:00Z\n{line}\n")
    words = ("publish", "user.signup", "--from", "f.csv", "--id-column", "number", "--time-column", "created")
    said = demo.retold(*words)
    assert (said.code, said.out) == (exit_codes.NO, "")
    told, last = said.err.splitlines()
    assert told.startswith(f"f.csv:3: {problem}")
    assert last == "Nothing was published: 1 of 2 lines is broken."
    assert demo.retold(*words, "--limit", "1").code == exit_codes.BROKER


def test_what_comes_through_a_pipe_is_checked_like_a_file(demo: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """JSON lines, unless another format is named."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"user": "u1"}\n')))
    said = demo.retold("publish", "user.signup", "--from", "-")
    assert said.err.splitlines()[0] == "stdin:1: column 'email' is missing; a text was expected"
    assert said.code == exit_codes.NO


def test_a_file_that_is_not_there_is_a_sentence(demo: Project) -> None:
    """With exit code 3."""
    said = demo.retold("publish", "user.signup", "--from", "f.csv")
    assert (said.code, said.err) == (exit_codes.CONFIGURATION, "the file f.csv cannot be read: No such file or directory.\n")


def test_a_function_that_is_not_there_is_a_sentence(demo: Project) -> None:
    """It names the option."""
    demo.write("f.csv", "a\n")
    said = demo.retold("publish", "user.signup", "--from", "f.csv", "--with", "processors.publish:of_row")
    assert said.code == exit_codes.CONFIGURATION
    assert said.err.startswith("--with is 'processors.publish:of_row', and ")


def test_a_fault_of_our_own_is_distinguished(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of a user's can be meant by it, so the lines that a report needs are shown; with exit code 70."""

    def divide() -> None:
        1 / 0  # noqa: B018 - the fault

    monkeypatch.setattr(command_table, "COMMANDS", (TableEntry("divide", "Run", ""),))
    monkeypatch.setitem(sys.modules, "streams.cli.commands.divide", SimpleNamespace(divide=divide))  # type: ignore[arg-type]  # it has what is looked for
    said = project.retold("divide")
    assert said.code == exit_codes.FAULT
    assert "Traceback" in said.err
    assert said.err.splitlines()[-1].startswith("This is an internal error in retold")


@pytest.mark.parametrize("name", ["Shop", "1shop", "shop-1", "class", "json", "streams", "tests", "", "x" * 64])
def test_a_name_that_cannot_be_an_applications_is_refused(name: str, project: Project) -> None:
    """It would be no package, or hide one; nothing is written."""
    before = sorted(project.folder.iterdir())
    said = project.retold("new", name)
    assert said.code == exit_codes.CONFIGURATION
    assert "cannot be the name of an application" in said.err
    assert sorted(project.folder.iterdir()) == before


def test_what_is_there_is_not_written_over(project: Project) -> None:
    """A second `retold new` of a name changes nothing."""
    (project.folder / "shop").mkdir()
    said = project.retold("new", "shop")
    assert said.code == exit_codes.CONFIGURATION
    assert said.err.endswith("shop already exists: choose another name, or move it away.\n")
    assert list((project.folder / "shop").iterdir()) == []


@pytest.mark.parametrize("content", ["\ufeff{}", "{", ""])
def test_a_schema_file_that_cannot_be_read_is_one_breach(demo: Project, content: str) -> None:
    """And not also one that is missing: a byte order mark, or half of a file."""
    file = demo.folder / "schemas" / "user.avsc"
    file.write_text((content + file.read_text(encoding="utf-8")) if content == "\ufeff{}" else content, encoding="utf-8")
    said = demo.retold("check")
    assert said.code == exit_codes.NO
    assert [line for line in said.out.splitlines() if "has no file in the schema folder" in line] == []
    assert len([line for line in said.out.splitlines() if "user.avsc" in line]) == 1


@pytest.mark.parametrize("option", ["--time-column", "--id-column"])
def test_a_column_that_is_not_there_is_the_one_that_is_named(demo: Project, option: str) -> None:
    """And not one that is there, and no field because of that."""
    demo.write("f.csv", "user,email,created\nu1,e,2026-01-31T12:00:00Z\n")
    said = demo.retold("publish", "user.signup", "--from", "f.csv", option, "create")
    assert said.code == exit_codes.NO
    assert said.err.startswith("f.csv:2: column 'create' is missing (did you mean created?); there are ")
