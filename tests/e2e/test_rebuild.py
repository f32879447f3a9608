"""Rows are rebuilt with new code while events are handled: the command is killed, workers go over, and go back."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from streams import App, Namespace
from streams.client import Client
from streams.config import Config
from streams.errors import RowsNotBuilt
from streams.history.acceptance_file import encode_accepted
from streams.history.difference.accepted_origins import AcceptedOrigin
from streams.history.difference.difference import EVENTS as EMITTED
from streams.history.difference.difference import OUTCOME, UNTOLD
from tests.applications import bank, counted, strict
from tests.applications.bank.events import AccountCredit, AccountOpen, TransferStart
from tests.e2e.test_correct_shop import Server
from tests.support.figures_of import figures_of
from tests.support.processes import PROJECT, Process, environment, retold
from tests.support.workers import Running, settings, until

EVENTS, KEYS = 3_000, 40
SCHEMAS = PROJECT / "tests" / "applications" / "bank" / "schemas"


class Publisher:
    """Puts money into accounts; by itself, too, as long as a block lasts."""

    def __init__(self, config: Config, broker: str) -> None:
        self._client = Client(counted.first(), broker, config=config)
        self.count = 0

    def publish(self, count: int) -> None:
        for _ in range(count):
            data = AccountCredit(account=f"a{self.count % KEYS}", transfer=f"t{self.count}", amount=1 + self.count % 150)
            self._client.publish(data, id=f"credit-{self.count}")
            self.count += 1
        self._client.flush()

    @contextmanager
    def going_on(self) -> Iterator[None]:
        over = threading.Event()

        def go_on() -> None:
            while not over.wait(0.05):
                self.publish(5)

        thread = threading.Thread(target=go_on)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def env_of(version: str, broker: str, prefix: str, state: Path) -> dict[str, str]:
    others = {"app": f"tests.applications.counted:{version}", "schemas": str(SCHEMAS), "partitions": "2"}
    return environment(broker, prefix, state, **others)


def kill_after(seconds: float, env: Mapping[str, str]) -> None:
    command = [sys.executable, "-m", "streams.cli", "rebuild", "start", "account", "--follow"]
    killed = subprocess.Popen(command, env=dict(env), cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with suppress(subprocess.TimeoutExpired):
        killed.wait(seconds)
    killed.kill()
    killed.wait(10)


def states(env: Mapping[str, str]) -> list[dict[str, Any]]:
    done = retold("rebuild", "status", "account", "--json", env=env)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def handled(worker: Running) -> int:
    return worker.counted("account", "accepted")


def goes_over(app: App, publisher: Publisher, config: Config, broker: str, env: Mapping[str, str]) -> None:
    """A worker of this code takes over, and handles more; then all is whole, as this code sees it."""
    with Running(app, config, broker) as worker:
        publisher.publish(200)
        until(lambda: handled(worker) == publisher.count, "not all was handled")
        generation = app.namespace("account").generation
        assert {it["keep"] for it in states(env)} == {generation}
    whole = retold("verify", env=env)
    assert whole.returncode == 0, whole.stdout + whole.stderr


def test_rows_are_rebuilt_while_events_are_handled(broker: str, prefix: str, tmp_path: Path) -> None:
    """Whenever the command is killed; nothing is built of what new code decides otherwise; and the code before has its rows."""
    config = settings(tmp_path, prefix)
    first, second, strict = (env_of(name, broker, prefix, tmp_path) for name in ("first", "second", "strict"))
    with Running(counted.first(), config, broker) as worker:
        publisher = Publisher(config, broker)
        publisher.publish(EVENTS)
        until(lambda: handled(worker) == EVENTS, "not all was handled")
        with publisher.going_on():
            refused = retold("rebuild", "start", "account", env=strict)
            assert (refused.returncode, "nothing is built" in refused.stderr) == (1, True), refused.stderr
            missing = retold("get", "account", "a1", env=strict)
            assert (missing.returncode, "are not built; workers keep generation 1" in missing.stderr) == (6, True), missing.stderr
            for seconds in (2.0, 3.0, 3.5, 4.0, 5.0):
                kill_after(seconds, second)
            done = retold("rebuild", "start", "account", env=second)
            assert done.returncode == 0, done.stdout + done.stderr
            assert "is built" in done.stderr
        until(lambda: handled(worker) == publisher.count, "not all was handled while it was built")
    assert {it["keep"] for it in states(second)} == {1}
    goes_over(counted.second(), publisher, config, broker, second)
    goes_over(counted.first(), publisher, config, broker, first)
    assert [it["complete"] for it in states(strict)] == [0, 0]


def answers(http: httpx.Client) -> list[int]:
    """The statuses of a list, a row, a view and a stream; what is answered is of rows that there are."""
    found = [http.get("/rows/account"), http.get("/rows/account/a1"), http.get("/views/accounts")]
    assert [it.json()["rows"] != [] for it in found[:1] if it.status_code == 200] in ([], [True])
    assert [it.json()["answer"] for it in found[2:] if it.status_code == 200] in ([], [KEYS])
    for it in found:
        assert it.status_code == 200 or it.headers["retry-after"], it.text
    with http.stream("GET", "/rows/account?_from=snapshot", headers={"Accept": "text/event-stream"}) as stream:
        return [*(it.status_code for it in found), stream.status_code]


def test_a_server_whose_rows_are_not_built_says_so_until_they_are(broker: str, prefix: str, tmp_path: Path) -> None:
    """Also one of several processes that goes on with the file of the code before, and a command. Then it answers, as it runs."""
    config = settings(tmp_path, prefix)
    first, second = (env_of(name, broker, prefix, tmp_path) | {"RETOLD_HTTP_PORT": "0"} for name in ("first", "second"))
    with Running(counted.first(), config, broker) as worker:
        publisher = Publisher(config, broker)
        publisher.publish(200)
        until(lambda: handled(worker) == 200, "not all was handled")
        with Server(first, tmp_path / "first.log") as http:
            until(lambda: answers(http) == [200] * 4, "the server does not answer")
        with Server(second, tmp_path / "second.log", "--processes", "2") as http:
            what = "rows of generation 2 of account, which are not built; workers keep generation 1"
            until(lambda: what in http.get("/rows/account").json().get("detail", ""), "it does not say that its rows are not there")
            assert answers(http) == [503] * 4
            assert what in http.get("/views/accounts").json()["detail"]
            now = {"_known": datetime.now(UTC).isoformat()}
            until(lambda: http.get("/rows/account/a1", params=now).status_code == 200, "it does not tell the past, which logs have")
            assert http.get("/rows/account/a1", params=now).json()["row"]["balance"] == 2 * balance(first, "a1")
            missing = retold("get", "account", env=second)
            assert (missing.returncode, "`retold rebuild start account`" in missing.stderr) == (6, True), missing.stderr
            folded = retold("get", "accounts", "--json", env=second)
            assert (folded.returncode, json.loads(folded.stdout)["answer"]) == (0, KEYS), folded.stderr
            rebuilt(second)
            until(lambda: answers(http) == [200] * 4, "it does not go on when they are built")
    with Server(second, tmp_path / "third.log") as http:
        goes_over(counted.second(), publisher, config, broker, second)
        until(lambda: http.get("/rows/account/a1").json()["row"]["balance"] == balance(second, "a1"), "its rows are old")
    with Server(first, tmp_path / "fourth.log") as http:  # deployed before its workers: it shows what they have left
        until(lambda: answers(http) == [200] * 4, "the server of the code before does not answer")


def test_a_namespace_whose_rows_are_not_built_waits_alone(broker: str, prefix: str, tmp_path: Path) -> None:
    """Workers of the code before go on with it, and the others of its worker go on, too. Once its rows are built, so does it."""
    config = settings(tmp_path, prefix, partitions="2", worker_metrics_port="0")
    env = env_of("first", broker, prefix, tmp_path) | {"RETOLD_APP": "tests.applications.strict:app"}

    def start(number: int) -> None:
        client.publish(TransferStart(transfer=f"t{number}", source="a", target="b", amount=10))
        client.flush()

    with Client(bank.app(), broker, config=config) as client:
        with Running(bank.app(), config, broker) as before:
            for name in "ab":
                client.publish(AccountOpen(account=name, balance=100))
            start(1)
            until(lambda: before.counted("transfer", "accepted") == 3, "the transfer is not done")
            with Running(strict.app(), config, broker) as worker:
                until(lambda: worker.waits == {"account"}, "it does not wait")
                start(2)
                until(lambda: balance(env_of_bank(env), "b") == 120, "the worker before does not go on with its namespace")
        with Running(strict.app(), config, broker) as worker:
            until(lambda: worker.waits == {"account"}, "it does not wait")
            start(3)
            until(lambda: worker.counted("transfer", "accepted") == 7, "the other namespace does not go on")
            with urllib.request.urlopen(worker.metrics_url, timeout=10) as answer:
                figures = figures_of(answer.read().decode(), "retold_worker_running")
            assert figures == {("account",): 0.0, ("transfer",): 1.0}
            until(lambda: "account stands still in a worker since" in said("status", env=env), "its status does not tell")
            assert "it goes on by itself." in said("status", "--check", env=env)
            rebuilt(env)
            until(lambda: worker.counted("transfer", "accepted") == 9, "it does not go on once its rows are built")
            assert (worker.waits, worker.ready) == (set(), True)
            assert {it["keep"] for it in states(env) if it["handled"]} == {2}
        assert worker.errors == []
    assert (balance(env, "a"), balance(env, "b")) == (70, 130)


def test_run_goes_on_while_one_of_its_namespaces_waits(broker: str, prefix: str, tmp_path: Path) -> None:
    """Its worker is one process all along: it is ready once the rows are built, and is not started again."""
    config, log = settings(tmp_path, prefix, partitions="2"), tmp_path / "run.log"
    env = env_of("first", broker, prefix, tmp_path) | {"RETOLD_APP": "tests.applications.strict:app"}
    with Client(bank.app(), broker, config=config) as client:
        with Running(bank.app(), config, broker) as before:
            for name in "ab":
                client.publish(AccountOpen(account=name, balance=100))
            client.flush()
            until(lambda: before.counted("account", "accepted") == 2, "the accounts are not open")
        alone = {name: it for name, it in env.items() if name != "RETOLD_SCHEMAS"} | {"PYTHONPATH": str(PROJECT)}
        with Process("run", "--no-server", env=alone, log=log, folder=tmp_path):  # without schema files of its own
            until(lambda: "namespace waits" in log.read_text(), "it does not say that one waits")
            client.publish(TransferStart(transfer="t", source="a", target="b", amount=10))
            client.flush()
            until(lambda: retold("get", "transfer", "t", env=env).returncode == 0, "the other namespace does not go on")
            rebuilt(env)
            until(lambda: "Ready: account, transfer." in log.read_text(), "it is not ready once they are built")
            until(lambda: balance(env, "b") == 110, "the transfer is not done")
        assert (log.read_text().count("namespace waits until"), "restarting" in log.read_text()) == (1, False)


def said(*words: str, env: Mapping[str, str]) -> str:
    done = retold(*words, env=env)
    return done.stdout + done.stderr


def env_of_bank(env: Mapping[str, str]) -> dict[str, str]:
    return {**env, "RETOLD_APP": "tests.applications.bank:app"}


def test_a_worker_all_of_whose_namespaces_would_wait_ends(broker: str, prefix: str, tmp_path: Path) -> None:
    """With the reason: nothing that it could do goes on, and who has started it is told."""
    config = settings(tmp_path, prefix, partitions="1")
    app = strict.app()
    transfer = Namespace("transfer", row=bank.transfer.row_type, generation=2)
    for event, handler in bank.transfer.handlers.items():
        transfer.handles(event, emits=bank.transfer.emits[event])(handler)
    newer = App(name=app.name, namespaces=[app.namespace("account"), transfer])
    with Running(bank.app(), config, broker) as before, Client(bank.app(), broker, config=config) as client:
        for name in "ab":
            client.publish(AccountOpen(account=name, balance=100))
        client.publish(TransferStart(transfer="t", source="a", target="b", amount=10))
        until(lambda: before.counted("transfer", "accepted") == 3, "the transfer is not done")
    with Running(newer, config, broker) as worker:
        until(worker.ended, "it goes on, and does nothing")
    assert [type(it) for it in worker.errors] == [RowsNotBuilt] * 2
    told = said("status", env=env_of_bank(env_of("first", broker, prefix, tmp_path)))
    assert ("A worker ended account" in told, "stands still in a worker" in told) == (True, False)


def corrected(env: Mapping[str, str], name: str) -> None:
    """That event was never published."""
    done = retold("correct", "plan", "--remove", name, "--why", "a test", "--keep", "--json", env=env)
    assert done.returncode == 0, done.stderr
    done = retold("correct", "apply", json.loads(done.stdout)["correction"], env=env)
    assert (done.returncode, "1 row set" in done.stderr) == (0, True), done.stderr


def balance(env: Mapping[str, str], key: str) -> int:
    done = retold("get", "account", key, "--json", env=env)
    found: int = json.loads(done.stdout)["row"]["balance"]
    return found


def told(env: Mapping[str, str], key: str, file: Path) -> int:
    """The balance as its log and its corrections tell it, whichever code has set it; 0 where it is not known yet for certain."""
    file.unlink(missing_ok=True)
    done = retold("history", "--export", str(file), env=env)
    assert done.returncode == 0, done.stderr
    done = retold("get", "account", key, "--history", str(file), "--json", env=env)
    return int(json.loads(done.stdout)["row"]["balance"]) if done.stdout else 0


def rebuilt(env: Mapping[str, str]) -> None:
    done = retold("rebuild", "start", "account", env=env)
    assert (done.returncode, "is built" in done.stderr) == (0, True), done.stdout + done.stderr


def test_a_corrected_past_is_rebuilt_and_rolled_back(broker: str, prefix: str, tmp_path: Path) -> None:
    """Rows of each generation are what its code makes of the history that counts; corrections go on in each of them."""
    config = settings(tmp_path, prefix)
    first, second = (env_of(name, broker, prefix, tmp_path) for name in ("first", "second"))
    with Running(counted.first(), config, broker) as worker:
        publisher = Publisher(config, broker)
        publisher.publish(100)
        until(lambda: handled(worker) == 100, "not all was handled")
        corrected(first, "credit-3")
        assert balance(first, "a3") == 44 + 84
        rebuilt(second)
    goes_over(counted.second(), publisher, config, broker, second)
    deposits = [1 + number % 150 for number in range(publisher.count) if number % KEYS == 3]
    with Running(counted.second(), config, broker):
        assert balance(second, "a3") == 2 * (sum(deposits) - 4)
        corrected(second, "credit-43")
        assert balance(second, "a3") == 2 * (sum(deposits) - 4 - 44)
        until(lambda: told(second, "a3", tmp_path / "past") == balance(second, "a3"), "its log does not tell it")
        rebuilt(first)
    goes_over(counted.first(), publisher, config, broker, first)
    deposits = [1 + number % 150 for number in range(publisher.count) if number % KEYS == 3]
    assert balance(first, "a3") == sum(deposits) - 4 - 44
    until(lambda: told(first, "a3", tmp_path / "past") == balance(first, "a3"), "its log does not tell it then")


def test_a_correction_does_the_rest_of_what_newer_code_decides_otherwise(broker: str, prefix: str, tmp_path: Path) -> None:
    """Rows of the namespace are rebuilt; what its event has led to in other rows is made up for, and can be looked at before."""
    config = settings(tmp_path, prefix, partitions="2")
    env = env_of("first", broker, prefix, tmp_path) | {"RETOLD_APP": "tests.applications.strict:app"}
    accepted = tmp_path / "accepted.json"
    with Running(bank.app(), config, broker) as worker, Client(bank.app(), broker, config=config) as client:
        for name in "ab":
            client.publish(AccountOpen(account=name, balance=100))
        for number, amount in enumerate((70, 20)):
            client.publish(TransferStart(transfer=f"t{number}", source="a", target="b", amount=amount))
        until(lambda: worker.counted("transfer", "accepted") == 6, "the transfers are not done")
        refused = retold("rebuild", "start", "account", env=env)
        assert (refused.returncode, "nothing is built" in refused.stderr) == (1, True), refused.stderr
        accepted.write_bytes(encode_accepted([AcceptedOrigin("account.debit", UNTOLD, 1)]))
        done = retold("rebuild", "start", "account", "--accept", str(accepted), env=env)
        assert (done.returncode, "is built" in done.stderr) == (0, True), done.stdout + done.stderr
    with Running(strict.app(), config, broker):
        until(lambda: all(it["keep"] == 2 for it in states(env) if it["handled"]), "workers do not go over")
        assert (balance(env, "a"), balance(env, "b")) == (80, 190)
        plan = retold("correct", "plan", "--again", "account", "--why", "no more than fifty", "--keep", "--json", env=env)
        assert plan.returncode == 0, plan.stderr
        made = json.loads(plan.stdout)
        assert {(it["type"], it["key"], *it["what"]) for it in made["changed"]} == {("account.debit", "a", "outcome")}
        done = retold("correct", "apply", made["correction"], env=env)
        assert done.returncode == 0, done.stderr
        assert (balance(env, "a"), balance(env, "b")) == (80, 120)
        told = retold("get", "transfer", "t0", "--json", env=env)
        assert json.loads(told.stdout)["row"]["status"] == "failed", told.stdout
        again = retold("correct", "plan", "--again", "account", "--why", "once more", env=env)
        assert "nothing would be otherwise" in again.stdout, again.stdout + again.stderr
        whole = retold("verify", env=env)
        assert "no damage, 1 event or row that this code decides otherwise" in whole.stdout + whole.stderr, whole


def test_who_accepts_a_stricter_rule_accepts_what_follows_from_it(broker: str, prefix: str, tmp_path: Path) -> None:
    """A file as `replay --save` writes it has the rule's own events alone, and is enough for a rebuild."""
    config = settings(tmp_path, prefix, partitions="2")
    env = env_of("first", broker, prefix, tmp_path) | {"RETOLD_APP": "tests.applications.strict:with_money"}
    accepted = tmp_path / "accepted.json"
    with Running(bank.app(), config, broker) as worker, Client(bank.app(), broker, config=config) as client:
        for name, balance in (("a", 0), ("b", 5)):
            client.publish(AccountOpen(account=name, balance=balance))
            client.publish(AccountCredit(account=name, transfer=f"t-{name}", amount=7))
        until(lambda: worker.counted("account", "accepted") == 4, "the accounts have no money")
        accepted.write_bytes(encode_accepted([AcceptedOrigin("account.open", OUTCOME, 1)]))
        done = retold("rebuild", "start", "account", "--accept", str(accepted), env=env)
        assert (done.returncode, "is built" in done.stderr) == (0, True), done.stdout + done.stderr


def test_what_a_rebuild_refuses_can_be_accepted(broker: str, prefix: str, tmp_path: Path) -> None:
    """Where a new row makes a later event emit otherwise, a file of `replay` would name the first event, and not that one."""
    config = settings(tmp_path, prefix, partitions="2")
    env = env_of("first", broker, prefix, tmp_path) | {"RETOLD_APP": "tests.applications.strict:with_fee"}
    accepted = tmp_path / "accepted.json"
    with Running(bank.app(), config, broker) as worker, Client(bank.app(), broker, config=config) as client:
        for name in "ab":
            client.publish(AccountOpen(account=name, balance=100))
        client.publish(TransferStart(transfer="t1", source="a", target="b", amount=60))
        until(lambda: worker.counted("transfer", "accepted") == 3, "the transfer is not done")
        refused = retold("rebuild", "start", "transfer", env=env)
        assert (refused.returncode, "retold rebuild start transfer --save FILE" in refused.stderr) == (1, True), refused.stderr
        saved = retold("rebuild", "start", "transfer", "--save", str(accepted), env=env)
        assert (saved.returncode, "is built" in saved.stderr) == (0, True), saved.stdout + saved.stderr
        assert json.loads(accepted.read_bytes()) == [{"handler": "transfer.done", "kind": EMITTED, "count": 1}]
        again = retold("rebuild", "start", "transfer", "--accept", str(accepted), env=env)
        assert (again.returncode, "is built" in again.stderr) == (0, True), again.stdout + again.stderr
