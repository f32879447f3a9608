"""The event loop of a server."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.applications import probe
from tests.support.memory_server import MemoryServer


def test_a_server_runs_in_the_loop_that_it_was_tested_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where another one is installed, which uvicorn would prefer; the one here is empty, so whoever takes it fails."""
    for name in ("uvloop", "uvicorn.loops.uvloop", "uvicorn.loops.auto"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "uvloop", ModuleType("uvloop"))
    with MemoryServer(probe.app(), tmp_path) as server:
        assert server.http.get("/-/live").status_code == 200
