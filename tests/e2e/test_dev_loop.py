"""Changing an application while it runs: `retold run --reload`, `retold reset`, `retold get` of a projection."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.processes import Process, environment, retold
from tests.support.workers import until


class Shop:
    """A new application, and the variables of a project of its own on a broker that the tests share."""

    def __init__(self, below: Path, broker: str, prefix: str) -> None:
        self.folder, self.log, self.prefix, self.broker = below / "shop", below / "run.log", prefix, broker
        self.env = environment(broker, prefix, below / "state", partitions="1")
        self.run("new", "shop", folder=below)

    def run(self, *words: str, folder: Path | None = None, expected: int = 0) -> subprocess.CompletedProcess[str]:
        done = retold(*words, env=self.env, folder=folder or self.folder)
        assert done.returncode == expected, done.stdout + done.stderr
        return done

    def change(self, file: str, old: str, new: str) -> None:
        path = self.folder / file
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    def said(self, text: str, times: int = 1) -> bool:
        return self.log.read_text(encoding="utf-8").count(text) >= times


@pytest.fixture
def shop(tmp_path: Path, broker: str, prefix: str) -> Shop:
    return Shop(tmp_path, broker, prefix)


def test_a_change_is_taken_over_while_it_runs_and_a_broken_one_is_not(shop: Shop) -> None:
    """With the breach, also if it begins broken; a draft whose shape changed says which command helps; then it begins again."""
    receive = ("publish", "item.receive", "item=tea", "count=3", "--wait", "60")
    shop.change("shop/item.py", "@item.handles(ItemReceive)", "@item.handles(ItemReceive")
    with Process("run", "--reload", env=shop.env, log=shop.log, folder=shop.folder) as run:
        until(lambda: shop.said("Nothing is started. Waiting for a change of a file"), "it does not wait")
        shop.change("shop/item.py", "@item.handles(ItemReceive", "@item.handles(ItemReceive)")
        until(lambda: shop.said("Ready: item"), "it is not ready")
        shop.run(*receive)
        shop.change("shop/item.py", "@item.handles(ItemShip)", "@item.handles(ItemShip")
        until(lambda: shop.said("the laws are broken; what ran before keeps running:"), "the breach is not shown")
        assert shop.said("'(' was never closed")
        shop.change("shop/item.py", "@item.handles(ItemShip", "@item.handles(ItemShip)")
        until(lambda: shop.said("restarting the worker and the server"), "it is not restarted")
        until(lambda: shop.said("Ready: item", 2), "it is not said that it is ready again")
        shop.change("shop/item.py", "raise Rejected(f\"{stock.count} are in stock\")", "raise Rejected('sold out')")
        until(lambda: shop.said("restarting the worker and the server", 2), "it is not restarted")
        ship = ("publish", "item.ship", "item=tea", "count=99", "to=Ada", "--wait", "60")
        until(lambda: "sold out" in shop.run(*ship, expected=1).stderr, "the new handler does not answer")
        assert shop.run("reset", "--broker", shop.broker, "--yes", "shop", expected=3).stderr.startswith("a worker handles ")
        # A draft changes its shape: a field without a default.
        count = '{"name": "count", "type": "long"}'
        shop.change("schemas/item.avsc", count, f'{count}, {{"name": "x", "type": "long"}}')
        shop.change("shop/item.py", "ItemRow(", "ItemRow(x=1, ")
        shop.run("schemas", "generate")
        until(lambda: shop.said("`retold reset`"), "the command is not named")
        until(lambda: shop.said("The worker has ended; it is started again when a file"), "the worker has not ended")
        shop.change("shop/item.py", "@item.handles(ItemShip)", "@item.handles(ItemShip")
        until(lambda: shop.said("the worker starts when they are kept again:"), "it is not said what does not run")
        assert run.process.poll() is None
    shop.change("shop/item.py", "@item.handles(ItemShip", "@item.handles(ItemShip)")
    other = shop.run("reset", "--broker", shop.broker, "--yes", "store", expected=3)
    assert "this application's name is 'shop'" in other.stderr
    assert "`retold reset --broker " in shop.run("reset", expected=3).stderr
    assert f"deleted {shop.prefix}item\n" in shop.run("reset", "--broker", shop.broker, "--yes", "shop").stdout
    assert "is missing" in shop.run("get", "item", expected=3).stderr


def test_rows_are_built_while_their_worker_waits_for_them(shop: Shop) -> None:
    """`retold run` with a generation that is not built keeps its broker, which builds it, and its worker begins then."""
    receive = ("publish", "item.receive", "item=tea", "count=3", "--wait", "60")
    with Process("run", "--no-server", env=shop.env, log=shop.log, folder=shop.folder):
        until(lambda: shop.said("Ready: item"), "it is not ready")
        shop.run(*receive)
    shop.change("shop/item.py", "row=ItemRow", "row=ItemRow, generation=2")
    with Process("run", "--no-server", env=shop.env, log=shop.log, folder=shop.folder) as run:
        until(lambda: shop.said("Run `retold rebuild start item` with this code"), "it is not said what to do")
        until(lambda: shop.said("Everything else keeps running"), "the worker has not ended")
        assert run.process.poll() is None
        shop.run("rebuild", "start", "item")
        until(lambda: shop.said("Ready: item", 2), "its worker does not begin")
        shop.run(*receive[:-2], "--id", "other", "--wait", "60")
    assert '"count": 6' in shop.run("get", "item", "tea", "--json").stdout


def test_a_projection_is_queried(broker: str, prefix: str, tmp_path: Path) -> None:
    """Its rows, one row, as JSON; up to which sequences, and what is not there."""
    env = environment(broker, prefix, tmp_path, app="tests.applications.shop:app", partitions="2")
    assert retold("topics", "--create", env=env).returncode == 0
    empty = retold("get", "charges", env=env)
    assert (empty.returncode, empty.stdout) == (0, "")
    unknown = retold("get", "charge", env=env)
    assert (unknown.returncode, "did you mean charges?" in unknown.stderr) == (2, True)


def test_reset_deletes_the_data_of_a_broker_that_does_not_run(tmp_path: Path) -> None:
    """And the notes of workers; what is not there is said."""
    state = tmp_path / "state"
    for file in ("kafka/data/meta.properties", "notes/user.breaker.json"):
        (state / file).parent.mkdir(parents=True, exist_ok=True)
        (state / file).write_text("")
    env = {name: value for name, value in os.environ.items() if not name.startswith("RETOLD_")}
    env |= {"RETOLD_STATE": str(state), "RETOLD_APP": "processors:app"}
    first, second = retold("reset", env=env), retold("reset", env=env)
    assert (first.returncode, first.stdout) == (0, f"deleted {state / 'kafka'}\n")
    assert [(state / name).exists() for name in ("kafka", "notes")] == [False, False]
    assert (second.returncode, second.stdout) == (0, "")
    assert "has no data on this machine" in second.stderr


ODD = "lä den%\\:=#,${x}{y}\n'\"*🫖 "
"""What a properties file, a list of folders or a pattern of names would take for its own; and a locale for unreadable."""


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    """The project's, and so that of its state, and the one above it; data are there when it runs again, whatever the locale."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("RETOLD_", "LC_", "LANG"))}
    env |= {"RETOLD_HTTP_PORT": "0", "RETOLD_PARTITIONS": "1", "LC_ALL": "C"}
    env |= {"XDG_STATE_HOME": str(tmp_path / f"{ODD}states")}
    folder, log = tmp_path / "projects" / ODD, tmp_path / "run.log"
    folder.parent.mkdir()
    new = [sys.executable, "-m", "streams.cli", "new", "shop"]
    subprocess.run(new, cwd=folder.parent, env=env, check=True, capture_output=True)
    (folder.parent / "shop").rename(folder)

    def said(*words: str) -> str:
        command = [sys.executable, "-m", "streams.cli", *words]
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    for times in (1, 2):
        with Process("run", env=env, log=log, folder=folder) as run:
            until(lambda times=times: log.read_text(encoding="utf-8").count("Ready: item") == times, "it is not ready")
            said("publish", "item.receive", "item=tea", "count=3", "--wait", "60")
            assert f'"count": {3 * times}' in said("get", "item", "--json")
            assert run.stop() == 0
    assert sorted(path.name for path in folder.parent.iterdir()) == [folder.name]
