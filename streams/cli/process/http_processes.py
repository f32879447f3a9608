"""The HTTP processes of `retold server --processes N`: started on one listening socket, restarted, and ended together."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from streams.cli.output.readiness import ServerReadinessReporter
from streams.cli.output.screen import talk
from streams.cli.process import exit_codes
from streams.cli.process.child_process import ChildProcess
from streams.cli.process.shutdown import Shutdown
from streams.cli.process.supervised_process import ReadyAgain, SupervisedProcess
from streams.config import Config
from streams.listening import url_of
from streams.server.access.shared_rates import make_shared_rates
from streams.server.listen import scheme_of

MOST_PROCESSES: Final = 32


def serve_by_processes(
    config: Config, address: str, listening: socket.socket, processes: int, shutdown: Shutdown, *, to_program: bool
) -> None:
    """Until the shutdown. One process beside them follows Kafka; this one serves nothing, and owns the socket."""
    from streams.server.processes.server_owner import ServerOwner  # late: other commands need none of it
    from streams.server.readmodel.follower_process import FollowerProcess

    owner, rates = ServerOwner(), make_shared_rates()
    words, keep = [*_words(config, listening), "--rates", str(rates)], [listening.fileno(), rates]
    reporter = ServerReadinessReporter(url_of(listening, scheme_of(config)), to_program=to_program)
    follower = FollowerProcess(owner, address, Path.cwd())
    following = threading.Thread(target=follower.run, args=(shutdown.stop,), name="follow")
    with ExitStack() as stack:
        stack.callback(os.close, rates)
        stack.callback(owner.end)
        following.start()
        stack.callback(following.join)
        stack.callback(shutdown.stop.set)  # should a process not even be made
        children = [
            stack.enter_context(_HttpProcess(f"HTTP process {number} of {processes}", words, shutdown, keep, owner.new_process))
            for number in range(1, processes + 1)
        ]
        ready_again, times = ReadyAgain(children), 0
        while not shutdown.stop.is_set():
            time.sleep(0.1)  # not in a wait for `stop`: a signal that sets it then would wait for its lock for ever
            owner.beat()
            if ready_again():
                reporter(None)
                times += 1
                if times > 1:
                    talk(f"All {processes} HTTP processes answer again.")
            elif times == 0:
                reporter(owner.waits or "its processes have not read the tables and logs yet")


class _HttpProcess(SupervisedProcess):
    """`link` makes a socket each time that it is started, which it inherits."""

    def __init__(
        self, name: str, words: Sequence[str], shutdown: Shutdown, keep: Sequence[int], link: Callable[[], socket.socket]
    ) -> None:
        super().__init__(name, words, shutdown, final=self._is_final, keep=keep)
        self._link = link

    def _is_final(self, code: int) -> bool:
        """A setting that was wrong from the start stays so. Later a file may just be being changed, and the others answer."""
        return code == exit_codes.CONFIGURATION and self.starts == 0

    def start_child(self, *words: str, keep: Sequence[int] = ()) -> ChildProcess:
        with self._link() as theirs:
            number = theirs.fileno()
            return super().start_child(*words, "--link", str(number), keep=[*keep, number])


def _words(config: Config, listening: socket.socket) -> list[str]:
    """The command of one process: with the options that were given here, since they are not in its environment."""
    found = ["server", "--fd", str(listening.fileno())]
    options = (
        ("--site", config.site), ("--tls-cert", config.http_tls_cert), ("--tls-key", config.http_tls_key),
        ("--grpc-port", config.grpc_port),
    )  # fmt: skip
    for option, value in options:
        if value is not None:
            found += [option, str(value)]
    return [*found, "--http2"] if config.http2 else found
