"""What `make chaos` is told to run."""

from __future__ import annotations

import pytest

from tests.chaos.__main__ import arguments


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--only", "bank,nothing"], "'nothing' is none of: bank, timed, shop, mail"),
        (["--kinds", "worker kiled"], "'worker kiled' is none of: worker killed, worker stands still"),
        (["--faults", "-1"], "'-1' was given, and a whole number of at least 0 was expected"),
        (["--events", "many"], "'many' was given, and a whole number of at least 1 was expected"),
        (["--seeds", "0"], "a whole number of at least 1 was expected"),
    ],
)
def test_what_cannot_be_run_is_a_sentence(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The option, what was given, and what was expected."""
    with pytest.raises(SystemExit, match="2"):
        arguments(words)
    assert f"argument {words[0]}: " in (said := capsys.readouterr().err)
    assert sentence in said


def test_applications_and_kinds_are_lists() -> None:
    """With commas between; no faults at all are a run, too."""
    given = arguments(["--only", "bank, mail", "--kinds", "worker killed,broker killed", "--faults", "0"])
    assert (given.only, given.kinds, given.faults) == (["bank", "mail"], ["worker killed", "broker killed"], 0)
