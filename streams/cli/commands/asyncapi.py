"""`retold asyncapi`: the events of the application, as an AsyncAPI document."""

from __future__ import annotations

import msgspec

from streams.cli.output.screen import application_beside, say
from streams.config import load
from streams.load import application
from streams.server.http.asyncapi_document import asyncapi_document


def asyncapi() -> None:
    """Print the events of the application as AsyncAPI 3.0; needs no broker.

    Which there are, in which topics, with their schemas and examples, who handles them and what they lead to. Example:
    [bold]retold asyncapi > asyncapi.json[/]
    """
    config = load()
    with application_beside():
        app = application(config)
    document = msgspec.json.encode(asyncapi_document(app, config))
    for line in msgspec.json.format(document, indent=2).decode().splitlines():
        say(line)
