"""The embedded broker: a real Apache Kafka in one process, broker and controller (KRaft), on loopback only.

folder/broker.lock, broker.json   see streams.localbroker.state
folder/kafka/                     its settings, its log (bounded), and data/
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from streams.engine.readable import readable
from streams.errors import BrokerUnavailable, ConfigError, how_ended, unwritable_state
from streams.kafka.broker_check import check_broker
from streams.kafka.local_access import client_file, read_options
from streams.localbroker import class_archive, data_folder, jars, keeper, password, state
from streams.localbroker.faults import ENDS_AT_A_FAULT, full_disk, little_memory
from streams.private_files import make_private, open_private, write_private

SECONDS_TO_START = 90.0
TRIES = 3  # a port found free may be taken by another program before Kafka binds it

# transaction.abort.timed.out.transaction.cleanup.interval.ms keeps Kafka's 10000. With 1000, a broker that was killed during a
# transaction and is back after its timeout ends it without an abort marker: the last stable offset hangs for ever (rule 33).
SERVER = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=BROKER://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=BROKER://127.0.0.1:{port}
inter.broker.listener.name=BROKER
listener.security.protocol.map=BROKER:{protocol},CONTROLLER:{protocol}
log.dirs=data
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
# A project may rest for years and must then go on where it was.
offsets.retention.minutes=52560000
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=6000
log.cleaner.dedupe.buffer.size=33554432
# Its few clients keep few threads busy, and each that waits wakes up several times a second.
num.network.threads=1
num.io.threads=3
background.threads=2
# Nobody looks at this broker by JMX, where each partition registers a dozen beans.
metric.reporters=
metrics.jmx.exclude=.*
# Nor at how far its metadata is; else it writes a record that says nothing twice a second.
metadata.max.idle.interval.ms=0
"""

LOGGING = """\
status=error
appender.file.type=RollingFile
appender.file.name=file
appender.file.fileName=broker.log
appender.file.filePattern=broker.log.%i
appender.file.layout.type=PatternLayout
appender.file.layout.pattern=%d{ISO8601} %p %m (%c{1})%n%throwable{short}
appender.file.policies.type=Policies
appender.file.policies.size.type=SizeBasedTriggeringPolicy
appender.file.policies.size.size=4MB
appender.file.strategy.type=DefaultRolloverStrategy
appender.file.strategy.max=1
rootLogger.level=warn
rootLogger.appenderRef.file.ref=file
"""


@dataclass(slots=True)
class EmbeddedBroker:
    """`address` is "127.0.0.1:port". It ends with `stop`, with its block, or when this process ends in whatever way."""

    address: str
    folder: Path
    process: subprocess.Popen[bytes]
    stopping: bool = False

    def stop(self) -> None:
        """Returns when the broker has ended and its folder is free for another."""
        assert self.process.stdin is not None
        self.stopping = True
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(keeper.SECONDS_TO_STOP + 5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> EmbeddedBroker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def holds_data(folder: Path) -> bool:
    return data_folder.is_formatted(folder / "kafka" / "data")


def start(
    folder: Path, *, java: Path | None = None, on_progress: Callable[[str], None] | None = None, protected: bool = False
) -> EmbeddedBroker:
    """Start a broker with the data in `folder` (created if it is missing); returns when it answers.

    With `protected`, only clients with the options that it writes into the folder have access (`local_access.client_file`).

    Raises BrokerUnavailable with the last lines of its log, or if one runs there already; ConfigError if the folder
    cannot be written.
    """
    say = on_progress or jars.silent
    folder = folder.resolve()
    _raise_unless_named_in_utf8(folder)
    lock = state.take(folder)
    try:
        program, class_path = jars.find_java(java), jars.class_path(say)
        say("starting Kafka")
        for last in (False,) * (TRIES - 1) + (True,):
            broker = _launch(folder, program, class_path, lock, protected)
            try:
                _await(broker)
                state.write(folder, broker.address, broker.process.pid)
                data_folder.keep(folder / "kafka" / "data", class_path)
                threading.Thread(target=_watch, args=(broker, say), name="kafka", daemon=True).start()
                return broker
            except BaseException as error:
                broker.stop()
                if last or not isinstance(error, BrokerUnavailable) or "Address already in use" not in str(error):
                    raise
    finally:
        os.close(lock)  # the keeper and the broker hold it from here on
    raise AssertionError("the last try returns or raises")


def _raise_unless_named_in_utf8(folder: Path) -> None:
    try:
        str(folder).encode()
    except UnicodeEncodeError:
        raise ConfigError(
            f"the name of the state folder {readable(str(folder))} is no UTF-8, so Java cannot find it: rename it, or set "
            "RETOLD_STATE to another folder"
        ) from None


def _launch(folder: Path, java: Path, class_path: list[Path], lock: int, protected: bool) -> EmbeddedBroker:
    home = folder / "kafka"
    port, controller = _free_ports(_last_port(home), 0)
    try:
        make_private(home)
        (home / "broker.log").unlink(missing_ok=True)
        protocol = password.PROTOCOL if protected else password.OPEN
        settings = SERVER.format(port=port, controller=controller, protocol=protocol)
        if protected:
            settings += password.set_up(folder, f"127.0.0.1:{port}")
        else:
            password.take_down(folder)
        if not holds_data(folder):
            data_folder.write(home / "data", class_path)
        write_private(home / "server.properties", settings)
        write_private(home / "log4j2.properties", LOGGING)
        output = open_private(home / "output")
    except OSError as error:
        raise unwritable_state(folder, error) from error
    work = class_archive.job(java, class_path)
    task = {
        "commands": _commands(home, java, class_path, work.broker_arguments if work else []),
        "lock": lock,
        "record": str(folder / "broker.json"),
        "work": asdict(work) if work else None,
    }
    with output:
        process = subprocess.Popen(
            # -I -S: no environment and no packages, for a fast start
            [sys.executable, "-I", "-S", keeper.__file__, json.dumps(task)],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            pass_fds=[lock],
            umask=0o077,  # what Kafka writes is for nobody else to read
            start_new_session=True,  # so Ctrl-C in the terminal reaches the owner only
            cwd=home,
        )
    return EmbeddedBroker(f"127.0.0.1:{port}", folder, process)


FOR_SHORT_RUNS = [
    "-Xmx1g", "-XX:TieredStopAtLevel=1", "-XX:CompileThresholdScaling=0.2", "-XX:+UseSerialGC", "-XX:-UsePerfData"
]  # fmt: skip
"""A broker of development handles some hundred thousand records, and shares its cores with those who use it: Java's optimizing
compiler and its parallel garbage collector cost it twice the CPU that they save. What is compiled, is so after a fifth of the
usual calls: with three threads for requests, 200,000 records are written in transactions and read for 3.8 s of CPU, else for
5.3. Nobody reads its performance counters."""


def _commands(home: Path, java: Path, class_path: list[Path], extra: list[str]) -> list[list[str]]:
    """Format the data folder if it is new, then run the broker. Both run in `home`, so no file needs its name.

    A properties file is read as Latin-1, with commas, backslashes and more as its own: not every name can be written there.
    """
    settings = "server.properties"
    # Java reads names of files by the locale, and would look for another folder than one with letters beyond ASCII.
    program = [str(java)] if str(home).isascii() else ["env", "LC_ALL=C.UTF-8", str(java)]
    common = [
        "-Dlog4j2.configurationFile=log4j2.properties",
        *([] if str(home).isascii() else ["-Dsun.jnu.encoding=UTF-8"]),
        *class_archive.use(java, class_path),
        "-cp",
        os.pathsep.join(map(str, class_path)),
    ]
    run = [*program, *FOR_SHORT_RUNS, *ENDS_AT_A_FAULT, *extra, *common, "kafka.Kafka", settings]
    if holds_data(home.parent):
        return [run]
    tool = ["kafka.tools.StorageTool", "format", f"--cluster-id={data_folder.random_name()}", "--ignore-formatted", "-c", settings]
    return [[*program, *FOR_SHORT_RUNS, *common, *tool], run]


HIGHEST_PORT = 65_535
LISTENS = re.compile(r"^listeners=BROKER://127\.0\.0\.1:(\d{1,5}),", re.MULTILINE)


def _last_port(home: Path) -> int:
    """The broker's last port, so that clients that still use it find the broker; 0 if it is not known."""
    with contextlib.suppress(OSError):
        found = LISTENS.search((home / "server.properties").read_text(encoding="utf-8", errors="replace"))
        return int(found[1]) if found and int(found[1]) <= HIGHEST_PORT else 0
    return 0


def _free_ports(*wanted: int) -> list[int]:
    """The wanted ports, or others where these are in use; 0: any."""
    with contextlib.ExitStack() as open_sockets:
        sockets = [open_sockets.enter_context(socket.socket()) for _ in wanted]
        for one, port in zip(sockets, wanted, strict=True):
            # As Kafka does, since old connections may linger. Not for port 0, else two sockets might get the same one.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(port > 0))
            try:
                one.bind(("127.0.0.1", port))
            except OSError:
                one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _await(broker: EmbeddedBroker) -> None:
    """Wait until the broker answers. Raises BrokerUnavailable if it has ended or takes too long."""
    host, port = broker.address.split(":")
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline:
        if broker.process.poll() is not None:
            raise BrokerUnavailable(
                f"the embedded Kafka ended while it started: it {_how_ended(broker.process.returncode)}. "
                f"{full_disk(broker.folder)}{_last_lines(broker.folder)}"
            )
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1):
            break
        time.sleep(0.05)
    try:
        _, options = read_options(client_file(broker.folder))
        check_broker(broker.address, timeout=max(1.0, deadline - time.monotonic()), options=options)
    except BrokerUnavailable as error:
        raise BrokerUnavailable(
            f"the embedded Kafka did not answer within {SECONDS_TO_START:.0f} seconds. {_last_lines(broker.folder)}"
        ) from error


def _watch(broker: EmbeddedBroker, say: Callable[[str], None]) -> None:
    """Report a broker that ends before it is stopped: to its clients it would only be unavailable."""
    broker.process.wait()
    if not broker.stopping:
        say(
            f"Kafka {_how_ended(broker.process.returncode)}. What it confirmed is kept; nothing is handled until it runs "
            f"again: end this command and start it again. {full_disk(broker.folder)}{_last_lines(broker.folder)}"
        )


def _how_ended(code: int) -> str:
    """How the broker ended, by the keeper's exit code, or how the keeper itself ended."""
    signalled = keeper.KILLED < code < keeper.KILLED + signal.NSIG
    return how_ended(keeper.KILLED - code if signalled else code)


def _last_lines(folder: Path) -> str:
    lines: list[str] = []
    for name in ("output", "broker.log"):
        with contextlib.suppress(OSError):
            lines += (folder / "kafka" / name).read_text(encoding="utf-8", errors="replace").splitlines()
    said = "\n  ".join(line for line in lines[-12:] if not line.startswith("WARNING: "))
    return (
        f"{little_memory(said)}Its last words, from {folder / 'kafka'}:\n  {said}\n"
        "Try again, name another Java in RETOLD_JAVA, or set RETOLD_BROKER to a Kafka that runs."
    )
