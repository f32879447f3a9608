"""`retold open`: the pages of this project's server, in a browser."""

from __future__ import annotations

import http.client
import ssl
import webbrowser
from typing import Annotated

import typer

from streams.cli.output.screen import say, talk
from streams.config import Config, load
from streams.errors import ConfigError
from streams.server.listen import scheme_of

SECONDS = 5.0
"""In which a server answers that it is there."""
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - a server that listens at all addresses is asked at this one
CONSOLE, SITE = "/", "/app/"


def open(
    site: Annotated[bool, typer.Option("--site", help="Open the front end of the server, not the console.")] = False,
) -> None:
    """Open the console in a browser, and print its address.

    The server is the one at RETOLD_HTTP_HOST and RETOLD_HTTP_PORT, as [bold]retold run[/] starts it. Example: [bold]retold open[/]
    """
    config = load()
    host, page = EVERYWHERE.get(config.http_host, config.http_host), SITE if site else CONSOLE
    url = f"{scheme_of(config)}://{f'[{host}]' if ':' in host else host}:{config.http_port}"
    _check_server(config, host, url)
    if site and _status(config, host, SITE) != http.client.OK:
        raise ConfigError(f"the server at {url} has no front end: set RETOLD_SITE, or start it with `retold server --site FOLDER`.")
    say(f"{url}{page}")
    if not webbrowser.open(f"{url}{page}"):
        talk("There is no browser here that can be started: open that address by hand.")


def _check_server(config: Config, host: str, url: str) -> None:
    """Raises ConfigError unless a server answers there."""
    try:
        answers = _status(config, host, "/-/live") == http.client.OK
    except (OSError, http.client.HTTPException):
        answers = False
    if not answers:
        raise ConfigError(
            f"no server of retold answers at {url}. Start one with `retold run` or `retold server`; if it is at another address, "
            "say so with RETOLD_HTTP_HOST and RETOLD_HTTP_PORT."
        )


def _status(config: Config, host: str, path: str) -> int:
    connection = http.client.HTTPConnection(host, config.http_port, timeout=SECONDS)
    if config.http_tls_cert is not None:
        unchecked = ssl.create_default_context()  # whose certificate it is, the browser finds out; nothing is told here
        unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(host, config.http_port, timeout=SECONDS, context=unchecked)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()
