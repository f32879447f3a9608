"""`retold worker` and `retold run`: a worker, alone or with a broker and a server."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial

from streams.app import App
from streams.broker.choose import found, own
from streams.cli import exits, logs
from streams.cli.checks import lawful
from streams.cli.ending import Ending
from streams.cli.kept import Kept
from streams.cli.names import namespace_named
from streams.cli.screen import talk
from streams.cli.watch import Watching, tell_ready
from streams.config import Config, load
from streams.errors import BrokerUnavailable, ConfigError, StreamsError
from streams.server.listen import listen, url_of


def worker(namespaces: Sequence[str], wait: float, ends_with_stdin: bool, processes: int) -> int:
    """Gives the exit code. Raises BrokerUnavailable if there is no broker after `wait` s."""
    config = load()
    app = lawful(config)
    for name in namespaces:
        namespace_named(app, name)
    ending = Ending(ends_with_stdin)
    if wait and processes == 1:
        import_worker()
    address = find_broker(config, wait, ending)
    if address is None:
        return ending.code
    if processes > 1:
        return _several(namespaces, processes, ending, ends_with_stdin)
    return _serve(app, config, address, namespaces, ending, Watching(to_program=ends_with_stdin))


def _several(namespaces: Sequence[str], processes: int, ending: Ending, to_program: bool) -> int:
    """Workers that end together; one that is killed is started again. Gives the exit code."""
    with ExitStack() as stack:
        kept = [
            stack.enter_context(Kept(f"Worker {n} of {processes}", ["worker", *namespaces], ending, final=_gave_up))
            for n in range(1, processes + 1)
        ]
        told = False
        while not ending.stop.is_set():
            time.sleep(0.1)  # not in a wait for `stop`: a signal that sets it then would wait for its lock for ever
            if not told and all(one.ready.is_set() for one in kept):
                told = True
                tell_ready(f"{processes} workers", to_program)
    return ending.code


def _gave_up(code: int) -> bool:
    """What a worker cannot go on with, another cannot either; one that was killed is missed."""
    return code > 0


def import_worker() -> None:
    """Faust takes seconds to import; a broker may start meanwhile."""
    import streams.worker.assemble  # noqa: F401 - it is used below, when there is something to use it on


def find_broker(config: Config, wait: float, ending: Ending) -> str | None:
    """The broker's address; None if the end came first."""
    deadline = time.monotonic() + wait
    while not ending.stop.is_set():
        try:
            return ending.unless_ended(partial(found, config))
        except BrokerUnavailable:
            if time.monotonic() >= deadline:
                raise
        time.sleep(0.1)  # as in _several
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
            return _serve(app, config, address, (), ending, Watching())
        url = url_of(listening)
        talk(f"The server listens at {url}; {url}/openapi.json says what it answers.")
        server = stack.enter_context(server_beside(listening, ending))
        return _serve(app, config, address, (), ending, Watching(server.ready.is_set))


@contextlib.contextmanager
def server_beside(listening: socket.socket, ending: Ending, environ: Mapping[str, str] | None = None) -> Iterator[Kept]:
    """In a process of its own, so that a fold never slows an answer.

    The socket stays open here: whoever asks while the server is started again waits, and is not refused.
    """
    number = listening.fileno()
    words = ["server", "--fd", str(number)]
    kept = Kept("The server", words, ending, final=_unusable, environ=environ, keep=[number])
    with listening, kept:
        yield kept


def _unusable(code: int) -> bool:
    """A setting will not mend itself; a broker may."""
    return code == exits.CONFIGURATION


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
    watching: Watching,
) -> int:
    """Runs the worker in a thread of its own, so that this one answers to signals. Gives the exit code."""
    logs.set_up_worker(config)
    from streams.worker import assemble
    from streams.worker.run import run as run_worker
    from streams.worker.run import runtime, spare_the_collector

    spare_the_collector()
    made = ending.unless_ended(partial(assemble.worker, app, config, address, namespaces, runtime()))
    if made is None:
        return ending.code
    ended = Ended()
    with watching as watch:

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
