"""`retold worker` and `retold run`: what stays up until Ctrl-C, SIGTERM, or the end of the program that began it."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Sequence

from streams.app import App
from streams.broker.choose import found, own
from streams.cli import exits, logs
from streams.cli.checks import lawful
from streams.cli.screen import talk
from streams.cli.watch import Watching
from streams.config import Config, load
from streams.errors import StreamsError


def worker(namespaces: Sequence[str], ends_with_stdin: bool) -> int:
    config = load()
    app = lawful(config)
    return _serve(app, config, found(config), namespaces, ends_with_stdin)


def run() -> int:
    config = load()
    app = lawful(config)
    with own(config, on_progress=talk) as address:
        talk(f"Kafka answers at {address}; in another terminal of this project, `retold publish` finds it.")
        return _serve(app, config, address, (), False)


class Ending:
    """Set by a signal or by the end of stdin; `interrupted` by Ctrl-C. To be made in the main thread."""

    def __init__(self, with_stdin: bool) -> None:
        self.stop, self.interrupted = threading.Event(), False
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGTERM, self._on_signal)
        if with_stdin:
            threading.Thread(target=self._with_stdin, daemon=True).start()

    def _on_signal(self, number: int, _: object) -> None:
        if number == signal.SIGINT and not self.interrupted:
            self.interrupted = True
            talk("\rStopping: what was begun is finished first.")
        self.stop.set()

    def _with_stdin(self) -> None:
        while sys.stdin.buffer.read(4096):
            pass
        self.stop.set()


def _serve(app: App, config: Config, address: str, namespaces: Sequence[str], ends_with_stdin: bool) -> int:
    """Runs the worker in a thread of its own, so that this one answers to signals. Gives the exit code."""
    logs.set_up(config)
    from streams.worker import assemble
    from streams.worker.run import run as run_worker

    made = assemble.worker(app, config, address, namespaces)
    ending, ended = Ending(ends_with_stdin), Ended()
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
    return ended.code(ending.interrupted)


class Ended:
    """How a worker ended: `errors` were told by the worker when they came."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self.fault: BaseException | None = None

    def code(self, interrupted: bool) -> int:
        if self.fault is not None:
            raise self.fault
        for error in self.errors:
            return exits.code_of(error) if isinstance(error, StreamsError) else exits.FAULT
        return exits.INTERRUPTED if interrupted else exits.OK
