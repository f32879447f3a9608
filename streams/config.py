"""Settings: one table, read from `[tool.retold]` of the nearest pyproject.toml and from the environment, which wins.

No other module reads the environment. Help texts and documentation are made from SETTINGS.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
import socket
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs

from streams.engine.duplicates import DEFAULT_WINDOW
from streams.errors import ConfigError, did_you_mean

KAFKA_PREFIX = "RETOLD_KAFKA_"
LOG_LEVELS = ("debug", "info", "warning", "error", "critical")
_ADDRESS = r"\s*([A-Z_]+://)?(\[[0-9a-fA-F:.]+\]|[^\s:/,\[\]]+):[0-9]{1,5}\s*"


def matching(pattern: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(text)
        return text

    return read


def whole(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not re.fullmatch("[0-9_]+", text) or not least <= int(text) <= most:
            raise ValueError(text)
        return int(text)

    return read


def seconds(most: float) -> Callable[[str], float]:
    """Reads a number from 0.001 to `most`."""

    def read(text: str) -> float:
        if not 0.001 <= float(text) <= most:
            raise ValueError(text)
        return float(text)

    return read


def brokers(text: str) -> str:
    """Kafka's client takes a port modulo 65536, and would look for a broker at another one."""
    for each in matching(rf"{_ADDRESS}(,{_ADDRESS})*")(text).split(","):
        whole(1, 65_535)(each.rpartition(":")[2].strip())
    return text


LONGEST_TRANSACTION = 2.0
"""s. With a call of a handler that is ended after 7.5 s, this is less than Kafka's time-out of 10 s for a transaction."""


SPAN = {"hour": 3_600, "day": 86_400}
LEAST_HISTORY = 600.0
"""s for which `none` keeps events: so long their publishers may ask what became of them."""


def span(text: str) -> float | None:
    """Reads `all` (None), `none`, or a time such as `30 days`; in s."""
    if text.lower() in ("all", "none"):
        return None if text.lower() == "all" else LEAST_HISTORY
    if (found := re.fullmatch(r"([0-9]{1,5}) *(hour|day)s?", text.lower())) is None or int(found[1]) == 0:
        raise ValueError(text)
    return float(int(found[1]) * SPAN[found[2]])


def level(text: str) -> str:
    if text.lower() not in LOG_LEVELS:
        raise ValueError(text)
    return text.lower()


def path(text: str) -> Path:
    if "\0" in text:
        raise ValueError(text)
    return Path(text).expanduser()


def addresses(text: str) -> str:
    """IP addresses with commas between, each in the form in which a connection's peer is written."""
    return ",".join(str(ipaddress.ip_address(part.strip())) for part in text.split(","))


FIRST_OFFSET = r"([A-Za-z0-9._-]{1,249})-([0-9]{1,6})@([0-9]{1,18})"
"""A topic, a partition and an offset."""


def first_offsets(text: str) -> str:
    """Partitions and offsets, with commas between."""
    found = [part.strip() for part in text.split(",")]
    for each in found:
        matching(FIRST_OFFSET)(each)
    return ",".join(found)


def origins(text: str) -> str:
    """Origins of web pages with commas between, each as a browser writes it."""
    found = [part.strip() for part in text.split(",")]
    for each in found:
        matching(r"https?://([a-z0-9.-]{1,253}|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")(each)
    return ",".join(found)


@dataclass(frozen=True, slots=True)
class Setting:
    """`read` parses a text or raises ValueError; `expected` completes the sentence "… was expected".

    `computed` says in words what a default of None becomes.
    """

    name: str
    default: Any
    read: Callable[[str], Any]
    expected: str
    help: str
    computed: str = ""
    secret: bool = False
    """Its value is never shown."""

    @property
    def variable(self) -> str:
        return f"RETOLD_{self.name.upper()}"

    @property
    def shown_default(self) -> str:
        return self.computed or str(self.default)


SETTINGS = (
    Setting(
        "app", None, matching(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*"), "module:function",
        "The function that builds the application, as module:function.",
        "none",
    ),
    Setting(
        "broker", None, brokers, "host:port, or several with commas between",
        "The Kafka to use; without it retold starts one of its own.",
        "none",
    ),
    Setting(
        "prefix", "", matching(r"[A-Za-z0-9._-]{0,100}"), "at most 100 of the characters A-Z a-z 0-9 . _ -",
        "Put before the name of every topic, group and transaction, so that several projects can share a broker.",
        "none",
    ),
    Setting(
        "state", None, path, "the path of a folder",
        "The folder for everything retold keeps on this machine: the broker's data, its address, locks.",
        "a folder per project in the user's state folder",
    ),
    Setting(
        "instance", None, matching(r"[a-zA-Z0-9_-]{1,100}"), "1 to 100 of the characters A-Z a-z 0-9 _ -",
        "This machine's name among the workers of an application; it must be the same after a restart.",
        "the host's name",
    ),
    Setting(
        "partitions", 4, whole(1, 1000), "a whole number from 1 to 1000",
        "How many partitions a namespace's topics get when they are made; it cannot change later.",
    ),
    Setting(
        "replication", 1, whole(1, 15), "a whole number from 1 to 15",
        "Replication factor of each topic.",
    ),
    Setting(
        "duplicate_window", DEFAULT_WINDOW, whole(1, 100_000_000), "a whole number from 1 to 100000000",
        "How many of the last records of a partition's event log are remembered, so that a repeated event is recognised.",
    ),
    Setting(
        "standbys", 0, whole(0, 1), "0 or 1",
        "With 1, a worker keeps copies of the partitions that it does not own, to take them over at once.",
    ),
    Setting(
        "max_event_bytes", 1_048_576, whole(1024, 104_857_600), "a whole number of bytes from 1024 to 104857600",
        "The largest event that may be published, in bytes.",
    ),
    Setting(
        "transaction_events", 20_000, whole(1, 1_000_000), "a whole number from 1 to 1000000",
        "The most events that one transaction handles.",
    ),
    Setting(
        "transaction_seconds", 1.0, seconds(LONGEST_TRANSACTION), "a number of seconds from 0.001 to 2",
        "The longest time that one transaction handles events, in seconds.",
    ),
    Setting(
        "gateway_seconds", 30.0, seconds(60.0), "a number of seconds from 0.001 to 60",
        "How long one call of a gateway may take, in seconds.",
    ),
    Setting(
        "gateway_tries", 10, whole(1, 100), "a whole number from 1 to 100",
        "How often a gateway is called for an event before the event is parked.",
    ),
    Setting(
        "gateway_calls", 16, whole(1, 1000), "a whole number from 1 to 1000",
        "The most calls of gateways at one time, in each namespace of a worker.",
    ),
    Setting(
        "history", None, span, "all, none, or a number of hours or days, such as 12 hours or 30 days",
        "How long a server's file keeps events, by when they were recorded; Kafka keeps all.", "all",
    ),
    Setting(
        "query_seconds", 2.0, seconds(60.0), "a number of seconds from 0.001 to 60",
        "How long a server looks for the rows of one query, in seconds; a declared index makes it faster.",
    ),
    Setting(
        "view_seconds", 10.0, seconds(60.0), "a number of seconds from 0.001 to 60",
        "How long a server waits for the answer of a view, in seconds; then its process is ended.",
    ),
    Setting(
        "past_seconds", 60.0, seconds(3600.0), "a number of seconds from 0.001 to 3600",
        "How long a server tells what was, or would have been, for one answer, in seconds.",
    ),
    Setting(
        "accepted_starts", None, first_offsets, "partitions and offsets such as user-due-0@12, with commas between",
        "First offsets of inbox, table, due and parked topics before which records were deleted, and that you have dealt with.",
        "none",
    ),
    Setting(
        "java", None, path, "the path of a java program, version 17 or later",
        "The java program that runs the embedded Kafka.", "the one installed with retold",
    ),
    Setting(
        "log_level", "warning", level, "one of " + ", ".join(LOG_LEVELS),
        "How much is logged: debug, info, warning, error or critical.",
    ),
    Setting(
        "schemas", Path("schemas"), path, "the path of a folder",
        "The folder of the Avro schemas.",
    ),
    Setting(
        "http_host", "127.0.0.1", matching(r"[A-Za-z0-9.:_-]{1,253}"), "an address of this machine",
        "The address that the server listens at; any but a loopback one needs a token.",
    ),
    Setting(
        "http_port", 8080, whole(0, 65_535), "a whole number from 0 to 65535",
        "The port that the server listens at; 0: one that is free.",
    ),
    Setting(
        "http_token", None, matching(r"[!-~]{16,1024}"), "16 to 1024 ASCII characters without spaces",
        "What a request must show as `Authorization: Bearer …`; it is never shown.", "none", secret=True,
    ),
    Setting(
        "http_tokens", None, path, "the path of a file",
        "The file of principals, each with the digest of its token and its rights; `retold token` writes it.", "none",
    ),
    Setting(
        "http_rate", 200, whole(1, 1_000_000), "a whole number from 1 to 1000000",
        "How many requests a second each principal of that file may send, if its entry does not say it; twice as many at once.",
    ),
    Setting(
        "http_streams", 50, whole(1, 500), "a whole number from 1 to 500",
        "How many streams each principal of that file may have open at one time.",
    ),
    Setting(
        "http_origins", None, origins, "origins such as https://shop.example, with commas between, without a path",
        "Origins of front ends elsewhere, whose pages may use the API.", "none",
    ),
    Setting(
        "site", None, path, "the path of a folder with an index.html",
        "The folder of a front end, which the server shows at /app/.", "none",
    ),
    Setting(
        "http_tls_cert", None, path, "the path of a file",
        "The file with the certificate of the server, in PEM, and those that lead to a known one; with it, the server speaks TLS.",
        "none",
    ),
    Setting(
        "http_tls_key", None, path, "the path of a file",
        "The file with the key of that certificate, in PEM, without a password.", "none",
    ),
    Setting(
        "http2", 0, whole(0, 1), "0 or 1",
        "With 1, the server speaks HTTP/2, too; that needs `retold[http2]`.",
    ),
    Setting(
        "grpc_port", None, whole(1, 65_535), "a whole number from 1 to 65535",
        "The port at which the server answers gRPC, at the address `http_host`; that needs `retold[grpc]`.", "none",
    ),
    Setting(
        "http_connections", 2_000, whole(1, 100_000), "a whole number from 1 to 100000",
        "The most connections to a process of the server at one time; fewer if the process may open fewer files.",
    ),
    Setting(
        "http_connections_per_peer", 64, whole(1, 100_000), "a whole number from 1 to 100000",
        "The most connections from one address to a process at one time.",
    ),
    Setting(
        "worker_metrics_port", None, whole(0, 65_535), "a whole number from 0 to 65535",
        "The port where a worker shows its metrics at /metrics, for Prometheus; 0: one that is free.", "none: it shows none",
    ),
    Setting(
        "worker_metrics_host", "127.0.0.1", matching(r"[A-Za-z0-9.:_-]{1,253}"), "an address of this machine",
        "The address where a worker shows its metrics; any but a loopback one needs the token.",
    ),
    Setting(
        "worker_metrics_token", None, matching(r"[!-~]{16,1024}"), "16 to 1024 ASCII characters without spaces",
        "What who asks for a worker's metrics must show as `Authorization: Bearer …`; it is never shown.", "none", secret=True,
    ),
    Setting(
        "http_proxies", None, addresses, "IP addresses with commas between",
        "Addresses of proxies in front of the server, to which the limit of one address does not apply.", "none",
    ),
)  # fmt: skip
BY_NAME = {setting.name: setting for setting in SETTINGS}
BY_VARIABLE = {setting.variable: setting for setting in SETTINGS}


@dataclass(frozen=True, slots=True)
class Config:
    """Paths are absolute. `kafka` (options for librdkafka) and tokens hold secrets, so they are never shown."""

    project: Path
    app: str | None
    broker: str | None
    prefix: str
    state: Path
    instance: str
    partitions: int
    replication: int
    duplicate_window: int
    standbys: int
    max_event_bytes: int
    transaction_events: int
    transaction_seconds: float
    gateway_seconds: float
    gateway_tries: int
    gateway_calls: int
    history: float | None
    query_seconds: float
    view_seconds: float
    past_seconds: float
    accepted_starts: str | None
    java: Path | None
    log_level: str
    schemas: Path
    http_host: str
    http_port: int
    http_token: str | None = field(repr=False)
    http_tokens: Path | None
    http_rate: int
    http_streams: int
    http_origins: str | None
    site: Path | None
    http_tls_cert: Path | None
    http_tls_key: Path | None
    http2: int
    grpc_port: int | None
    http_connections: int
    http_connections_per_peer: int
    worker_metrics_port: int | None
    worker_metrics_host: str
    worker_metrics_token: str | None = field(repr=False)
    http_proxies: str | None
    kafka: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def needs_token(self) -> bool:
        """Whether a server answers only those who show a token."""
        return self.http_token is not None or self.http_tokens is not None


def environment_with(**variables: str) -> dict[str, str]:
    """The environment of this process with other variables, for one that is started with the same settings but these."""
    return {**os.environ, **variables}


def load(environ: Mapping[str, str] | None = None, start: Path | None = None) -> Config:
    """The settings of the project around `start` (the current folder). An empty variable counts as not set.

    A relative path is relative to the project's folder. Raises ConfigError naming the setting, its value and what
    was expected.
    """
    variables = os.environ if environ is None else environ
    project, table = _project((start or current_folder()).resolve())
    values: dict[str, Any] = {setting.name: setting.default for setting in SETTINGS}
    kafka: dict[str, str] = {}
    _from_table(table, project / "pyproject.toml", values, kafka)
    _from_environment(variables, values, kafka)
    values["state"] = values["state"] or _default_state(project)
    values["instance"] = values["instance"] or re.sub(r"[^a-zA-Z0-9_-]", "-", socket.gethostname())[:100] or "local"
    for name, value in values.items():
        if isinstance(value, Path):
            values[name] = project / value
    return Config(project=project, kafka=kafka, **values)


def current_folder() -> Path:
    """Raises ConfigError if there is none: somebody deleted it."""
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise ConfigError("the current folder was deleted: go to your project's folder, then try again.") from error


def _project(start: Path) -> tuple[Path, dict[str, Any]]:
    """The folder of the nearest pyproject.toml at or above `start`, and its `[tool.retold]`."""
    for folder in (start, *start.parents):
        file = folder / "pyproject.toml"
        if not file.is_file():
            continue
        try:
            table: Any = tomllib.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:  # ValueError: also a number of too many digits
            raise ConfigError(f"{file} cannot be read: {error}. Correct it, then try again.") from error
        for name in ("tool", "retold"):
            table = table.get(name, {})
            if not isinstance(table, dict):
                raise ConfigError(f"{name} in {file} is {table!r}; a table was expected, that is, a line [tool.retold].")
        return folder, table
    return start, {}


def _from_table(table: Mapping[str, Any], file: Path, values: dict[str, Any], kafka: dict[str, str]) -> None:
    for name, value in table.items():
        if name == "kafka" and isinstance(value, dict):
            kafka.update({option: str(setting) for option, setting in value.items()})
        elif name not in BY_NAME:
            raise ConfigError(f"{file}: [tool.retold] has no setting {name!r}{did_you_mean(name, (*BY_NAME, 'kafka'))}.")
        elif isinstance(value, bool) or not isinstance(value, str | int | float):
            raise _refusal(f"{name} in [tool.retold] of {file}", value, BY_NAME[name])
        elif str(value).strip():
            values[name] = _read(f"{name} in [tool.retold] of {file}", str(value), BY_NAME[name])


def _from_environment(variables: Mapping[str, str], values: dict[str, Any], kafka: dict[str, str]) -> None:
    for variable, text in variables.items():
        if not variable.startswith("RETOLD_") or not text.strip():
            continue
        if variable.startswith(KAFKA_PREFIX) and variable != KAFKA_PREFIX:
            kafka[variable.removeprefix(KAFKA_PREFIX).lower().replace("_", ".")] = text
        elif variable not in BY_VARIABLE:
            raise ConfigError(
                f"there is no setting {variable}{did_you_mean(variable, BY_VARIABLE)}. Correct its name or unset it."
            )
        else:
            setting = BY_VARIABLE[variable]
            values[setting.name] = _read(variable, text, setting)


def _read(where: str, text: str, setting: Setting) -> Any:
    try:
        return setting.read(text.strip())
    except (ValueError, RuntimeError) as error:  # RuntimeError: expanduser, for a user that does not exist
        raise _refusal(where, text, setting) from (None if setting.secret else error)


def _refusal(where: str, value: object, setting: Setting) -> ConfigError:
    shown = "not usable (its value is secret)" if setting.secret else repr(value)
    return ConfigError(f"{where} is {shown}; {setting.expected} was expected.")


def _default_state(project: Path) -> Path:
    """Named after the project, in letters that every program can read; a folder from before that rule stays in use."""
    digest = hashlib.sha256(os.fsencode(project)).hexdigest()[:8]
    states, name = Path(platformdirs.user_state_dir("retold")), project.name or "root"
    before = states / f"{name}-{digest}"
    return before if before.is_dir() else states / f"{re.sub('[^A-Za-z0-9._-]', '_', name)}-{digest}"
