"""`retold server`: the read side over HTTP, and a door for events."""

from __future__ import annotations

import threading
import time

from streams.cli import logs
from streams.cli.screen import talk
from streams.cli.serve import Ended, Ending, find_broker
from streams.client import Client
from streams.codec import codec_of
from streams.config import load
from streams.kafka.clients import Clients
from streams.load import application

TELL_EVERY = 10.0


def server(wait: float, ends_with_stdin: bool) -> int:
    """Gives the exit code. Raises ConfigError for an address that cannot be had, BrokerUnavailable after `wait` s."""
    from streams.server.archive import KafkaArchive
    from streams.server.followed import Followed
    from streams.server.parts import Parts
    from streams.server.run import listen, serve, url_of

    config = load()
    logs.set_up(config)
    app = application(config)
    ending, ended = Ending(ends_with_stdin), Ended()
    with listen(config) as listening:
        address = find_broker(config, wait, ending)
        if address is None:
            return ending.code
        clients = Clients.of(config, address)
        clients.reach()
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
            talk(f"Listening at {url_of(listening)}; reading tables and logs.")
            told = Told()
            while thread.is_alive():
                thread.join(0.1)  # with a limit, so that signals are answered
                told.look(parts.followed.waits)
    return ended.code(ending)


class Told:
    """What a person at the terminal has read."""

    def __init__(self) -> None:
        self._ready, self._last = False, time.monotonic()

    def look(self, waits: str | None) -> None:
        """Says once that there are answers now; until then, every 10 s, why there are none."""
        if self._ready:
            return
        if waits is None:
            self._ready = True
            talk("Ready. Ctrl-C ends it.")
        elif time.monotonic() - self._last >= TELL_EVERY:
            self._last = time.monotonic()
            talk(f"Not yet: {waits}.")
