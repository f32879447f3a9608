"""The end of a block whose thread ends with it: a test that failed inside fails with its own words."""

from __future__ import annotations

import threading


def see_ended(thread: threading.Thread, what: str, failure: BaseException | None, seconds: float = 60.0) -> None:
    """Wait for a thread that was told to end. If it goes on, a test that failed before still fails with its own words."""
    thread.join(seconds)
    if not thread.is_alive():
        return
    problem = f"{what} did not end within {seconds:.0f} s"
    if failure is None:
        raise AssertionError(problem)
    failure.add_note(f"and {problem}")
