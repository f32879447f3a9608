"""The pipes to the process with the other code, which may end, fail, or say nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

from streams.errors import HistoryError
from streams.history.code.code_messages import Failed, read_answer, read_message, write_message
from streams.history.recorded_event import position_name
from streams.history.stored.stored_events import StoredRow


class CodePipe:
    """The parent's side. `sent` is what the child was sent and has not answered yet.

    `give_up` ends the other process, which is done if it says nothing for `patience` seconds.
    """

    def __init__(
        self,
        requests: IO[bytes],
        answers: IO[bytes],
        sent: Sequence[Sequence[StoredRow]],
        patience: float,
        give_up: Callable[[], None] | None,
    ) -> None:
        self._requests, self._answers, self._sent, self._patience, self._give_up = requests, answers, sent, patience, give_up
        self._gave_up = False

    def tell(self, message: object) -> None:
        """Raises HistoryError if it has ended, with what it has said last."""
        try:
            with self._bounded():
                write_message(self._requests, message)
        except OSError as error:
            while self._answer() is not None:  # it may have said why
                pass
            raise self._ended() from error

    def receive(self, kind: type[Any]) -> Any:
        """Its next answer, which is of this kind. Raises HistoryError if it has failed, or ended."""
        answer = self._answer()
        if answer is None:
            raise self._ended()
        if not isinstance(answer, kind):
            raise HistoryError(
                f"the process with the other code said {type(answer).__name__}; {kind.__name__} was expected"
            )
        return answer

    def _answer(self) -> Any:
        """None: there is no other one. Raises HistoryError if the other code has failed."""
        try:
            with self._bounded():
                content = read_message(self._answers)
        except (OSError, EOFError):
            return None
        answer = None if content is None else read_answer(content)
        if isinstance(answer, Failed):
            raise HistoryError(f"the other code cannot tell this past: {answer.why}")
        return answer

    @contextmanager
    def _bounded(self) -> Iterator[None]:
        """Give up if it takes too long."""
        if self._give_up is None:
            yield
            return
        timer = threading.Timer(self._patience, self._end_it)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _end_it(self) -> None:
        self._gave_up = True
        if self._give_up is not None:
            self._give_up()

    def _ended(self) -> HistoryError:
        if not self._gave_up:
            return HistoryError("the process with the other code has ended; its last words are above")
        if not self._sent:
            return HistoryError(f"the other code has said nothing for {self._patience:.0f} s: does it load?")
        first = position_name(*self._sent[0][0][1:4])
        return HistoryError(
            f"the other code has said nothing for {self._patience:.0f} s: it was handling {first}, or one of the "
            f"{len(self._sent[0]):,} events from there on"
        )
