"""What a command needs that reads Kafka and ends: the settings, the application, its codec, and clients of the broker."""

from __future__ import annotations

from dataclasses import dataclass

from streams.app import App
from streams.cli.output.screen import application_beside
from streams.cli.process import logging_setup
from streams.codec import AvroCodec, codec_of
from streams.config import Config, load
from streams.kafka.clients import Clients
from streams.load import application
from streams.localbroker.choose import found


@dataclass(frozen=True)
class Session:
    config: Config
    app: App
    codec: AvroCodec
    clients: Clients

    @property
    def namespaces(self) -> list[str]:
        return [namespace.name for namespace in self.app.namespaces]


def connect() -> Session:
    """Raises BrokerUnavailable if none runs, or it does not answer."""
    config = load()
    logging_setup.set_up(config)
    with application_beside():
        app = application(config)
    codec = codec_of(app)
    clients = Clients.of(config, found(config))
    clients.check_broker()
    return Session(config, app, codec, clients)
