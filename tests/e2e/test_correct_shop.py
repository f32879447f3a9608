"""Correcting the past of a shop on a real Kafka: a worker, a server with projections, and a card company."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.processes import Process, answer, retold
from tests.support.processes import environment as environment_of
from tests.support.workers import until

Env = Mapping[str, str]
ORDERS = 4
LINES = 'lines=[{"sku":"A1","quantity":1}]'


def ordered(env: Env, number: int, sku: str = "A1") -> None:
    words = (f"order=o{number}", "customer=c", f'lines=[{{"sku":"{sku}","quantity":1}}]', "--id", f"place-{number}")
    answer("publish", "order.place", *words, "--wait", "60", env=env)


@pytest.fixture(scope="module")
def env(broker: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Env]:
    """The variables that lead to a worker and a server, after some orders that are paid."""
    state = tmp_path_factory.mktemp("state")
    shop = {"app": "tests.applications.shop:app", "schemas": "tests/applications/shop/schemas"}
    variables = environment_of(broker, f"correctshop{state.name[-1]}.", state, **shop)
    log = state / "worker.log"
    with Process("worker", "--wait", "10", env=variables, log=log):
        until(lambda: "Ready" in log.read_text(encoding="utf-8"), "it is not ready")
        answer("publish", "stock.receive", "sku=A1", "quantity=50", "price=300", "--id", "receive", "--wait", "60", env=variables)
        for number in range(ORDERS):
            ordered(variables, number)
        until(lambda: paid(variables) == ORDERS, "the orders are not paid", pause=0.5)
        yield variables


def paid(env: Env) -> int:
    lines = retold("get", "order", "--json", env=env).stdout.splitlines()
    return [json.loads(line)["row"]["status"] for line in lines].count("paid")


class Server:
    """A server of its own, which goes on with the file of the one before."""

    def __init__(self, env: Env, log: Path) -> None:
        self._process = Process("server", env=env, log=log)
        try:
            until(lambda: "Listening at " in log.read_text(), "the server does not listen")
            address = log.read_text().split("Listening at ")[1].split(";")[0]
            self.http = httpx.Client(base_url=address, timeout=60.0)
        except BaseException:
            self._process.stop()
            raise

    def __enter__(self) -> httpx.Client:
        return self.http

    def __exit__(self, *_: object) -> None:
        self.http.close()
        self._process.stop()


def orders(http: httpx.Client) -> tuple[int, bool]:
    """How many there were on all days, and whether that is corrected."""
    told = http.get("/projections/orders_per_day")
    return sum(it["row"]["count"] for it in told.json().get("rows", ())), "Retold-Uncorrected" not in told.headers


def corrected(env: Env, file: Path, *change: str) -> dict[str, Any]:
    done = retold("correct", "plan", *change, "--by", "ann", "--why", "a test", "-o", str(file), env=env)
    assert done.returncode == 0, done.stderr
    done = retold("correct", "apply", str(file), env=env)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def test_projections_are_those_of_the_corrected_past(env: Env, tmp_path: Path) -> None:
    """Of a server that runs, of one that is started afterwards, and without a server; what comes later is in them."""
    with Server(env, tmp_path / "server-1.log") as http:
        until(lambda: orders(http) == (ORDERS, True), "the orders are not counted")
        corrected(env, tmp_path / "plan.json", "--remove", "place-0")
        until(lambda: orders(http) == (ORDERS - 1, True), "the projection is not folded again")
        ordered(env, 10)
        until(lambda: orders(http) == (ORDERS, True), "what came later is not folded")
    corrected(env, tmp_path / "plan.json", "--remove", "place-1")
    with Server(env, tmp_path / "server-2.log") as http:
        until(lambda: orders(http) == (ORDERS - 1, True), "the projection is not folded again")
    got = retold("get", "orders_per_day", "--json", env=env).stdout.splitlines()
    assert sum(json.loads(line)["row"]["count"] for line in got) == ORDERS - 1
    assert retold("verify", env=env).returncode == 0
