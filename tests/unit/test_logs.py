"""What a worker's log looks like to whoever reads it on a screen."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from streams.cli.process import logging_setup
from streams.codec import codec_of
from streams.config import load
from streams.engine.engine import Engine
from streams.engine.event_handlers import Inbox
from streams.engine.readable import harmless, harmless_json
from tests.applications import probe
from tests.applications.probe.events import ProbeDo


@pytest.fixture(autouse=True)
def afterwards() -> Iterator[None]:
    """Other tests find structlog as it was."""
    yield
    structlog.reset_defaults()


def worker_log(folder: Path) -> structlog.typing.FilteringBoundLogger:
    """To be asked for within a test: it writes to the stderr of that moment."""
    logging_setup.set_up_worker(load({}, start=folder))
    return structlog.get_logger("retold.worker")  # type: ignore[no-any-return]  # as structlog declares it


def raised() -> str:
    """What the engine says of an event whose handler raises, on a broker with a prefix."""
    app = probe.app()
    codec = codec_of(app)
    engine = Engine(app, "probe", codec, inbox=Inbox("p.probe"))
    record = (7, b"k", codec.encode(ProbeDo(name="k", how="raise")), None, 0)
    [(_, text)] = engine.handle(engine.image(3), [record], 1).raised
    return text


def test_a_traceback_is_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A sentence that names the event and the command that shows it, then the traceback as Python writes it."""
    worker_log(tmp_path).error("parked", namespace="probe", detail=raised())
    first, second, *rest = capsys.readouterr().err.splitlines()
    sentence = "probe.do at p.probe-3@7 was parked: its handler raised; see `retold parked show probe-3@7`"
    assert sentence in first
    assert "error" in first
    assert second == "Traceback (most recent call last):"
    assert rest[-1] == "RuntimeError: told to raise for k"
    assert not [line for line in rest if "\\n" in line]


def test_the_command_that_shows_an_event_is_named_only_if_it_is_parked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of one whose handler has not returned yet, it would find nothing."""
    detail = "the handler of probe.do at p.probe-3@7 (key 'k') has not returned for 7.5 s, so this process ends"
    worker_log(tmp_path).error("namespace ended", namespace="probe", detail=detail)
    assert "retold parked show" not in capsys.readouterr().err


@pytest.mark.parametrize("mark", ["\x1b", "\x9b", "\u061c", "\u200e", "\u200f", "\u2028", "\u202e", "\u2066"])
def test_no_mark_that_drives_a_terminal_or_turns_text_is_shown(mark: str) -> None:
    """Whatever is left of letters, as in right-to-left text, is shown."""
    assert mark not in harmless(f"a{mark}b")
    assert mark not in harmless_json(f"a{mark}b")
    assert harmless("\u05d0\u200d\u05d1") == "\u05d0\u200d\u05d1"


def test_all_else_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With its values behind it, and a detail without lines is a sentence."""
    log = worker_log(tmp_path)
    log.error("waits", at="probe-3@7", reason="no schema")
    log.error("parked", namespace="probe", detail="it had to be")
    waits, parked = capsys.readouterr().err.splitlines()
    assert waits.rstrip().endswith("at=probe-3@7 reason='no schema'")
    assert "parked: it had to be" in parked


def test_a_line_that_cannot_be_written_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stderr may be a file on a full disk; a handler that raises is parked all the same, and so is one that never returns."""
    log = worker_log(tmp_path)
    with Path("/dev/full").open("w", encoding="utf-8", buffering=1) as full:
        monkeypatch.setattr(sys, "stderr", full)
        log.error("event parked", namespace="probe", detail=raised())
        with pytest.raises(OSError, match="No space"):
            print("the disk is full", file=full, flush=True)
        monkeypatch.undo()
        with contextlib.suppress(OSError):
            full.close()


def test_a_detail_never_hides_its_event(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Operators look for the event's words, as the page on troubleshooting gives them; they are not said twice."""
    log = worker_log(tmp_path)
    log.warning("topics cannot be compared; nothing is committed until they are", detail="the broker did not answer in 1 s")
    log.error("namespace ended", detail="namespace ended: no inbox")
    first, second = capsys.readouterr().err.splitlines()
    assert "topics cannot be compared; nothing is committed until they are: the broker did not answer in 1 s" in first
    assert second.count("namespace ended") == 1


FORGED = "\x1b[2Kall is well\x9b31m\u202e"
SPELT = "\\x1b[2Kall is well\\x9b31m\\u202e"


def test_nothing_that_is_logged_drives_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever library says it: names, errors and events come from elsewhere, and could hide lines or forge them."""
    log = worker_log(tmp_path)
    log.error("parked", namespace="probe", detail=f"{FORGED}\n{FORGED}", error=FORGED)
    logging.getLogger("retold.kafka").warning("%s", FORGED)
    try:
        raise RuntimeError(FORGED)
    except RuntimeError:
        log.exception("a fault")
    said = capsys.readouterr().err
    assert said.count(SPELT) == 4
    assert "\\" + SPELT[:4] in said  # a value in quotes, whose backslashes are doubled
    assert not [char for char in "\x1b\x9b\u202e" if char in said]


class Odd(Exception):
    def __repr__(self) -> str:
        return f"Odd({FORGED})"


def test_a_value_that_is_no_text_does_not_drive_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its repr is written, which a class makes as it likes; numbers stay numbers."""
    worker_log(tmp_path).error("parked", error=Odd(), keys=[Odd()], count=3)
    said = capsys.readouterr().err
    assert said.count("x1b[2Kall is well") == 2
    assert "count=3" in said
    assert not [char for char in "\x1b\x9b\u202e" if char in said]


LAST_RESORTS = """
import logging, sys, threading
from streams.cli.process import logging_setup
from streams.config import load
logging_setup.set_up(load({}))
text = "\x1b[2Kall is well"
def fail():
    raise ValueError(text)
class Fails:
    def __del__(self):
        raise ValueError(text)
logging.getLogger("asyncio").error(text)
thread = threading.Thread(target=fail)
thread.start()
thread.join()
Fails()
fail()
"""


def test_what_nobody_catches_does_not_drive_the_terminal(tmp_path: Path) -> None:
    """In any thread, in a finaliser, and from a library whose logger nobody has set up."""
    done = subprocess.run(
        [sys.executable, "-c", LAST_RESORTS], capture_output=True, text=True, check=False, timeout=60,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.count("\\x1b[2Kall is well") == 4
    assert "\x1b" not in done.stderr


def test_a_traceback_shows_no_local_variables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One of them may be a secret."""
    log = worker_log(tmp_path)
    password = "".join(["sesa", "me"])
    try:
        raise RuntimeError(str(len(password)))
    except RuntimeError:
        log.exception("a fault")
    said = capsys.readouterr().err
    assert said.rstrip().endswith("RuntimeError: 6")
    assert "sesame" not in said


def test_an_error_with_lines_is_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whichever value has them: the reason that ends a namespace quotes a traceback."""
    log = worker_log(tmp_path)
    log.error("namespace ended", namespace="probe", detail="namespace ended: it stops:\nTraceback\n  here")
    log.warning("failed", namespace="probe", error="one\ntwo", reason="three\nfour")
    said = capsys.readouterr().err.splitlines()
    assert [line.split("] ")[-1].strip() for line in said] == [
        "namespace ended: it stops:     namespace=probe", "Traceback", "here",
        "failed                         error=one namespace=probe reason=three", "two", "four",
    ]  # fmt: skip
