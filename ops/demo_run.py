"""What the demonstration does: a broker, topics, a worker in a process of its own, sign-ups, and the wait for all."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

from ops import demo_report as report
from processors import app as make_app
from processors.publish import from_row
from streams.broker.choose import own
from streams.cli import exits, logs
from streams.cli.progress import bar
from streams.cli.publish_file import SOURCE, EventFile, check, publish_events
from streams.cli.screen import plural, say, talk
from streams.client import Client
from streams.codec import AvroCodec
from streams.config import Config, load
from streams.errors import BrokerError, ConfigError, NamespaceStopped, OutcomeTimeout, StreamsError
from streams.kafka.clients import Clients
from streams.kafka.status import Status, status
from streams.kafka.topics import ensure, refuse
from streams.sources.events import FileEvent, Maker
from streams.sources.rows import format_of

SAMPLE = Path(__file__).parent / "data" / "signups.tsv"
PROJECT = Path(__file__).parents[1]
LOG = "worker.log"
SECONDS_TO_START, EVENTS_A_SECOND = 60.0, 500.0
"""What the slowest machine that we know of needs, several times over."""


def demo(arguments: list[str]) -> int:
    """Gives the exit code."""
    options = _options(arguments)
    try:
        return _demo(options)
    except StreamsError as error:
        talk(str(error))
        return exits.code_of(error)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make demo ARGS=...", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="stay up until Ctrl-C, for other commands to look at")
    parser.add_argument("--input", type=Path, default=SAMPLE, metavar="FILE", help="another file of sign-ups")
    parser.add_argument("--json", action="store_true", help="end with one JSON object on the last line")
    return parser.parse_args(arguments)


def _demo(options: argparse.Namespace) -> int:
    began = time.monotonic()
    with ExitStack() as stack:
        config, variables = stack.enter_context(private_settings())
        # It waits for the broker: Faust takes as long to import as Kafka to start, and there are two cores.
        process = start_worker(variables, config)
        stack.callback(stop_worker, process)
        logs.set_up(config)
        source = stack.enter_context(sign_ups(options.input, config))
        total, broken = check(source)
        if broken:
            talk(f"Nothing was published: {plural(broken, 'line')} of {total + broken:,} broken.")
            return exits.NO
        address = stack.enter_context(own(config, on_progress=talk, lasting=False))
        stack.callback(stop_worker, process)  # it ends before its broker does
        talk(f"Kafka answers at {address}.")
        last = _publish_and_wait(config, address, source, process, total)
        kept = report.read(config, address, first_id(source))
        result = report.Result(total, last, kept, time.monotonic() - began)
        report.tell(result, options.input)
        if options.json:
            say(json.dumps(result.as_json()))
        if options.keep:
            _keep(variables, process, config)
    return exits.OK


def _publish_and_wait(
    config: Config, address: str, source: EventFile, process: subprocess.Popen[bytes], total: int
) -> Status:
    refuse(ensure(Clients.of(config, address).admin(), config, report.NAMESPACES))
    with Client(make_app(), address, config=config, source=SOURCE) as client:
        publish_events(client, source, total)
    return wait_until_handled(config, address, process, total)


@contextlib.contextmanager
def private_settings() -> Iterator[tuple[Config, dict[str, str]]]:
    """The settings, and the variables that give other processes the same; the state folder goes with the block."""
    folder = tempfile.mkdtemp(prefix="retold-demo-")
    try:
        variables = {"RETOLD_STATE": folder, "RETOLD_APP": "processors:app"}
        if broker := os.environ.get("RETOLD_BROKER"):
            prefix = f"{os.environ.get('RETOLD_PREFIX', '')}demo-{uuid4().hex[:8]}-"
            variables |= {"RETOLD_BROKER": broker, "RETOLD_PREFIX": prefix}
        yield load({**os.environ, **variables}, PROJECT), variables
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def sign_ups(path: Path, config: Config) -> Iterator[EventFile]:
    try:
        opened = path.open("rb")
    except OSError as error:
        raise ConfigError(f"the file {path} cannot be read: {error.strerror}.") from error
    codec = AvroCodec(make_app().event_types().values(), [])
    with opened:
        maker = Maker(from_row, codec, "user.signup", config.max_event_bytes)
        yield EventFile(str(path), opened, format_of(path, None), maker, None)


def first_id(source: EventFile) -> str | None:
    """The id of the file's first event: known before it is published, because it is of the contents."""
    first = next(source.events(), None)
    return first.id if isinstance(first, FileEvent) else None


def start_worker(variables: dict[str, str], config: Config) -> subprocess.Popen[bytes]:
    """A worker that ends when its stdin closes: when we stop it, and also when this process is killed."""
    with (config.state / LOG).open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "streams.cli", "worker", "--ends-with-stdin", "--wait", str(SECONDS_TO_START)],
            cwd=PROJECT,
            env={**os.environ, **variables},
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C in the terminal is ours to answer
        )


def stop_worker(process: subprocess.Popen[bytes]) -> None:
    """Returns when it has ended; nothing happens if it has."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def wait_until_handled(config: Config, address: str, process: subprocess.Popen[bytes], total: int) -> Status:
    """The status once nothing waits in any inbox, seen twice the same: what one handles, it may emit to another."""
    app = make_app()
    codec = AvroCodec(app.event_types().values(), [space.row_type for space in app.namespaces])
    clients = Clients.of(config, address)
    deadline = time.monotonic() + SECONDS_TO_START + total / EVENTS_A_SECOND
    before = None
    with bar("handling", total) as advance:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise NamespaceStopped(f"the worker has ended before all was handled. It said:\n{_said(config)}")
            with contextlib.suppress(BrokerError):  # it has just started: not every part of it is ready at once
                now = status(clients, config.prefix, report.NAMESPACES, codec)
                counters = now.namespaces[0].counters
                advance(min(total, counters.accepted + counters.rejected + counters.duplicates))
                if before == now and all(space.lag == 0 for space in now.namespaces):
                    return now
                before = now
            time.sleep(0.1)  # a look takes as long; a worker must not be slowed down by being watched
    raise OutcomeTimeout(f"not all was handled in {deadline:.0f} s. The worker said:\n{_said(config)}")


def _said(config: Config) -> str:
    lines = (config.state / LOG).read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(f"  {line}" for line in lines[-10:])


def _keep(variables: dict[str, str], process: subprocess.Popen[bytes], config: Config) -> None:
    talk("\nIt stays up until Ctrl-C. In another terminal, in this folder:")
    for name, value in variables.items():
        talk(f"  export {name}={value}")
    talk("  .venv/bin/retold status")
    talk("  .venv/bin/retold publish user.rename user=2 name=Ada --wait 5")
    talk("  .venv/bin/retold get user 2")
    process.wait()
    raise NamespaceStopped(f"the worker has ended. It said:\n{_said(config)}")
