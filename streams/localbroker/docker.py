"""Apache Kafka in a container, for machines with a Docker engine. Needs `pip install retold[docker]`.

Its data is in a Docker volume named in `folder/kafka.volume`; its port is on loopback only. The testcontainers reaper ends the
container if this process is killed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

from streams.errors import BrokerUnavailable
from streams.kafka.broker_check import check_broker
from streams.localbroker import state
from streams.localbroker.faults import ENDS_AT_A_FAULT
from streams.localbroker.jars import KAFKA_VERSION, Progress
from streams.private_files import write_private

IMAGE = f"apache/kafka:{KAFKA_VERSION}"
SECONDS_FOR_ENGINE = 2
SECONDS_TO_START = 60.0
INSIDE = 9092
DATA = "/var/lib/kafka/data"


def environment(port: int) -> dict[str, str]:
    """The image's settings, the same as the embedded broker's; `port` is on this machine's loopback."""
    return {
        "KAFKA_OPTS": " ".join(ENDS_AT_A_FAULT),
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_NODE_ID": "1",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENERS": f"BROKER://:{INSIDE},INTERNAL://localhost:9094,CONTROLLER://localhost:9093",
        "KAFKA_ADVERTISED_LISTENERS": f"BROKER://127.0.0.1:{port},INTERNAL://localhost:9094",
        "KAFKA_INTER_BROKER_LISTENER_NAME": "INTERNAL",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "BROKER:PLAINTEXT,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_LOG_DIRS": DATA,
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "4",
        "KAFKA_OFFSETS_RETENTION_MINUTES": "52560000",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS": "4",
        "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_MIN_ISR": "1",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS": "6000",
    }


def answers() -> bool:
    """Whether testcontainers is installed and a Docker engine answers within two seconds."""
    if importlib.util.find_spec("testcontainers") is None:
        return False
    import docker

    _, _, path = (docker.utils.kwargs_from_env().get("base_url") or docker.constants.DEFAULT_UNIX_SOCKET).partition("unix://")
    if path and not Path(path).exists():
        return False  # otherwise the library would leave a socket open
    try:
        client = docker.from_env(timeout=SECONDS_FOR_ENGINE)
        try:
            return bool(client.ping())
        finally:
            client.close()
    except Exception:  # noqa: BLE001 - whatever it is, there is no usable engine, and none is required
        return False


def holds_data(folder: Path) -> bool:
    return (folder / "kafka.volume").exists()


@contextlib.contextmanager
def start(folder: Path, on_progress: Progress, *, lasting: bool = True) -> Iterator[str]:
    """The address of a broker in a container, with the data of `folder`, until the block ends.

    Raises BrokerUnavailable, ConfigError.
    """
    lock = state.take(folder)
    try:
        with _container(folder, on_progress, lasting=lasting) as address:
            state.write(folder, address, os.getpid())
            yield address
    finally:
        with contextlib.suppress(OSError):
            (folder / "broker.json").unlink(missing_ok=True)
        os.close(lock)


@contextlib.contextmanager
def _container(folder: Path, on_progress: Progress, *, lasting: bool) -> Iterator[str]:
    on_progress(f"starting Kafka in Docker ({IMAGE})")
    try:
        from testcontainers.core.container import DockerContainer

        port = _free_port()
        container = DockerContainer(IMAGE)
        for name, value in environment(port).items():
            container.with_env(name, value)
        container.ports[f"{INSIDE}/tcp"] = ("127.0.0.1", port)  # type: ignore[assignment] # docker takes an address too
        if lasting:
            container.with_volume_mapping(_volume(folder), DATA, "rw")
        container.start()
    except Exception as error:  # the engine, its network and its library each raise errors of their own
        raise BrokerUnavailable(
            f"Kafka could not be started in Docker: {error}. Start Docker and try again, or set RETOLD_BROKER."
            + (f" This project's data is in the volume {_volume(folder)}." if holds_data(folder) else "")
        ) from error
    try:
        check_broker(f"127.0.0.1:{port}", timeout=SECONDS_TO_START)
        yield f"127.0.0.1:{port}"
    finally:
        container.stop()


def _volume(folder: Path) -> str:
    file = folder / "kafka.volume"
    if not file.exists():
        write_private(file, f"retold-{uuid.uuid4().hex[:12]}")
    return file.read_text(encoding="utf-8", errors="replace").strip()


def volume_of(folder: Path) -> str:
    """The name of the volume that holds a folder's data."""
    return _volume(folder)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port
