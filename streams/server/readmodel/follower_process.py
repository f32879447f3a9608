"""The follower as a process beside the server: started, listened to, started again if it dies, and ended with the server."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec

from streams.server.readmodel.fold_record import FoldWatch, shared_file
from streams.server.readmodel.follower_report import FollowerReport
from streams.server.readmodel.watched_reports import FAULT, FollowerListener, WatchedReports

log = logging.getLogger("retold.server")
AGAIN = 1.0
"""s after which a process that died is started again."""
GRACE = 10.0
"""s that it has to write its file to the end."""
MODULE = "streams.server.readmodel.child_follower"
AFTER_END = "after-end"
"""What a process is told that follows one which ended by itself, or was ended by somebody else: a fold may do so each time."""


class FollowerProcess:
    """`model` is told all that the process tells. The process reads its settings itself, in the same folder."""

    def __init__(self, model: FollowerListener, address: str, folder: Path) -> None:
        self._model, self._address, self._folder = model, address, folder
        self._reports = WatchedReports(model, "the process that follows Kafka")
        self._words: Sequence[str] = ()
        """What the next process is told, beside the address."""

    def run(self, stopped: threading.Event) -> None:
        while not stopped.is_set():
            why = self._follow(stopped)
            if stopped.is_set():
                return
            log.error("%s", why)
            self._model.fault(FAULT, why)
            stopped.wait(AGAIN)

    def _follow(self, stopped: threading.Event) -> str:
        """Why a process has ended, or was not started. Nobody else would start it again."""
        try:
            with shared_file() as folds:
                number = folds.fileno()
                watch = FoldWatch(number)  # first: if it cannot be made, no process is left that nobody listens to
                command = [sys.executable, "-P", "-m", MODULE, self._address, str(number), *self._words]
                process = subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=self._folder, pass_fds=[number]
                )
        except OSError as error:  # such as no descriptor or no memory left
            return f"the process that follows Kafka cannot be started ({error}); that is tried again"
        self._reports.begin()
        with process:
            try:
                threading.Thread(target=self._watch, args=(process, watch, stopped), daemon=True).start()
                self._listen(process)
                self._words = (AFTER_END,)
                return f"the process that follows Kafka ended with {process.wait()}, and is started again"
            except Exception as error:  # noqa: BLE001 - such as no descriptor left: else nobody would listen any more
                process.kill()
                what = str(error) or "its file is not there"
                return f"the read model cannot be read ({what}); the process that writes it is started again"

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None, "it was made with a pipe"
        decoder = msgspec.json.Decoder(FollowerReport)
        for line in process.stdout:
            report = decoder.decode(line)
            if report.log is None:
                self._reports.take(report)
            else:
                level, name, text = report.log
                logging.getLogger(name).log(level, "%s", text)

    def _watch(self, process: subprocess.Popen[bytes], watch: FoldWatch, stopped: threading.Event) -> None:
        """Until it has ended: when the server stops, and at the latest by itself."""
        while not stopped.wait(0.2):
            if process.poll() is not None:
                return
            self._reports.look()
            if self._reports.slow(watch.look()):
                process.send_signal(signal.SIGUSR1)  # it writes where its threads are to stderr, whatever they do
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:  # what it has not written is read again
            process.kill()
