"""`retold server`: reads over HTTP, and takes events to publish."""

from __future__ import annotations

import faulthandler
import gc
import socket
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from streams.app import App
from streams.cli.arguments.options import BrokerWait, EndsWithStdin
from streams.cli.arguments.parsers import whole
from streams.cli.output.readiness import ServerReadinessReporter
from streams.cli.process import logging_setup
from streams.cli.process.broker_lookup import find_broker
from streams.cli.process.collector import spare_the_collector
from streams.cli.process.server_ending import SECONDS, ServerEnding
from streams.cli.process.shutdown import Shutdown, run_beside_signals
from streams.client import LoopClient
from streams.codec import AvroCodec, codec_of
from streams.config import Config, load
from streams.kafka.clients import Clients
from streams.kafka.deleted_records import accepted_starts
from streams.listening import url_of
from streams.load import application
from streams.server.access.token_file import check_tokens
from streams.server.listen import inherited, listen, scheme_of
from streams.server.rpc_port import check_rpc_port
from streams.server.site_folder import check_site
from streams.server.speech import speech_of

if TYPE_CHECKING:  # it is imported late: see `import_server`
    from streams.server.http.questions import Questions
    from streams.server.readmodel.model import ReadModel


class _Loaded(NamedTuple):
    """What is there before anything is started."""

    app: App
    config: Config
    codec: AvroCodec
    questions: Questions


def server(  # noqa: PLR0913 - each is an option
    wait: BrokerWait = 0.0,
    ends_with_stdin: EndsWithStdin = False,
    fd: Annotated[
        int | None,
        typer.Option("--fd", parser=whole(0), help="File descriptor of a listening socket to use.", metavar="NUMBER"),
    ] = None,
    site: Annotated[
        Path | None, typer.Option("--site", help="Folder of a front end to serve at /app/.", metavar="FOLDER")
    ] = None,
    http2: Annotated[bool, typer.Option("--http2", help="Speak HTTP/2, too (retold\\[http2]).")] = False,
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", help="Certificate of the server, in PEM: speak TLS.", metavar="FILE")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", help="Its key, in PEM.", metavar="FILE")] = None,
    grpc_port: Annotated[
        int | None, typer.Option("--grpc-port", parser=whole(1), help="Answer gRPC at this port (retold\\[grpc]).", metavar="PORT")
    ] = None,
) -> None:
    """Serve HTTP: publish events, query rows, projections and views, follow event logs.

    It runs until Ctrl-C, and listens on this machine only, unless RETOLD_HTTP_HOST and RETOLD_HTTP_TOKEN are set. Example:
    [bold]retold server[/], and in another terminal [bold]curl http://127.0.0.1:8080/rows/user[/]
    """
    config = load()
    config = replace(
        config, site=_or(site, config.site), http_tls_cert=_or(tls_cert, config.http_tls_cert),
        http_tls_key=_or(tls_key, config.http_tls_key), http2=config.http2 or int(http2),
        grpc_port=config.grpc_port if grpc_port is None else grpc_port,
    )  # fmt: skip
    check_site(config)
    speech_of(config)
    check_rpc_port(config)
    logging_setup.set_up(config)
    app = application(config)
    check_tokens(config, app)  # before anything is started
    loaded = _loaded(app, config)
    shutdown = Shutdown(ends_with_stdin)
    with listen(config) if fd is None else inherited(config, fd) as listening:
        address = find_broker(config, wait, shutdown)
        if address is not None:
            _serve(loaded, address, listening, shutdown, to_program=ends_with_stdin)
    loaded.questions.end()
    raise typer.Exit(shutdown.code)


def _or(given: Path | None, setting: Path | None) -> Path | None:
    return setting if given is None else given.absolute()


def import_server() -> None:
    """What serves takes a while to import, so it is imported by this command alone."""
    import streams.server.serve  # noqa: F401 - used by `_serve`


def _loaded(app: App, config: Config) -> _Loaded:
    """Before there is a thread: what is imported by now is there in the processes that answer questions, too."""
    import_server()
    from streams.server.http.answering import questions_of

    codec = codec_of(app)
    return _Loaded(app, config, codec, questions_of(app, config, codec))


def _serve(loaded: _Loaded, address: str, listening: socket.socket, shutdown: Shutdown, *, to_program: bool) -> None:
    """Until the shutdown."""
    from streams.server.readmodel.model import ReadModel  # late: see `import_server`

    spare_the_collector()
    clients = Clients.of(loaded.config, address)
    shutdown.unless_stopped(clients.check_broker)
    if shutdown.stop.is_set():
        return
    model = ReadModel(loaded.app, loaded.codec)
    reporter = ServerReadinessReporter(url_of(listening, scheme_of(loaded.config)), to_program=to_program)
    ending = ServerEnding(shutdown)

    def work() -> None:
        _answer(loaded, model, clients, listening, ending)
        gc.collect()  # what refers to itself in a circle holds Kafka's clients too

    def meanwhile() -> None:
        reporter(model.waits or model.behind)
        ending.look()

    run_beside_signals("server", work=work, meanwhile=meanwhile)
    faulthandler.dump_traceback_later(SECONDS, exit=True)  # should anything hold the end of Python itself up


def _answer(loaded: _Loaded, model: ReadModel, clients: Clients, listening: socket.socket, ending: ServerEnding) -> None:
    """Whatever it makes ends with it."""
    from streams.server.connections import Connections, limits_of, raise_descriptor_limit
    from streams.server.corrector import KafkaCorrector
    from streams.server.http.parts import ServerParts
    from streams.server.readmodel.archive import KafkaArchive
    from streams.server.readmodel.follower_process import FollowerProcess
    from streams.server.serve import serve

    app, config, codec, questions = loaded
    names = [space.name for space in app.namespaces]
    archive = KafkaArchive(clients, config.prefix, codec, names, accepted_starts(config.accepted_starts))
    with LoopClient(app, config=config, source="retold/server", confirm_each=True) as client:
        raise_descriptor_limit(config.http_connections)
        connections = Connections(limits_of(config))
        stopping = threading.Event()
        corrector = KafkaCorrector(clients, config, app, codec, stopping, model.notifier.notify)
        parts = ServerParts(
            app, config, codec, model, client, archive, questions, stopping, connections=connections, corrector=corrector
        )
        serve(parts, clients, FollowerProcess(model, clients.address, Path.cwd()), listening, ending.stop)
        corrector.end()
        ending.waits_for("the client that publishes")
    ending.waits_for("Kafka's clients, which were to be closed")
