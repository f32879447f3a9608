"""`retold worker` and `retold run`: a worker, alone or with a broker and a server."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from streams.app import App
from streams.broker.choose import found, own
from streams.cli import exits, logs
from streams.cli.beside import ServerBeside
from streams.cli.checks import lawful
from streams.cli.ending import Ending
from streams.cli.screen import talk
from streams.cli.watch import Watching
from streams.config import Config, load
from streams.errors import BrokerUnavailable, ConfigError, StreamsError
from streams.server.listen import listen, url_of


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


def run(with_server: bool) -> int:
    """Gives the exit code. Raises ConfigError for an address that the server cannot have; nothing has started then."""
    config = load()
    app = lawful(config)
    with ExitStack() as stack:
        listening = stack.enter_context(_address(config)) if with_server else None
        threading.Thread(target=import_worker, daemon=True).start()
        address = stack.enter_context(own(config, on_progress=talk))
        talk(f"Kafka answers at {address}; in another terminal of this project, `retold publish` finds it.")
        ending = Ending()
        if listening is None:
            return _serve(app, config, address, (), ending)
        url = url_of(listening)
        talk(f"The server listens at {url}; {url}/openapi.json says what it answers.")
        server = stack.enter_context(ServerBeside(listening, ending))
        return _serve(app, config, address, (), ending, server.ready.is_set)


def _address(config: Config) -> socket.socket:
    try:
        return listen(config)
    except ConfigError as error:
        error.add_note("`retold run --no-server` does without a server.")
        raise


def _serve(
    app: App,
    config: Config,
    address: str,
    namespaces: Sequence[str],
    ending: Ending,
    also_ready: Callable[[], bool] = lambda: True,
) -> int:
    """Runs the worker in a thread of its own, so that this one answers to signals. Gives the exit code.

    It is said to be ready once `also_ready` says so too.
    """
    logs.set_up(config)
    from streams.worker import assemble
    from streams.worker.run import run as run_worker
    from streams.worker.run import spare_the_collector

    spare_the_collector()
    made = assemble.worker(app, config, address, namespaces)
    ended = Ended()
    with Watching(also_ready) as watch:

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
