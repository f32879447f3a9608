"""A contestant in Java: its jars, by the resolver that gets the embedded Kafka's, and its one file, compiled when it changes.

The Java that retold brings has no compiler, so that is Eclipse's, which is a jar too.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

from ops.bench.environments import FOLDER
from streams.config import load
from streams.localbroker.jars import KAFKA_VERSION, find_java, resolved

HERE = Path(__file__).parent
SOURCE = HERE / "contestants" / "KafkaStreamsWork.java"
PINNED = HERE / "kafka-streams.sha256"
"""Of every jar, as `sha256sum` writes it: what is not exactly that is not run."""
# The broker's version; kafka-clients is named as there.
LIBRARIES = (
    f"org.apache.kafka:kafka-streams:{KAFKA_VERSION}"
    f"+org.apache.kafka:kafka-clients:{KAFKA_VERSION}"
    "+org.apache.avro:avro:1.12.0"
    "+org.slf4j:slf4j-simple:1.7.36"
)
COMPILER = "org.eclipse.jdt:ecj:3.41.0"
OPTIONS = ("--enable-native-access=ALL-UNNAMED", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
"""Java's own settings else: with its optimizing compiler, which the broker does without."""


def kafka_streams(say: Callable[[str], None]) -> tuple[str, ...]:
    """The command that runs it. Raises BrokerUnavailable or RuntimeError, which say why there is none."""
    java = find_java(load(os.environ).java)
    libraries = resolved(LIBRARIES, "Kafka Streams, RocksDB and Avro", 100, say)
    compiler = resolved(COMPILER, "a compiler for Java", 3, say)
    check([*libraries, *compiler], PINNED.read_text().splitlines())
    classes = compiled(java, compiler, libraries, FOLDER / "kafka-streams", say)
    return (str(java), *OPTIONS, "-cp", os.pathsep.join(map(str, [classes, *libraries])), SOURCE.stem)


def check(jars: Iterable[Path], pinned: Iterable[str]) -> None:
    """Raises RuntimeError if one is missing, or is another than the one that is pinned (`<sha256>  <name>`)."""
    found = {f"{hashlib.sha256(jar.read_bytes()).hexdigest()}  {jar.name}" for jar in jars}
    if wrong := found ^ set(pinned):
        names = ", ".join(sorted({line.split()[1] for line in wrong}))
        raise RuntimeError(f"of Kafka Streams' jars, these are not the ones that {PINNED.name} names: {names}; they are not run")


def compiled(java: Path, compiler: Iterable[Path], libraries: Iterable[Path], folder: Path, say: Callable[[str], None]) -> Path:
    """The folder with its classes."""
    classes, stamp = folder / "classes", folder / "compiled.txt"
    wanted = hashlib.sha256(SOURCE.read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return classes
    say("compiling the work on Kafka Streams (once)")
    classes.mkdir(parents=True, exist_ok=True)
    paths = [os.pathsep.join(map(str, jars)) for jars in (compiler, libraries)]
    command = [str(java), "-cp", paths[0], "org.eclipse.jdt.internal.compiler.batch.Main"]
    command += ["-17", "-nowarn", "-cp", paths[1], "-d", str(classes), str(SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        raise RuntimeError(f"{SOURCE.name} was not compiled:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    stamp.write_text(wanted)
    return classes
