"""The branch that a change leads to, computed until it is right about effects that stand before their causes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from streams.errors import EffectBeforeCause, StreamsError
from streams.history.branch.branch_queue import BranchTurn
from streams.history.branch.branch_run import BranchRun
from streams.history.branch.change import Change
from streams.history.branch.early_effects import EarlyChange, EarlyChanges, PresumedEffects, as_it_was, early_refusal
from streams.history.recorded_event import OrderKey

MOST = 50
"""Runs. Each goes at least one such effect further along what leads from one to the next."""


def changed_run(make: Callable[[], BranchRun], change: Change) -> BranchRun:
    """`make` gives a run that has not begun. Nearly always one is enough.

    Raises EffectBeforeCause if the branch is never right about them, and as `what_if`.
    """
    early: dict[OrderKey, EarlyChange] = {}
    found: dict[OrderKey, EarlyChange] = {}
    put: Mapping[OrderKey, BranchTurn] = {}
    for _ in range(MOST):
        run = make()
        run.begin(change, PresumedEffects(early, put))
        try:
            run.decide_all()
            found, said = {**dict(_not_reached(run, early)), **run.lineage.early.found}, run.lineage.early.said
        except StreamsError:  # it may be so because an effect was taken for what it is not
            found, said = run.lineage.early.found, {**put, **run.lineage.early.said}
            if not found and said == put:
                raise
        if not found and said == put:
            return run
        early |= found
        put = said
    for it in found.values():
        raise early_refusal(it)
    raise EffectBeforeCause(f"the branch does not end: it was computed {MOST} times for effects that stand before their causes")


def _not_reached(run: BranchRun, early: EarlyChanges) -> Iterator[tuple[OrderKey, EarlyChange]]:
    """Effects whose causes are as they were."""
    for order, it in early.items():
        if not run.lineage.has_seen(it.cause) and it.now != (was := as_it_was(it.effect)):
            yield order, it._replace(now=was)
