"""The process of a server that follows Kafka: `python -m streams.server.readmodel.child_follower ADDRESS FOLDS [after-end]`.

It reads the settings as the server does, writes what it has to tell and to log as lines of JSON to stdout, and ends with stdin.
So no decoding and no fold shares an interpreter with an answer.
"""

from __future__ import annotations

import faulthandler
import gc
import logging
import os
import signal
import sys
import threading

import msgspec

from streams.codec import codec_of
from streams.config import load
from streams.kafka.clients import Clients
from streams.load import application
from streams.server.readmodel.fold_record import FoldRecord
from streams.server.readmodel.follower import TopicFollower
from streams.server.readmodel.follower_process import AFTER_END
from streams.server.readmodel.follower_report import FollowerReport

STDIN, STDOUT, STDERR = 0, 1, 2
COLLECT_AFTER = 100_000
"""New containers after which cycles are looked for: following makes many containers and no cycles (ADR 10)."""
log = logging.getLogger("retold.server")


def follow(address: str, folds: int, *, after_end: bool = False) -> int:
    """Until stdin ends. Returns an exit code. `folds` is the descriptor of a FoldRecord; `after_end` as for TopicFollower."""
    stopped = threading.Event()
    pipe = ReportPipe(os.dup(STDOUT))
    os.dup2(STDERR, STDOUT)  # what the application prints is no report
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    faulthandler.register(signal.SIGUSR1, file=STDERR, all_threads=True)  # where a fold is that never returns
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the server, which then ends this process
    root = logging.getLogger("retold")
    root.addHandler(pipe)
    try:
        config = load()
        root.setLevel(config.log_level.upper())
        app = application(config)
        gc.freeze()
        gc.set_threshold(COLLECT_AFTER, 10, 100)
        threading.Thread(target=_until_stdin_ends, args=(stopped,), daemon=True).start()
        clients = Clients.of(config, address)
        follower = TopicFollower(clients, config.prefix, app, codec_of(app), config.state, pipe.tell, config.history)
        follower.run(stopped, after_end=after_end, folds=FoldRecord(folds))
    except Exception:
        log.exception("the process that follows Kafka failed")
        return 1
    return 0


class ReportPipe(logging.Handler):
    """Writes reports, and what is logged, for the server, whose log it is. `descriptor` is of the pipe to it."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor, self._turn = descriptor, threading.Lock()

    def tell(self, report: FollowerReport) -> None:
        line = msgspec.json.encode(report) + b"\n"
        with self._turn:
            try:
                while line:
                    line = line[os.write(self._descriptor, line) :]
            except BrokenPipeError:  # the server is gone; stdin says so too
                return

    def emit(self, record: logging.LogRecord) -> None:
        self.tell(FollowerReport(log=(record.levelno, record.name, self.format(record))))


def _until_stdin_ends(stopped: threading.Event) -> None:
    while os.read(STDIN, 4096):
        pass
    stopped.set()


if __name__ == "__main__":
    sys.exit(follow(sys.argv[1], int(sys.argv[2]), after_end=sys.argv[3:] == [AFTER_END]))
