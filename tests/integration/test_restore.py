"""Restoring a partition whose records another worker wrote."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

import pytest

from streams import App, Event, Namespace, Outcome
from streams.config import Config
from tests.applications import probe
from tests.applications.probe.events import EchoHear, ProbeDo, ProbeRow
from tests.support.inbox import Foreign
from tests.support.workers import Running, settings, until


class NewRow(ProbeRow, frozen=True, kw_only=True):
    """The next version of the probe's row, which tells who counted."""

    schemas: ClassVar[tuple[str, ...]] = (
        *ProbeRow.schemas,
        ProbeRow.schemas[0].replace('"fields":[', '"fields":[{"name":"by","type":"string","default":""},'),
    )
    by: str = ""


def newer() -> App:
    """The probe, deployed anew: an echo as before, and rows of the next version."""
    space = Namespace("probe", row=NewRow)

    @space.handles(ProbeDo, emits=[EchoHear])
    def do(row: NewRow | None, event: Event[ProbeDo]) -> Outcome[NewRow]:
        return Outcome(NewRow(count=(row.count if row else 0) + 1, texts=MappingProxyType({}), by="new"))

    return App(name="probe", namespaces=[space, probe.echo])


@pytest.fixture
def config(tmp_path: Path, prefix: str) -> Config:
    return settings(tmp_path, prefix)


def test_an_older_worker_takes_over_what_a_newer_one_wrote(config: Config, broker: str) -> None:
    """While a deployment rolls: it learns the schemas that were published after it started, and goes on."""
    keys = [f"k{number}" for number in range(12)]
    foreign = Foreign(probe.app(), config, broker)
    with Running(probe.app(), config, broker, ["probe"]) as old:
        with Running(newer(), config, broker, ["probe"]) as new:
            foreign.publish(*(ProbeDo(name=key) for key in keys))
            until(lambda: len(old.rows("probe")) + len(new.rows("probe")) == 12, "not handled")
            assert new.rows("probe"), "the newer worker had no partition"
        foreign.publish(*(ProbeDo(name=key) for key in keys))
        until(
            lambda: old.ended() or old.rows("probe") == dict.fromkeys(keys, ProbeRow(count=2, texts={})), "not gone on"
        )
        assert not old.ended(), old.errors
