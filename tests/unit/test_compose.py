"""What can be known of the image and of docker-compose.yml without a Docker engine."""

from __future__ import annotations

import fnmatch
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.compose.wanted import EMBEDDED_KAFKA, wanted
from streams.config import load
from streams.localbroker import docker
from streams.server.connections import ALWAYS_ANSWERED
from tests.support.commandline import problem_of

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if "build" in service]
TOKEN = "correct-horse-battery"
LISTENERS = {"KAFKA_LISTENERS", "KAFKA_ADVERTISED_LISTENERS", "KAFKA_INTER_BROKER_LISTENER_NAME",
             "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"}  # fmt: skip
every_service = pytest.mark.parametrize("name", SERVICES)


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's, in order."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    return re.findall(r"(?m)^([A-Z]+) +(.+)$", text)


def image_environment() -> dict[str, str]:
    """What the image sets; the last stage wins."""
    pairs = [pair for word, rest in instructions() if word == "ENV" for pair in rest.split()]
    return dict(pair.split("=", 1) for pair in pairs)


def copied() -> list[str]:
    """What the Dockerfile takes from the repository."""
    lines = [rest.split() for word, rest in instructions() if word == "COPY" and "--from" not in rest]
    return [source for *sources, _ in lines for source in sources]


def as_set(value: object) -> str:
    """With `${NAME:-default}` and `${NAME:?…}` replaced, as Compose does."""
    return re.sub(r"\$\{\w+:(\?|-([^}]*))[^}]*\}", lambda it: it[2] if it[1] != "?" else TOKEN, str(value))


@every_service
def test_ports_are_published_on_loopback_alone(name: str) -> None:
    """Docker's default is every address of the machine, past its firewall."""
    assert [port for port in SERVICES[name].get("ports", []) if not port.startswith("127.0.0.1:")] == []


@every_service
def test_every_service_is_looked_after(name: str) -> None:
    """A health check, a restart, limits of memory and logs, and time for a clean end."""
    service = SERVICES[name]
    assert {"test", "interval", "timeout", "retries", "start_period"} <= service["healthcheck"].keys()
    assert (service["restart"], "mem_limit" in service) == ("unless-stopped", True)
    assert {"max-size", "max-file"} <= service["logging"]["options"].keys()
    assert re.fullmatch(r"\d+s", service["stop_grace_period"])
    assert all("condition" in it for it in service.get("depends_on", {}).values())


@every_service
def test_what_is_mounted_is_there(name: str) -> None:
    """Docker makes an empty folder of a file that is not there. It is mounted to be read."""
    for volume in SERVICES[name].get("volumes", []):
        source, _, *how = volume.split(":")
        if source.startswith("."):
            assert ((ROOT / source).is_file(), how) == (True, ["ro"])


@every_service
def test_images_have_versions(name: str) -> None:
    """What was chosen once stays until somebody chooses again."""
    image = SERVICES[name]["image"]
    assert name in OURS or re.search(r":v?\d+\.\d+\.\d+$", image), image


def test_kafka_is_set_as_the_one_that_retold_starts() -> None:
    """The same version and settings as in a container of its own; where it listens differs."""
    kafka = SERVICES["kafka"]
    expected = {name: value for name, value in docker.environment(1).items() if name not in LISTENERS}
    real = {name: str(value) for name, value in kafka["environment"].items()}
    assert kafka["image"] == docker.IMAGE
    assert {name: real.get(name) for name in expected} == expected
    assert real.keys() - expected.keys() == LISTENERS | {"KAFKA_HEAP_OPTS"}


CLEANUP = re.compile(r"(?i)transaction[._]abort[._]timed[._]out[._]transaction[._]cleanup[._]interval[._]ms\W*[=:]\W*\d")


def test_nothing_makes_a_broker_hurry_with_transactions_that_timed_out() -> None:
    """Kafka's own 10 s stay: with one, a broker that was killed ends a transaction without its marker (rule 33)."""
    folders = ("streams", "ops", "docs")
    files = [ROOT / "docker-compose.yml", ROOT / "Dockerfile", *(it for name in folders for it in (ROOT / name).rglob("*.*"))]
    texts = {file: file.read_text(encoding="utf-8", errors="replace") for file in files if file.is_file()}
    assert [str(file) for file, text in texts.items() if CLEANUP.search(text)] == []


@pytest.mark.parametrize("text", ["{}=1000", "KAFKA_{}: 1000", '"KAFKA_{}": "1000"'])
def test_a_setting_is_found_as_it_is_written(text: str) -> None:
    """In a file of properties, in Compose's, and in Python."""
    name = "transaction.abort.timed.out.transaction.cleanup.interval.ms"
    assert CLEANUP.search(text.format(name.upper().replace(".", "_") if "KAFKA" in text else name))


@pytest.mark.parametrize("name", OURS)
def test_settings_and_commands_are_those_of_retold(name: str, tmp_path: Path) -> None:
    """Every variable is a setting with a value that is taken, and the command has these options."""
    service = SERVICES[name]
    variables = {key: as_set(value) for key, value in (image_environment() | service["environment"]).items()}
    config = load({key: value for key, value in variables.items() if key.startswith("RETOLD_")}, tmp_path)
    assert config.broker == SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].split("INSIDE://")[1].split(",")[0]
    assert ("ENTRYPOINT", '["retold"]') in instructions()
    assert problem_of(["retold", *service["command"]]) is None


def test_no_secret_stands_in_the_file() -> None:
    """The token comes from the environment, and a sentence says so if it does not."""
    secrets = {
        (name, key): str(value)
        for name, service in SERVICES.items()
        for key, value in service["environment"].items()
        if re.search("TOKEN|PASSWORD|SECRET", key)
    }
    assert [where for where, value in secrets.items() if not re.fullmatch(r"\$\{RETOLD_HTTP_TOKEN:\?.{20,}\}", value)] == []
    assert len(secrets) == 4


def test_workers_can_be_scaled() -> None:
    """They share the folder whose locks hand out slots, under one instance name; nothing else is theirs alone."""
    worker = SERVICES["worker"]
    assert as_set(worker["environment"]["RETOLD_INSTANCE"]) == "compose"
    assert [volume.split(":") for volume in worker["volumes"]] == [["worker-state", image_environment()["RETOLD_STATE"]]]
    assert {"container_name", "hostname", "ports"} & worker.keys() == set()


SLOT = """
import sys
from pathlib import Path
from streams.worker.slots import Slot
slot = Slot(Path(sys.argv[1]), "user")
print(slot.number, flush=True)
sys.stdin.read()
"""


def test_workers_of_one_folder_have_numbers_of_their_own(tmp_path: Path) -> None:
    """Three processes get 0, 1 and 2; after kill -9 the number is free, and who starts again takes it."""
    workers: list[subprocess.Popen[str]] = []

    def start() -> int:
        command = [sys.executable, "-c", SLOT, str(tmp_path / "slots")]
        worker = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        workers.append(worker)
        assert worker.stdout is not None
        return int(worker.stdout.readline())

    try:
        assert [start() for _ in range(3)] == [0, 1, 2]
        workers[1].kill()
        workers[1].wait()
        assert start() == 1
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()


def test_volumes_are_declared_and_used() -> None:
    """A name that is misspelt would be an error, or an empty volume."""
    used = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    used = {source for source in used if not source.startswith(".")}
    assert used == COMPOSE["volumes"].keys()


def test_the_servers_health_is_what_is_asked_without_a_token() -> None:
    """At the port where it listens in its container, by the Python of the image, which has no curl."""
    server = SERVICES["server"]
    *start, program = server["healthcheck"]["test"]
    assert start == ["CMD", "python", "-c"]
    assert f"http://127.0.0.1:{server['environment']['RETOLD_HTTP_PORT']}/-/ready" in program
    assert "/-/ready" in ALWAYS_ANSWERED
    assert server["ports"] == ["127.0.0.1:8080:8080"]


def test_kafka_ui_asks_the_server_for_schemas() -> None:
    """At its name and port, with the token as password."""
    ui, server = SERVICES["kafka-ui"]["environment"], SERVICES["server"]["environment"]
    assert ui["KAFKA_CLUSTERS_0_SCHEMAREGISTRY"] == f"http://server:{server['RETOLD_HTTP_PORT']}"
    assert ui["KAFKA_CLUSTERS_0_SCHEMAREGISTRYAUTH_PASSWORD"] == server["RETOLD_HTTP_TOKEN"]


def test_what_the_image_copies_is_there_and_is_sent_to_the_build() -> None:
    """The list of what is not sent leaves nothing out that is needed."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    sent = [line.removeprefix("!") for line in lines if line.startswith("!")]
    assert lines[1] == "*"
    for source in copied():
        assert (ROOT / source).exists(), source
        assert any(source == it or source.startswith(f"{it}/") for it in sent), source
    assert [it for it in sent if not any(source == it or source.startswith(f"{it}/") for source in copied())] == []
    assert not any(fnmatch.fnmatch(".env", it) for it in sent)


def test_the_image_runs_as_nobody_special() -> None:
    """The last user is the one that was made, and it may write its state and nothing else."""
    users = [rest for word, rest in instructions() if word == "USER"]
    assert users == ["10001"]
    assert re.search(r"useradd .*--uid 10001 .*retold", " ".join(rest for word, rest in instructions() if word == "RUN"))


def test_the_image_has_what_runs_and_no_java() -> None:
    """All dependencies but those of the embedded Kafka; worker and server load without these."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    chosen = wanted(ROOT / "pyproject.toml")
    assert len(set(project["dependencies"]) - set(chosen)) == len(EMBEDDED_KAFKA)
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({sorted(EMBEDDED_KAFKA)!r}))\n"
        "import streams.worker.assemble, streams.worker.run, streams.server.serve\n"
        "import streams.cli.commands.run, streams.cli.commands.worker, streams.cli.commands.server"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=240, check=True)


def test_the_workers_health_is_that_of_the_application() -> None:
    """By the command that exits with 1 if something is bad: a hung handler, a blocked partition, parked keys, no worker."""
    assert SERVICES["worker"]["healthcheck"]["test"] == ["CMD", "retold", "status", "--check"]
    assert problem_of(["retold", "status", "--check"]) is None
