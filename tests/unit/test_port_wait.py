"""A port that a server which was killed holds for a moment more."""

from __future__ import annotations

import socket
import threading

import pytest

from streams.cli.process.port_wait import when_free
from streams.listening import ListenAddress, PortTaken, listen_at


def address(port: int) -> ListenAddress:
    return ListenAddress("127.0.0.1", port, "HOST", "PORT", "TOKEN", "server", "read")


def take(port: int) -> socket.socket:
    return listen_at(address(port), needs_token=True)


def test_a_port_that_becomes_free_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    """Processes of a server that was killed hold it until they see that they are alone. It is said once."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ends = threading.Timer(0.3, taken.close)
        ends.start()
        with when_free(lambda: take(port), 30.0) as found:
            assert found.getsockname()[1] == port
        ends.join()
    assert capsys.readouterr().err.count("The port is in use. Waiting up to 30 s") == 1


def test_a_port_that_stays_in_use_is_an_error() -> None:
    """After the time that was given, and as it was without."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=f"the port {port} of 127.0.0.1 is in use"):
            when_free(lambda: take(port), 0.2)


def test_a_port_that_is_free_is_taken_without_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    """At once."""
    when_free(lambda: take(0), 0.0).close()
    assert capsys.readouterr().err == ""
