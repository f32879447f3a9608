"""Two short runs of `make chaos`: and what would be wrong is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.kafka.topics import topic_names
from tests.applications import bank
from tests.applications.bank.events import AccountOpen
from tests.chaos.chaos_oracle import ChaosOracle, Findings
from tests.chaos.chaos_publisher import SOURCE, Published
from tests.chaos.plan import Size, plan_of
from tests.chaos.seed_run import SeedRun
from tests.support.inbox import Foreign
from tests.support.workers import Running, settings, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

SHORT = Size(events=1_200, seconds=12.0, faults=5)


@pytest.mark.parametrize(("seed", "application"), [(1, "bank"), (5, "shop")])
def test_a_short_run_is_as_it_should_be(tmp_path: Path, seed: int, application: str) -> None:
    """Each event once, in order, by the handlers alone; nothing is left to do. In neither is the disk full (docs/chaos.md)."""
    result = SeedRun(plan_of(seed, [application], SHORT), tmp_path).run()
    assert (result.hung, result.failures) == ("", [])
    assert result.published == SHORT.events
    assert result.events > SHORT.events
    assert len(result.happened) + len(result.not_run) == SHORT.faults


NAMES = ["e1", "e2", "e3"]


class Opened:
    """Three accounts were opened, one of them twice by a record that is written into the log by hand."""

    def __init__(self, foreign: Foreign) -> None:
        self.foreign = foreign
        self.published = [Published("account", "a", name, 0.0) for name in NAMES]

    def findings(self, published: list[Published]) -> Findings:
        confirmed = {number: (0, 1_000 + number) for number in range(len(published))}
        return ChaosOracle(self.foreign, published, confirmed, Path("/dev/null")).examine()


@pytest.fixture(scope="module")
def opened(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    state = tmp_path_factory.mktemp("opened")
    app, config = bank.app(), settings(state, f"{state.name}.")
    foreign = Foreign(app, config, broker)
    with Running(app, config, broker) as worker:
        for name in NAMES:
            foreign.publish(AccountOpen(account="a", balance=1), ce_id=name, ce_source=SOURCE)
        until(lambda: worker.counted("account", "accepted") + worker.counted("account", "rejected") == 3, "not handled")
    return Opened(foreign)


def test_the_oracle_finds_nothing_where_nothing_is_wrong(opened: Opened) -> None:
    """Three events, of which two are rejected: each is in the log once."""
    found = opened.findings(opened.published)
    assert (list(found.all()), found.events) == ([], 3)


def test_the_oracle_finds_what_is_lost(opened: Opened) -> None:
    """An event that the broker confirmed, and that is in no log."""
    missing = Published("account", "a", "e4", 0.0)
    assert len(opened.findings([*opened.published, missing]).lost) == 1


def test_the_oracle_finds_another_order(opened: Opened) -> None:
    """Of one key, by its publisher's order."""
    assert len(opened.findings(opened.published[::-1]).misordered) == 1


def test_the_oracle_finds_what_is_there_twice(opened: Opened) -> None:
    """Its log is not what the handlers make of it either. To be run last: the record stays."""
    log = topic_names(opened.foreign.config.prefix, "account").log
    first = opened.foreign.read("account-log")[0]
    producer = opened.foreign.clients.producer()
    producer.produce(log, first.value(), first.key(), first.partition() or 0, headers=first.headers())
    assert producer.flush(30) == 0
    found = opened.findings(opened.published)
    assert len(found.doubled) == 1
    assert found.unequal
