"""Correcting the past of a shop on a real Kafka: a worker, a server with projections, and a card company."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from streams.cli.commands.correct_apply import apply_plan
from streams.cli.process.session import connect
from streams.kafka import correction_coordinator
from streams.kafka.corrections_topic import find_correction, read_claims
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
    """A server of its own, with these options, which goes on with the file of the one before."""

    def __init__(self, env: Env, log: Path, *options: str) -> None:
        self._process = Process("server", *options, env=env, log=log)
        try:
            until(lambda: "Listening at " in log.read_text(), "the server does not listen")
            address = log.read_text().split("Listening at ")[1].split(";")[0]
            self.http = httpx.Client(base_url=address, timeout=60.0)
        except BaseException:
            self._process.stop()
            raise

    def __enter__(self) -> httpx.Client:
        return self.http

    def kill(self) -> None:
        self._process.process.kill()

    def __exit__(self, *_: object) -> None:
        self.http.close()
        self._process.stop()


def row(env: Env, namespace: str, key: str) -> dict[str, Any] | None:
    done = retold("get", namespace, key, "--json", env=env)
    found: dict[str, Any] | None = json.loads(done.stdout)["row"] if done.returncode == 0 else None
    return found


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


def listed(env: Env, *words: str) -> list[dict[str, Any]]:
    done = retold("correct", *words, "--json", env=env)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def kept(env: Env, *words: str) -> dict[str, Any]:
    done = retold("correct", "plan", *words, "--keep", "--json", env=env)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def refunds(env: Env) -> list[str]:
    """The orders whose charge was to be paid back."""
    found = [json.loads(line) for line in retold("tail", "payment", "--last", "100", "--json", env=env).stdout.splitlines()]
    return [it["key"] for it in found if it["type"] == "payment.refund"]


class StoppedError(Exception):
    """The coordinator ends here."""


def test_a_charge_is_paid_back_once_wherever_its_coordinator_was_stopped(
    env: Env, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the event that takes it back and the record of it; the plan file is lost, and the id is enough."""
    ordered(env, 20)
    until(lambda: (row(env, "order", "o20") or {}).get("status") == "paid", "it is not paid", pause=0.5)
    plan = kept(env, "--remove", "place-20", "--why", "a test")
    [found] = [it for it in listed(env, "list") if it["correction"] == plan["correction"]]
    assert (found["state"], found["why"], len(found["remove"])) == ("planned", "a test", 1)
    assert row(env, "order", "o20") is not None, "a plan changes nothing"

    def stopped(*_: object) -> None:
        raise StoppedError

    for name, value in env.items():
        monkeypatch.setenv(name, value)
    session = connect()
    state = find_correction(read_claims(session.clients, session.config.prefix, "shop"), plan["correction"])
    monkeypatch.setattr(correction_coordinator, "write_calls", stopped)
    with pytest.raises(StoppedError):
        apply_plan(session, state, "undo")
    until(lambda: refunds(env) == ["o20"], "it is not paid back", pause=0.5)
    done = retold("correct", "withdraw", plan["correction"], env=env)
    assert (done.returncode, "stays in the log" in done.stderr) == (3, True), done.stderr
    done = retold("correct", "apply", plan["correction"][:18], env=env)
    assert (done.returncode, "taken back, each by an event" in done.stderr) == (0, True), done.stderr
    assert refunds(env) == ["o20"]
    until(lambda: (row(env, "payment", "o20") or {}).get("status") == "refunded", "its answer is not handled", pause=0.5)
    [call] = [it for it in listed(env, "open", "--all") if it["key"] == "o20"]
    assert (call["state"], call["type"], call["undo"]) == ("undone", "payment.charge", "payment.refund")
    done = retold("correct", "apply", plan["correction"], "--calls", "undo", env=env)
    assert (done.returncode, "nothing was written" in done.stderr) == (0, True), done.stderr
    assert retold("verify", env=env).returncode == 0


def test_a_person_sees_to_a_call(env: Env, tmp_path: Path) -> None:
    """It is open until somebody says what was done."""
    corrected(env, tmp_path / "plan.json", "--remove", "place-2")
    [call] = [it for it in listed(env, "open") if it["key"] == "o2"]
    done = retold("correct", "close", call["id"], env=env)
    assert (done.returncode, "--why is missing" in done.stderr) == (2, True), done.stderr
    done = retold("correct", "close", call["id"], "--why", "refunded by hand", "--by", "bob", env=env)
    assert done.returncode == 0, done.stderr
    assert [it for it in listed(env, "open") if it["key"] == "o2"] == []
    [closed] = [it for it in listed(env, "open", "--all") if it["key"] == "o2"]
    assert (closed["state"], closed["by"], closed["why"]) == ("closed", "bob", "refunded by hand")


def test_a_request_with_other_data_keeps_its_answer_if_that_is_said(env: Env, tmp_path: Path) -> None:
    """Who is not told so hears of it. The correction keeps it, so the order stays paid, and no call is left to a person."""
    more = 'place-3={"order":"o3","customer":"c","lines":[{"sku":"A1","quantity":2}]}'
    done = retold("correct", "plan", "--replace", more, "--why", "a test", env=env)
    assert (done.returncode, "With --assume-answers, a request" in done.stderr) == (0, True), done.stderr
    plan = corrected(env, tmp_path / "plan.json", "--replace", more, "--assume-answers")
    assert (plan["open"], len(plan["change"]["assumed"])) == (0, 1)
    [found] = [it for it in listed(env, "list") if it["correction"] == plan["correction"]]
    assert (found["state"], found["assumed"]) == ("applied", [*plan["change"]["assumed"]])
    after = row(env, "order", "o3") or {}
    assert (after.get("total"), after.get("status")) == (600, "paid")
    assert [it for it in listed(env, "open") if it["key"] == "o3"] == []
    assert retold("verify", env=env).returncode == 0


def test_what_has_changed_nothing_is_withdrawn(env: Env) -> None:
    """It is not listed any more, and its id is not known."""
    name = kept(env, "--remove", "place-3", "--why", "a mistake")["correction"]
    done = retold("correct", "withdraw", name, env=env)
    assert (done.returncode, "changed nothing" in done.stderr) == (0, True), done.stderr
    assert name not in {it["correction"] for it in listed(env, "list")}
    done = retold("correct", "apply", name, env=env)
    assert (done.returncode, "no correction has an id" in done.stderr) == (3, True), done.stderr


def planned(http: httpx.Client, *names: str) -> httpx.Response:
    made = http.post("/corrections", json={"why": "a test", "remove": [*names]})
    assert made.status_code == 201, made.text
    return made


def test_a_correction_over_http_goes_on_elsewhere_when_its_server_is_killed(env: Env, tmp_path: Path) -> None:
    """It is applied as it was seen: with an old ETag not at all. Another server, or the command, goes on where it stood."""
    for number in (30, 31, 32):
        ordered(env, number)
        until(lambda: (row(env, "order", f"o{number}") or {}).get("status") == "paid", "it is not paid", pause=0.5)  # noqa: B023 - it is called here
    killed = Server(env, tmp_path / "server-3.log")
    with killed as http:
        until(lambda: http.get("/-/ready").status_code == 200, "it is not ready")
        made = planned(http, "place-30")
        ordered(env, 33)
        url = made.headers["Location"]
        moved = http.post(f"{url}/apply", json={}, headers={"If-Match": made.headers["ETag"]})
        assert (moved.status_code, "have moved since" in moved.json()["detail"]) == (412, True), moved.text
        assert row(env, "order", "o30") is not None
        until(lambda: (row(env, "order", "o33") or {}).get("status") == "paid", "it is not paid", pause=0.5)
        begun = http.post(f"{url}/apply", json={"calls": "skip"}, headers={"If-Match": http.get(url).headers["ETag"]})
        assert (begun.status_code, begun.headers["Location"]) == (202, url), begun.text
        killed.kill()
    with Server(env, tmp_path / "server-4.log") as http:
        until(lambda: http.get("/-/ready").status_code == 200, "it is not ready")
        done = http.post(f"{url}/apply", json={}, headers={"Prefer": "wait=60"})
        assert (done.status_code, done.json()["state"]) == (200, "applied"), done.text
        told = http.get(url).json()
        rows = [(it["namespace"], it["key"], it["after"]) for it in told["changes"]["rows"]]
        assert (told["untold"], ("order", "o30", None) in rows) == (None, True)
        assert [it["state"] for it in told["wrong_calls"]] == ["skipped"]
        other = planned(http, "place-31").json()["correction"]
    assert row(env, "order", "o30") is None
    done_there = retold("correct", "apply", other, "--calls", "skip", env=env)
    assert done_there.returncode == 0, done_there.stderr
    assert row(env, "order", "o31") is None
    assert retold("verify", env=env).returncode == 0
