"""Tables as a user and a program read them, and a reader that has seen enough."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from streams import Event
from streams.cli import run_command
from streams.cli.commands.tail import line_of
from streams.cli.output import screen
from streams.cli.output.screen import json_line, say, say_lines, talk
from streams.engine.readable import NAME, location, named, shortened
from streams.kafka.messages import LogEvent
from streams.testing import START
from tests.applications.bank.events import AccountCredit

ROOT = Path(__file__).parents[2]
HEADS = ("namespace", "lag", "accepted", "rejected", "duplicates", "emitted", "parked", "quarantined")


def shown(columns: int, name: str = "user") -> list[str]:
    """The lines of such a table as `retold status` shows."""
    return drawn(columns, HEADS, (name, *range(1, 8)), HEADS[1:])


def drawn(columns: int, heads: Sequence[str], row: Sequence[object], numbers: Sequence[str] = ()) -> list[str]:
    """The lines of a table of one row, as a program reads them; as wide as a screen of so many columns."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
        patch.setenv("COLUMNS", str(columns))
        screen._console.cache_clear()  # it knows how wide the screen was when it was made
        screen.table(heads, [row], right=numbers)
    screen._console.cache_clear()
    return said.getvalue().splitlines()


def test_a_table_in_a_pipe_is_lines_of_data() -> None:
    """No blank line before it or behind it, and nothing at the end of a line that a program would have to strip."""
    program = f"from streams.cli.output.screen import table; table({HEADS!r}, [('user', *range(1, 8))], right={HEADS[1:]!r})"
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, env={**os.environ, "COLUMNS": "100"}, capture_output=True, text=True, check=True, cwd=ROOT
    )
    lines = done.stdout.splitlines()
    assert lines == shown(100)
    assert [line for line in lines if line != line.rstrip() or not line] == []
    assert (lines[0].split(), lines[-1].split()) == ([*HEADS], ["user", "1", "2", "3", "4", "5", "6", "7"])


def test_a_row_in_a_pipe_is_one_line_however_long() -> None:
    """A program reads lines; only a terminal, or who sets COLUMNS, limits them."""
    program = "from streams.cli.output.screen import table; table(('event', 'why'), [('user-3@7', 'because ' * 40)])"
    command, environ = [sys.executable, "-c", program], {**os.environ}
    environ.pop("COLUMNS", None)
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True, cwd=ROOT)
    assert [line.strip() for line in done.stdout.splitlines()[2:]] == [f"user-3@7  {'because ' * 40}".rstrip()]


def test_what_is_cut_ends_with_an_ellipsis() -> None:
    """What is missing may say the opposite; what fits is as it was."""
    assert (shortened("never called", 12), shortened("never called", 6)) == ("never called", "never…")


def test_a_location_is_that_of_the_module() -> None:
    """Whatever folder the project is in, also of a package and of a single module."""
    assert location("shop.item", "/srv/a/shop/item.py", 3) == "shop/item.py:3"
    assert location("shop", "/srv/a/shop/__init__.py", 3) == "shop/__init__.py:3"
    assert location("shop", "/srv/a/shop.py", 3) == "shop.py:3"


def test_a_heading_is_never_broken() -> None:
    """Where the screen is too narrow for all of them, each value has a line of its own, with its name."""
    lines = shown(60)
    assert [line.split() for line in lines] == [
        [head, value] for head, value in zip(HEADS, ["user", *"1234567"], strict=True)
    ]
    assert len(shown(80)) == 3


def test_a_long_value_is_folded_before_anything_else() -> None:
    """It is all there, and what is short stays whole."""
    head, _, *folded = shown(80, "a" * 30)
    assert head.split() == [*HEADS]
    assert "".join(line.split()[0] for line in folded) == "a" * 30
    assert folded[0].split()[1:] == [*"1234567"]


@pytest.mark.parametrize("columns", [56, 60, 72, 80])
def test_what_is_short_stays_whole_beside_what_is_long(columns: int) -> None:
    """As in `retold parked list`; and no line is longer than the screen."""
    heads, short = ("offset", "status", "key", "event", "why"), ("user-3@1042", "unanswered")
    lines = drawn(columns, heads, (*short, "k" * 99, "e" * 99, "w" * 99))
    assert lines[0].split() == [*heads]
    assert lines[2].split()[:2] == [*short]
    assert max(map(len, lines)) <= columns
    assert "".join(lines[2:]).count("k") == 99


@pytest.mark.parametrize(
    "words", [["schemas", "list"], ["schemas", "list", "--json"], ["--help"], ["status", "--help"]]
)
def test_a_reader_that_has_seen_enough_is_no_error(words: list[str]) -> None:
    """`retold … | head -1` ends with 0 and says nothing, also where Rich writes; this reader leaves before the first line."""
    command = [sys.executable, "-m", "streams.cli", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert (process.wait(120), process.stderr.read()) == (0, "")


def test_a_reader_that_has_seen_enough_changes_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`retold check | head -1` in a pipeline that fails if one of its commands does: a breach is exit code 1 all the same."""
    monkeypatch.chdir(tmp_path)
    assert run_command(["new", "stock"]) == 0
    schema = {"type": "record", "namespace": "item", "name": "lose", "key": "item", "fields": [{"name": "item", "type": "string"}]}
    (tmp_path / "stock/schemas/item/lose.avsc").write_text(json.dumps(schema))
    command = [sys.executable, "-m", "streams.cli", "check"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path / "stock") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert (process.wait(120), "of the laws in stock" in process.stderr.read()) == (1, True)


@contextlib.contextmanager
def without_reader() -> Iterator[None]:
    """Stdout is a pipe that its reader has closed."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8") as closed, pytest.MonkeyPatch.context() as patch:  # noqa: PTH123 - it has no path
        patch.setattr(sys, "stdout", closed)
        screen._console.cache_clear()
        yield
        screen.discard_output()
    screen._console.cache_clear()


@pytest.mark.parametrize(
    "show", [lambda: say("a"), lambda: screen.table(["a"], [["b"]]), lambda: screen.say_styled([[("a", "bold")]])]
)
def test_what_nobody_reads_ends_no_command_that_has_more_to_do(show: Callable[[], None]) -> None:
    """What is shown first goes nowhere, as does all behind it. Another command ends."""
    with without_reader():
        with screen.read_or_not():
            show()
            show()
        show()
    with without_reader(), pytest.raises(screen.OutputClosed):
        show()


FORGED = "a\x1b[2K\x9b31m\u202e\r\x7f"
SPELT = r"a\x1b[2K\x9b31m\u202e\x0d\x7f"
IN_JSON = r"a\u001b[2K\u009b31m\u202e\r\u007f"


def test_nothing_that_is_shown_drives_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Keys, reasons and names come from elsewhere. A program reads what they are: JSON has its own spelling."""
    say(FORGED)
    talk(FORGED)
    json_line({"key": FORGED})
    out, err = capsys.readouterr()
    said, line = out.splitlines()
    assert (said, err) == (SPELT, f"{SPELT}\n")
    assert line == f'{{"key": "{IN_JSON}"}}'
    assert json.loads(line) == {"key": FORGED}
    assert SPELT in drawn(100, ("key",), (FORGED,))[-1]
    assert SPELT in drawn(100, (FORGED, "version 1"), ("a", "b"))[0], "`retold get user KEY` has the key as a heading"
    assert IN_JSON in drawn(200, ("names",), ({"name": FORGED},))[-1]


def test_a_line_feed_in_a_value_makes_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    """It would look like an event or a row of its own; only what has lines by nature, such as a traceback, has them."""
    forged = "u1\n12:00:00 user-0:1 user.signup u2"
    say(forged)
    assert len(drawn(200, ("key", "why"), (forged, forged))) == 3
    say_lines("one\ntwo")
    assert capsys.readouterr().out.splitlines() == [r"u1\n12:00:00 user-0:1 user.signup u2", "one", "two"]


def test_a_line_of_tail_is_a_line() -> None:
    """Whatever is in its event: key, fields and the reason of a rejection."""
    data = AccountCredit(account="o\n1", transfer=FORGED, amount=1)
    event = LogEvent(
        namespace="account", partition=0, offset=1, sequence=1, event=Event(data=data, id="i", time=START),
        recorded=START, outcome="rejected", reason=f"no\n{FORGED}",
    )  # fmt: skip
    line = line_of(event)
    assert line_of(event, 40) == f"{line[:39]}…"
    assert line.isprintable()
    nobody = AccountCredit(account="", transfer="t", amount=1)
    assert " account.credit '' " in line_of(replace(event, event=Event(data=nobody, id="i", time=START)))
    assert (line.count(SPELT), line.count(r"o\n1"), line.count(r"no\n")) == (2, 1, 1)


def test_an_argument_that_is_refused_does_not_drive_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Somebody may have pasted it."""
    assert run_command([FORGED]) == 2
    assert run_command(["tail", "--last", FORGED]) == 2
    err = capsys.readouterr().err
    assert "\x1b[2K" not in err
    assert "\x9b" not in err


def test_a_name_that_strangers_choose_is_one_line_that_can_be_read() -> None:
    """Kafka takes ids of 32 KiB, with whatever is in them."""
    assert named("billing-1") == "billing-1"
    assert named("a\nb\tc") == r"a\nb\tc"
    assert named("x" * 30_000) == f"{'x' * NAME}…"
