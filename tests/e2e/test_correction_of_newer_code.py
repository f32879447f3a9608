"""A correction puts in an event of a newer schema, and then the code before is deployed again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.support.processes import Process, environment, retold
from tests.support.workers import until

RECEIVE = "schemas/item/receive.avsc"
SUPPLIER = {"name": "supplier", "type": "string", "default": "unknown"}
AS_OF = ("--as-of", "2030-01-01T00:00:00Z")


class Shop:
    """A new application, released, in one folder; and with a field more of its deliveries in another."""

    def __init__(self, below: Path, broker: str, prefix: str) -> None:
        self.below, self.first, self.second = below, below / "shop", below / "newer" / "shop"
        self.env = environment(broker, prefix, below / "state", partitions="1")
        self.said("new", "shop", folder=below)
        self.said("schemas", "release")
        shutil.copytree(self.first, self.second)
        file = self.second / RECEIVE
        schema = json.loads(file.read_text(encoding="utf-8"))
        file.write_text(json.dumps(schema | {"version": 2, "fields": [*schema["fields"], SUPPLIER]}), encoding="utf-8")
        self.said("schemas", "generate", folder=self.second)

    def said(self, *words: str, folder: Path | None = None) -> str:
        done = retold(*words, env=self.env, folder=folder or self.first)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def row(self, *words: str) -> Any:
        return json.loads(self.said("get", "item", "tea", "--json", *words))["row"]

    @contextmanager
    def worker(self, folder: Path, count: int) -> Iterator[None]:
        log = self.below / f"worker-{count}.log"
        with Process("worker", env=self.env, log=log, folder=folder):
            until(lambda: "Ready: item" in log.read_text(encoding="utf-8"), "no worker is ready")
            yield


def test_code_that_is_older_than_a_correction_can_tell_the_past(broker: str, prefix: str, tmp_path: Path) -> None:
    """It has the schema of what was put in from Kafka, and a server's file and an exported one have it, too."""
    shop = Shop(tmp_path, broker, prefix)
    with shop.worker(shop.first, 1):
        shop.said("publish", "item.receive", "item=tea", "count=3", "--id", "delivery", "--wait", "60")
    with shop.worker(shop.second, 2):
        other = 'delivery={"item":"tea","count":30,"supplier":"Ada"}'
        shop.said("correct", "plan", "--replace", other, "--why", "a zero", "-o", str(tmp_path / "plan.json"), folder=shop.second)
        shop.said("correct", "apply", str(tmp_path / "plan.json"), folder=shop.second)
    assert shop.row(*AS_OF)["count"] == 30
    assert "again" not in shop.said("correct", "plan", "--remove", "delivery", "--why", "it never came")
    shop.said("history", "--export", str(tmp_path / "past.retold"))
    assert shop.row("--history", str(tmp_path / "past.retold"))["count"] == 30
    log = tmp_path / "server.log"
    with shop.worker(shop.first, 3), Process("server", env=shop.env, log=log, folder=shop.first):
        until(lambda: "\nReady. " in log.read_text(encoding="utf-8"), "no server is ready")
        url = next(word for word in log.read_text(encoding="utf-8").split() if word.startswith("http://")).rstrip(";")
        answer = httpx.get(f"{url}/rows/item/tea", params={"_as_of": AS_OF[1]}, timeout=60)
        assert (answer.status_code, answer.json().get("row", {}).get("count")) == (200, 30), answer.text
