"""A server's projections are folded from the history that counts, while the past is corrected and goes on.

The number of cases is CORRECTION_CASES (15 unless it is set).
"""

from __future__ import annotations

import random
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given

from streams.history.branch.change import Change
from streams.server.readmodel import corrected_folds, projection_rebuild, refolded_projections
from tests.support.corrections import Corrected
from tests.support.followed import Followed, with_such_projections
from tests.support.pasts import made
from tests.unit.test_corrections import a_correction, a_live_event, cases, many, roots


@pytest.fixture(autouse=True)
def _in_small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projection_rebuild, "PIECE", 3)
    monkeypatch.setattr(refolded_projections, "TURN", 0.0)
    monkeypatch.setattr(corrected_folds, "LOOK_EVERY", 0.0)
    monkeypatch.setattr(corrected_folds, "ASK_EVERY", 0.0)
    monkeypatch.setattr(corrected_folds, "SHARE", 0)


def followed(kind: str, seed: int, folder: Path) -> tuple[random.Random, Corrected, Followed]:
    chosen, there = made(kind, seed)
    with_such_projections(there)
    here = Corrected(there)
    return chosen, here, Followed(here, folder)


def follow_a_little(chosen: random.Random, server: Followed) -> None:
    """It reads on, folds on, or starts again."""
    for _ in range(chosen.randint(0, 4)):
        what = chosen.random()
        if what < 0.5:
            server.take(chosen.randint(1, 20))
        elif what < 0.9:
            server.step()
        else:
            server.restart()


def follows(kind: str, seed: int, folder: Path) -> None:
    chosen, here, server = followed(kind, seed, folder)
    server.take(chosen.choice([None, 5]))
    for number in range(chosen.choice([1, 1, 2])):
        if not roots(here.past):  # all that there was is taken out
            break
        server.applied = False
        here.correct(a_correction(kind, chosen, here.past, f"new-{number}"))
        for _ in range(chosen.randint(0, 3)):
            here.go_on(chosen)
            a_live_event(kind, chosen, here)
            follow_a_little(chosen, server)
        here.finish()
        server.applied = True
        follow_a_little(chosen, server)
    for _ in range(3):
        a_live_event(kind, chosen, here)
        here.there.now += timedelta(minutes=chosen.choice([0, 30, 100_000]))
        here.finish()
        server.take()
        server.settle()
        assert server.rows() == server.counted()
        assert server.says_corrected
        follow_a_little(chosen, server)
    server.close()


@many
@given(*cases)
def test_projections_of_a_server_are_a_fresh_fold_of_the_history_that_counts(kind: str, seed: int) -> None:
    """With events between the steps, restarts, and a server that is behind; and then it says so."""
    with TemporaryDirectory() as folder:
        follows(kind, seed, Path(folder))


def test_what_comes_after_a_correction_is_folded_as_it_comes(tmp_path: Path) -> None:
    """All is folded again once for it, and not for each event that follows."""
    chosen, here, server = followed("bank", 5, tmp_path)
    server.take()
    here.correct(Change(remove=frozenset([roots(here.past)[0].exact_name])))
    here.finish()
    server.applied = True
    server.take()
    server.settle()
    before = len(server.folded)
    for _ in range(5):
        a_live_event("bank", chosen, here)
        here.there.settle()
        server.take()
        server.settle()
        assert server.rows() == server.counted()
    assert len(server.folded) == before == 1
    server.close()


def test_a_correction_that_is_known_before_its_events_is_waited_for(tmp_path: Path) -> None:
    """A server that has not read as far as the correction was planned says that it is not corrected."""
    _, here, server = followed("bank", 5, tmp_path)
    here.correct(Change(remove=frozenset([roots(here.past)[0].exact_name])))
    server.take(5)
    server.settle()
    assert (server.folded, server.says_corrected) == ([], False)
    server.take()
    server.settle()
    assert server.rows() == server.counted()
    assert not server.says_corrected, "it is not applied to its end"
    server.applied = True
    server.settle()
    assert (len(server.folded), server.says_corrected) == (1, True)
    server.close()


def test_without_the_corrections_a_server_says_that_it_is_not_corrected(tmp_path: Path) -> None:
    """As when their topic was deleted."""
    _, here, server = followed("bank", 5, tmp_path)
    here.correct(Change(remove=frozenset([roots(here.past)[0].exact_name])))
    assert here.finish() > 0
    here.stored.clear()
    server.take()
    server.settle()
    assert (server.folded, server.says_corrected) == ([], False)
    server.close()
