"""`retold worker` and `retold run`: what stays up until Ctrl-C, SIGTERM, or the end of the program that began it."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Sequence

from streams.app import App
from streams.broker.choose import found, own
from streams.cli import exits, logs
from streams.cli.checks import lawful
from streams.cli.screen import is_terminal, talk
from streams.cli.watch import Watching
from streams.config import Config, load
from streams.errors import BrokerUnavailable, StreamsError


def worker(namespaces: Sequence[str], wait: float, ends_with_stdin: bool) -> int:
    """Gives the exit code. Raises BrokerUnavailable if there is no broker after `wait` s."""
    config = load()
    app = lawful(config)
    ending = Ending(ends_with_stdin)
    if wait:
        import_worker()
    address = find_broker(config, wait, ending)
    return _serve(app, config, address, namespaces, ending) if address is not None else ending.code


def import_worker() -> None:
    """Faust takes seconds to import; a broker may start meanwhile."""
    import streams.worker.assemble  # noqa: F401 - it is used below, when there is something to use it on


def find_broker(config: Config, wait: float, ending: Ending) -> str | None:
    """The broker's address; None if the end came first."""
    deadline = time.monotonic() + wait
    while not ending.stop.is_set():
        try:
            return found(config)
        except BrokerUnavailable:
            if time.monotonic() >= deadline:
                raise
        ending.stop.wait(0.1)
    return None


def run() -> int:
    config = load()
    app = lawful(config)
    threading.Thread(target=import_worker, daemon=True).start()
    with own(config, on_progress=talk) as address:
        talk(f"Kafka answers at {address}; in another terminal of this project, `retold publish` finds it.")
        return _serve(app, config, address, (), Ending())


class Ending:
    """Set by a signal or by the end of stdin; `interrupted` by Ctrl-C. To be made in the main thread."""

    def __init__(self, with_stdin: bool = False) -> None:
        self.stop, self.interrupted = threading.Event(), False
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGTERM, self._on_signal)
        if with_stdin:
            threading.Thread(target=self._with_stdin, daemon=True).start()

    @property
    def code(self) -> int:
        return exits.INTERRUPTED if self.interrupted else exits.OK

    def _on_signal(self, number: int, _: object) -> None:
        if number == signal.SIGINT and not self.interrupted:
            self.interrupted = True
            back = "\r" if is_terminal() else ""  # over the ^C that the terminal shows
            talk(f"{back}Stopping: what was begun is finished first.")
        self.stop.set()

    def _with_stdin(self) -> None:
        # Not sys.stdin.read: a thread that is in it when Python ends is a fatal error.
        while os.read(sys.stdin.fileno(), 4096):
            pass
        self.stop.set()


def _serve(app: App, config: Config, address: str, namespaces: Sequence[str], ending: Ending) -> int:
    """Runs the worker in a thread of its own, so that this one answers to signals. Gives the exit code."""
    logs.set_up(config)
    from streams.worker import assemble
    from streams.worker.run import run as run_worker
    from streams.worker.run import spare_the_collector

    spare_the_collector()
    made = assemble.worker(app, config, address, namespaces)
    ended = Ended()
    with Watching() as watch:

        def work() -> None:
            try:
                ended.errors += run_worker(made, stop=ending.stop, watch=watch)
            except BaseException as error:  # noqa: BLE001 - raised again in the main thread
                ended.fault = error

        thread = threading.Thread(target=work, name="worker")
        thread.start()
        while thread.is_alive():
            thread.join(0.1)  # with a limit, so that signals are answered
    return ended.code(ending)


class Ended:
    """How a worker ended: `errors` were told by the worker when they came."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self.fault: BaseException | None = None

    def code(self, ending: Ending) -> int:
        if self.fault is not None:
            raise self.fault
        for error in self.errors:
            return exits.code_of(error) if isinstance(error, StreamsError) else exits.FAULT
        return ending.code
