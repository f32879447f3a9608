"""`retold server`: reads over HTTP, and takes events to publish."""

from __future__ import annotations

import faulthandler
import gc
import socket
import threading
from dataclasses import replace
from functools import partial
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
from streams.cli.process.http_processes import MOST_PROCESSES, serve_by_processes
from streams.cli.process.port_wait import when_free
from streams.cli.process.server_ending import SECONDS, ServerEnding
from streams.cli.process.shutdown import Shutdown, run_beside_signals
from streams.client import LoopClient
from streams.codec import AvroCodec, codec_of
from streams.config import Config, load
from streams.errors import ConfigError
from streams.kafka.clients import Clients
from streams.kafka.deleted_records import accepted_starts
from streams.listening import url_of
from streams.load import application
from streams.localbroker.moved import where_it_went
from streams.server.access.token_file import check_tokens
from streams.server.inherited_files import are_rates, is_link
from streams.server.listen import inherited, listen, scheme_of
from streams.server.rpc_port import check_rpc_port
from streams.server.site_folder import check_site
from streams.server.speech import speech_of

if TYPE_CHECKING:  # it is imported late: see `import_server`
    from streams.server.http.questions import Questions
    from streams.server.readmodel.model import ReadModel


class _Shared(NamedTuple):
    """What one of several processes has of the one that owns it: numbers of open files."""

    link: int
    rates: int


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
    processes: Annotated[
        int, typer.Option("--processes", parser=whole(1, MOST_PROCESSES), help="Answer with this many processes.", metavar="N")
    ] = 1,
    link: Annotated[int | None, typer.Option("--link", parser=whole(0), hidden=True)] = None,
    rates: Annotated[int | None, typer.Option("--rates", parser=whole(0), hidden=True)] = None,
) -> None:
    """Serve HTTP: publish events, query rows, projections and views, follow event logs.

    It runs until Ctrl-C, and listens on this machine only, unless RETOLD_HTTP_HOST and RETOLD_HTTP_TOKEN are set. Example:
    [bold]retold server[/], and in another terminal [bold]curl http://127.0.0.1:8080/rows/user[/]
    """
    shared = _shared(link, rates)
    config = load()
    config = replace(
        config, site=_or(site, config.site), http_tls_cert=_or(tls_cert, config.http_tls_cert),
        http_tls_key=_or(tls_key, config.http_tls_key), http2=config.http2 or int(http2),
        grpc_port=config.grpc_port if grpc_port is None else grpc_port,
    )  # fmt: skip
    check_site(config)
    speech_of(config)
    when_free(lambda: check_rpc_port(config, shared=link is not None))
    logging_setup.set_up(config)
    app = application(config)
    check_tokens(config, app)  # before anything is started
    loaded = _loaded(app, config) if processes == 1 else None
    socket_there = when_free(lambda: listen(config)) if fd is None else inherited(config, fd)
    shutdown = Shutdown(ends_with_stdin)
    with socket_there as listening:
        address = find_broker(config, wait, shutdown)
        if address is not None and loaded is None:
            serve_by_processes(config, address, listening, processes, shutdown, to_program=ends_with_stdin)
        elif address is not None and loaded is not None:
            _serve(loaded, address, listening, shutdown, shared, to_program=ends_with_stdin)
    if loaded is not None:
        loaded.questions.end()
    raise typer.Exit(shutdown.code)


def _shared(link: int | None, rates: int | None) -> _Shared | None:
    """Raises ConfigError unless both are open files as the owner of several processes gives them."""
    if link is None and rates is None:
        return None
    if link is None or rates is None or not is_link(link) or not are_rates(rates):
        raise ConfigError(
            f"--link is {_given(link)}, and --rates is {_given(rates)}: `retold server --processes N` gives both, open files, to "
            "the processes that it starts. Use --processes, and neither of them"
        )
    return _Shared(link, rates)


def _given(number: int | None) -> str:
    return "not given" if number is None else str(number)


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


def _serve(
    loaded: _Loaded, address: str, listening: socket.socket, shutdown: Shutdown, shared: _Shared | None, *, to_program: bool
) -> None:
    """Until the shutdown."""
    from streams.server.readmodel.model import ReadModel  # late: see `import_server`

    spare_the_collector()
    clients = Clients.of(loaded.config, address)
    shutdown.unless_stopped(clients.check_broker)
    if shutdown.stop.is_set():
        return
    model = ReadModel(loaded.app, loaded.codec)
    reporter = ServerReadinessReporter(url_of(listening, scheme_of(loaded.config)), to_program=to_program)
    ending, answers = ServerEnding(shutdown), threading.Event()

    def work() -> None:
        _answer(loaded, model, clients, listening, ending, shared, answers)
        gc.collect()  # what refers to itself in a circle holds Kafka's clients too

    def meanwhile() -> None:
        reporter(model.waits or model.behind or (None if answers.is_set() else "its ports are not open yet"))
        if shared is not None and loaded.questions.fault is not None:
            ending.fail(loaded.questions.fault)
        ending.look()

    run_beside_signals("server", work=work, meanwhile=meanwhile)
    faulthandler.dump_traceback_later(SECONDS, exit=True)  # should anything hold the end of Python itself up


def _answer(
    loaded: _Loaded, model: ReadModel, clients: Clients, listening: socket.socket, ending: ServerEnding, shared: _Shared | None,
    answers: threading.Event,
) -> None:  # fmt: skip
    """Whatever it makes ends with it."""
    from streams.server.access.request_rates import RequestRates
    from streams.server.access.shared_rates import SharedRates
    from streams.server.connections import Connections, limits_of, raise_descriptor_limit
    from streams.server.corrector import KafkaCorrector
    from streams.server.http.parts import ServerParts
    from streams.server.processes.process_link import ProcessLink
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
        link = None if shared is None else ProcessLink(shared.link, model, ending.fail)
        parts = ServerParts(
            app, config, codec, model, client, archive, questions, stopping, connections=connections, corrector=corrector,
            rates=RequestRates() if shared is None else SharedRates(shared.rates), link=link,
            moved=partial(where_it_went, config, clients.address),
        )  # fmt: skip
        follower = FollowerProcess(model, clients.address, Path.cwd()) if link is None else link
        serve(parts, clients, follower, listening, ending.stop, answers)
        corrector.end()
        ending.waits_for("the client that publishes")
    ending.waits_for("Kafka's clients, which were to be closed")
