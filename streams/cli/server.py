"""`retold server`: the read side over HTTP, and a door for events."""

from __future__ import annotations

import threading
import time

from streams.cli import logs
from streams.cli.ending import Ending
from streams.cli.screen import say, talk
from streams.cli.serve import Ended, find_broker
from streams.client import Client
from streams.codec import codec_of
from streams.config import load
from streams.kafka.clients import Clients
from streams.load import application
from streams.server.listen import inherited, listen, url_of

TELL_EVERY = 10.0


def server(wait: float, ends_with_stdin: bool, fd: int | None) -> int:
    """Gives the exit code. Raises ConfigError for an address that cannot be had, BrokerUnavailable after `wait` s."""
    config = load()
    logs.set_up(config)
    app = application(config)
    ending, ended = Ending(ends_with_stdin), Ended()
    with listen(config) if fd is None else inherited(config, fd) as listening:
        if wait:
            import_server()
        address = find_broker(config, wait, ending)
        if address is None:
            return ending.code
        from streams.server.http.parts import Parts
        from streams.server.readmodel.archive import KafkaArchive
        from streams.server.readmodel.followed import Followed
        from streams.server.run import serve

        clients = Clients.of(config, address)
        ending.unless_ended(clients.reach)
        if ending.stop.is_set():
            return ending.code
        codec = codec_of(app)
        archive = KafkaArchive(clients, config.prefix, codec, [space.name for space in app.namespaces])
        with Client(app, config=config, source="retold/server") as client:
            parts = Parts(app, config, codec, Followed(app, codec), client, archive)

            def work() -> None:
                try:
                    serve(parts, clients, listening, ending.stop)
                except BaseException as error:  # noqa: BLE001 - raised again in the main thread
                    ended.fault = error

            thread = threading.Thread(target=work, name="server")
            thread.start()
            told = Told(url_of(listening), to_program=ends_with_stdin)
            while thread.is_alive():
                thread.join(0.1)  # with a limit, so that signals are answered
                told.look(parts.followed.waits)
    return ended.code(ending)


def import_server() -> None:
    """FastAPI takes a second to import; a broker may start meanwhile. Without one, there is nothing to import it for."""
    import streams.server.run  # noqa: F401 - it is used above, when there is something to use it on


class Told:
    """What whoever began the server has read: a person at the terminal, or a program by our stdout."""

    def __init__(self, url: str, to_program: bool) -> None:
        self._url, self._to_program = url, to_program
        self._ready, self._last = False, time.monotonic()
        if not to_program:
            talk(f"Listening at {url}; reading tables and logs.")

    def look(self, waits: str | None) -> None:
        """Says once that there are answers now; until then, every 10 s, why there are none."""
        if self._ready:
            return
        if waits is None:
            self._ready = True
            if self._to_program:
                say(f"Ready: {self._url}")
            else:
                talk("Ready. Ctrl-C ends it.")
        elif time.monotonic() - self._last >= TELL_EVERY:
            self._last = time.monotonic()
            talk(f"The server is not ready yet: {waits}.")
