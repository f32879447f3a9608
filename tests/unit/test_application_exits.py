"""Code of an application that raises SystemExit, or another exception that is no Exception: it is reported, and ends nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from streams import App, Event, Gateway
from streams.codec import codec_of
from streams.config import load
from streams.data import EventData
from streams.engine.batch import PartitionWork
from streams.engine.engine import Engine
from streams.errors import ConfigError
from streams.eventfiles.file_events import BadRow, EventMaker
from streams.eventfiles.row import Row
from streams.load import application
from streams.testing import World
from streams.worker.attempt_watch import AttemptWatch, StuckNote
from streams.worker.notes import Note
from tests.applications import probe, shop
from tests.applications.probe.events import ProbeDo
from tests.applications.shop.events import PaymentCharge, PaymentCharged
from tests.simulator.time import VirtualClock


class Panic(BaseException):
    """As libraries in other languages raise them."""


@pytest.mark.parametrize(
    ("statement", "said"), [("import sys; sys.exit(0)", "SystemExit: 0"), ("class P(BaseException): pass\nraise P('x')", "P: x")]
)
def test_a_module_that_ends_python_cannot_be_loaded(tmp_path: Path, statement: str, said: str) -> None:
    """The command would end with its exit code, which may be 0, and say nothing."""
    name = f"exits_{len(statement)}"
    (tmp_path / f"{name}.py").write_text(statement)
    with pytest.raises(ConfigError, match=f"{said}; so {name}:app cannot be loaded"):
        application(load({"RETOLD_APP": f"{name}:app"}, tmp_path))


def test_a_module_with_null_bytes_cannot_be_loaded(tmp_path: Path) -> None:
    """Python does not say where they are."""
    (tmp_path / "null_bytes.py").write_bytes(b"a = 1\0")
    with pytest.raises(ConfigError, match=r"^(?!None).*so null_bytes:app cannot be loaded"):
        application(load({"RETOLD_APP": "null_bytes:app"}, tmp_path))


@pytest.mark.parametrize("raised", [SystemExit(0), KeyboardInterrupt(), GeneratorExit(), Panic("x")])
def test_whatever_a_handler_raises_in_a_worker_parks_its_event(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, raised: BaseException
) -> None:
    """Ctrl-C is raised in the main thread alone, and a worker calls handlers in others."""

    def raising(row: object, key: str) -> object:
        raise raised

    monkeypatch.setitem(probe.WRONG, "switch", raising)
    app = probe.app()
    codec = codec_of(app)
    engine = Engine(app, "probe", codec)
    record = (0, b"k", codec.encode(ProbeDo(name="k", how="switch")), None, 0)
    watch = AttemptWatch("probe", "topic-id", lambda number: Note(tmp_path / f"{number}.json", StuckNote), VirtualClock())
    *_, changes = engine.process(engine.image(), PartitionWork(records=[record]), 1, attempts=watch)
    assert [type(raised).__name__ in aside.header.reason for aside in changes.set_aside] == [True]


@pytest.mark.parametrize("raised", [SystemExit(0), GeneratorExit(), Panic("x")])
def test_a_function_for_a_row_that_ends_python_makes_a_bad_row(raised: BaseException) -> None:
    """The rows behind it would be left out, perhaps with exit code 0."""

    def from_row(row: Mapping[str, Any]) -> EventData:
        raise raised

    app = probe.app()
    made = EventMaker(from_row, codec_of(app), None, 1_000)
    [bad] = made.events([Row(1, {"name": "k"})])
    assert isinstance(bad, BadRow)
    assert type(raised).__name__ in bad.problem


def test_a_gateway_that_ends_python_has_failed_in_a_world() -> None:
    """As in a worker."""

    def leaves(event: Event[PaymentCharge]) -> PaymentCharged:
        raise SystemExit(0)

    app = App(name="leaves", namespaces=[shop.payment], gateways=[Gateway(PaymentCharge, leaves, answers=[PaymentCharged])])
    world = World(app)
    world.when(PaymentCharge(order="o1", amount=1), id="c1")
    assert [call.reason for call in world.calls_failed] == ["SystemExit: 0"]
