"""Publish real sign-ups to a Kafka, a worker and a server of its own, wait until all that follows is handled, report."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from ops import demo_report as report
from ops import demo_story as story
from ops.demo_timing import Phase
from processors import app as make_app
from processors.publish import from_row
from streams.cli.commands.publish_file import SOURCE, CheckedFile, EventFile, check, publish_events
from streams.cli.output.progress import bar
from streams.cli.output.screen import say, talk
from streams.cli.process import exit_codes, logging_setup
from streams.cli.process.child_process import ChildProcess
from streams.cli.process.collector import spare_the_collector
from streams.codec import codec_of
from streams.config import Config, load
from streams.engine.times import to_micros
from streams.errors import BrokerError, ConfigError, NamespaceStopped, OutcomeTimeout, StreamsError, how_ended
from streams.eventfiles.file_events import EventMaker, FileEvent
from streams.eventfiles.rows import format_of
from streams.kafka.backlog import BacklogReader
from streams.kafka.clients import Clients
from streams.kafka.offsets import stable_ends
from streams.kafka.status import NamespaceStatus, Status, status
from streams.kafka.tables_and_logs import partitions_of
from streams.kafka.topics import ensure, raise_for_problems, topic_names
from streams.listening import url_of
from streams.localbroker.choose import own
from streams.localbroker.password import access_sentence
from streams.prepared_publisher import PreparedPublisher
from streams.server.listen import listen

SAMPLE = Path(__file__).parent / "data" / "signups.tsv"
PROJECT = Path(__file__).parents[1]
MAILS = "mail.mbox"
SECONDS_TO_START, SIGN_UPS_A_SECOND = 60.0, 100.0
"""Several times what the slowest known machine needs."""
SECONDS_BETWEEN, SECONDS_TO_LOOK = 0.2, 5.0
"""Between two looks at the ends of the logs, and between two at the status while they grow."""


def demo(arguments: list[str]) -> int:
    """Gives the exit code."""
    options = _options(arguments)
    try:
        return _demo(options)
    except StreamsError as error:
        talk(str(error))
        return exit_codes.code_of(error)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make demo ARGS=...", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="stay up until Ctrl-C, for other commands to query")
    parser.add_argument("--input", type=Path, default=SAMPLE, metavar="FILE", help="another file of sign-ups")
    parser.add_argument("--json", action="store_true", help="end with one JSON object on the last line")
    return parser.parse_args(arguments)


@dataclass(frozen=True)
class Site:
    """What runs for the demonstration. `variables` give other processes the same settings."""

    config: Config
    variables: dict[str, str]
    worker: ChildProcess
    server: ChildProcess
    url: str

    def check(self) -> None:
        """Raises NamespaceStopped if one of the processes has ended."""
        for name, child in (("worker", self.worker), ("server", self.server)):
            if child.code is not None:
                raise NamespaceStopped(
                    f"the {name} {how_ended(child.code)}. Its last output:\n{last_output(self.config, name)}"
                )


def _demo(options: argparse.Namespace) -> int:
    began = time.monotonic()
    spare_the_collector()
    with ExitStack() as stack:
        config, variables = stack.enter_context(private_settings())
        # They wait for the broker: their imports take as long as Kafka's start, and there are two cores.
        site = started(config, variables, stack)
        logging_setup.set_up(config)
        source = stack.enter_context(sign_ups(options.input, config))
        checked = check(source)
        if checked is None:
            return exit_codes.NO
        total = checked.count.events
        asked = time.monotonic()
        address = stack.enter_context(own(config, on_progress=talk, lasting=False))
        start = Phase("Kafka start", time.monotonic() - asked)
        stack.callback(site.worker.stop)  # they end before their broker does
        stack.callback(site.server.stop)
        talk(f"Kafka answers at {address}, the server at {site.url}")
        publishing = _publish(site, address, source, checked)
        last = wait_until_handled(site, address, total)
        found = report.read(config, address, first_id(source))
        of_one = story.read(found.chain, mail_file(variables), site.url, config.http_token)
        phases = [start, publishing, *found.times.phases()]
        result = report.Result(total, last, found, of_one, phases, time.monotonic() - began)
        report.show(result, options.input)
        if options.json:
            say(json.dumps(result.as_json()))
        if options.keep:
            _keep(site)
    return exit_codes.OK


def _publish(site: Site, address: str, source: EventFile, checked: CheckedFile) -> Phase:
    """Timed from the first event to Kafka's confirmation of the last."""
    config = site.config
    raise_for_problems(ensure(Clients.of(config, address).admin(), config, report.NAMESPACES))
    with PreparedPublisher(make_app(), source.maker.codec, replace(config, broker=address), SOURCE) as publisher:
        began = time.monotonic()
        publish_events(publisher, source, checked)
        return Phase("publishing", time.monotonic() - began, checked.count.events, "sign-up")


@contextlib.contextmanager
def private_settings() -> Iterator[tuple[Config, dict[str, str]]]:
    """The settings, and the variables that give other processes the same; the state folder goes with the block."""
    folder = tempfile.mkdtemp(prefix="retold-demo-")
    try:
        variables = {"RETOLD_STATE": folder, "RETOLD_APP": "processors:app"}
        if "DEMO_MAIL" not in os.environ:
            variables["DEMO_MAIL"] = str(Path(folder) / MAILS)
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
    codec = codec_of(make_app())
    with opened:
        maker = EventMaker(from_row, codec, "user.signup", config.max_event_bytes, SOURCE)
        yield EventFile(str(path), opened, format_of(path, None), maker, None)


def first_id(source: EventFile) -> str | None:
    """The id of the file's first event, which is known before it is published: it is derived from the row."""
    first = next(source.events(), None)
    return first.id if isinstance(first, FileEvent) else None


def mail_file(variables: dict[str, str]) -> Path | None:
    """None if the mails go elsewhere, as DEMO_MAIL says."""
    return Path(variables["DEMO_MAIL"]) if "DEMO_MAIL" in variables else None


def started(config: Config, variables: dict[str, str], stack: ExitStack) -> Site:
    """A worker and a server, which wait for the broker. They end with `stack`, and also when this process is killed."""
    port = config.http_port if "RETOLD_HTTP_PORT" in os.environ else 0
    listening = stack.enter_context(listen(replace(config, http_port=port)))
    number = listening.fileno()
    environ = {**os.environ, **variables}

    def start(name: str, *words: str, keep: tuple[int, ...] = ()) -> ChildProcess:
        log = stack.enter_context((config.state / f"{name}.log").open("wb"))
        wait = str(SECONDS_TO_START)
        return stack.enter_context(
            ChildProcess(name, "--wait", wait, *words, environ=environ, folder=PROJECT, stdout=log, stderr=log, keep=keep)
        )

    return Site(
        config, variables, start("worker"), start("server", "--fd", str(number), keep=(number,)), url_of(listening)
    )


def wait_until_handled(site: Site, address: str, total: int) -> Status:
    """The status once no inbox has lag, no call is pending and no timer is due, twice in a row: an event may emit others.

    Looking takes CPU that the worker and Kafka need. While the logs grow, a status can only show progress, so there are few.
    """
    codec = codec_of(make_app())
    clients = Clients.of(site.config, address)
    logs, backlog = LogEnds(clients, site.config.prefix), BacklogReader(clients)
    deadline = time.monotonic() + SECONDS_TO_START + total / SIGN_UPS_A_SECOND
    before, looked = None, time.monotonic()
    with bar("handling", total) as advance:
        while (began := time.monotonic()) < deadline:
            site.check()
            with contextlib.suppress(BrokerError):  # it has just started: not every part of it is ready at once
                if not logs.grew() or began - looked >= SECONDS_TO_LOOK:
                    now, looked = status(clients, site.config.prefix, report.NAMESPACES, codec, backlog), time.monotonic()
                    counters = now.namespaces[0].counters
                    advance(min(total, counters.accepted + counters.rejected + counters.duplicates))
                    if before == now and not any(space.lag or space.calls or is_timer_due(space) for space in now.namespaces):
                        return now
                    before = now
            time.sleep(min(1.0, max(SECONDS_BETWEEN, 4 * (time.monotonic() - began))))
    waited = SECONDS_TO_START + total / SIGN_UPS_A_SECOND
    lines = last_output(site.config, "worker")
    raise OutcomeTimeout(f"not all events were handled within {waited:.0f} s. The worker's last output:\n{lines}")


def is_timer_due(space: NamespaceStatus) -> bool:
    return space.timer_due is not None and space.timer_due <= to_micros(datetime.now(UTC))


class LogEnds:
    """Whether the event logs grow, by a small request without any record."""

    def __init__(self, clients: Clients, prefix: str) -> None:
        self._admin = clients.admin()
        logs = [topic_names(prefix, name).log for name in report.NAMESPACES]
        self._partitions = [(log, number) for log in logs for number in range(partitions_of(self._admin, log))]
        self._last: dict[tuple[str, int], int] = {}

    def grew(self) -> bool:
        """Whether anything was committed to them since the last call. Raises BrokerError."""
        before, self._last = self._last, dict(stable_ends(self._admin, self._partitions))
        return before != self._last


def last_output(config: Config, name: str) -> str:
    lines = (config.state / f"{name}.log").read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(f"  {line}" for line in lines[-10:])


def _keep(site: Site) -> None:
    if (sentence := access_sentence(site.config)) is not None:
        talk(f"\nKafka: {sentence}")
    talk("\nThe demo stays up until Ctrl-C. In another terminal, in this folder:")
    for name, value in site.variables.items():
        talk(f"  export {name}={value}")
    talk("  .venv/bin/retold status")
    talk("  .venv/bin/retold publish user.rename user=2 name=Ada --wait 5")
    talk(f"  curl {site.url}/rows/email/2/welcome")
    talk("  .venv/bin/retold get user 2")
    talk(f"In a browser: {site.url}/app/ to sign up, also offline, and {site.url}/ for the console.")
    while True:
        site.check()
        time.sleep(0.2)
