"""The port of gRPC, looked at before a server starts."""

from __future__ import annotations

import errno
import socket
from importlib.util import find_spec
from typing import Final

from streams.config import Config
from streams.errors import ConfigError
from streams.listening import PortTaken

PACKAGES: Final = ("grpc", "grpc_health", "grpc_reflection", "google.rpc")


def check_rpc_port(config: Config, *, shared: bool = False) -> None:
    """Raises ConfigError if there is to be gRPC, and its packages are not there, and PortTaken if its port is in use.

    `shared`: other processes of the same server may use it.
    """
    port = config.grpc_port
    if port is None:
        return
    if not all(map(_is_there, PACKAGES)):
        raise ConfigError("gRPC (grpc_port, --grpc-port) needs packages more: `pip install 'retold[grpc]'`")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(config.http_host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as trial:  # gRPC binds it itself, but not before the broker is found
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT if shared else socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except (OSError, UnicodeError) as error:
        why, where = error.strerror if isinstance(error, OSError) else str(error), f"{config.http_host}, port {port}"
        kind_of = PortTaken if isinstance(error, OSError) and error.errno == errno.EADDRINUSE else ConfigError
        raise kind_of(f"gRPC cannot listen at {where} (RETOLD_GRPC_PORT, --grpc-port): {why}. Choose another port") from error


def _is_there(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # what it is in
        return False
