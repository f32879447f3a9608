"""Grafana's dashboard, and how Compose gives it to Grafana."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.applications import shop
from tests.support.metric_names import asked, exported

ROOT = Path(__file__).parents[2]
BOARD: dict[str, Any] = json.loads((ROOT / "ops/dashboards/retold.json").read_text(encoding="utf-8"))
PANELS: list[dict[str, Any]] = [each for each in BOARD["panels"] if each["type"] != "row"]
ROWS = (
    "Now", "Lag", "Waiting", "Parked", "Timers and calls", "Projections and what servers have read", "Store", "HTTP", "Worker",
)  # fmt: skip
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
every_panel = pytest.mark.parametrize("panel", PANELS, ids=lambda panel: str(panel["title"]))


def provisioned(path: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))
    return found


@every_panel
def test_a_panel_asks_for_metrics_that_there_are(panel: dict[str, Any]) -> None:
    """A metric that is misspelt would be a panel without data, which looks like peace."""
    for target in panel["targets"]:
        assert asked(target["expr"])
        assert asked(target["expr"]) - exported(shop.app()) == set()


def test_every_metric_of_an_alert_is_on_the_dashboard_or_counted_by_the_checks() -> None:
    """Who is paged sees the figure; what has no panel of its own is in the number of bad checks."""
    groups = provisioned("ops/alerts/retold.yml")["groups"]
    paging = {name for group in groups for rule in group["rules"] for name in asked(rule["expr"])}
    shown = {name for panel in PANELS for target in panel["targets"] for name in asked(target["expr"])}
    assert paging - shown == {"retold_namespace_ended", "retold_topics_missing"}


def test_the_dashboard_has_its_rows_and_no_panel_lies_on_another() -> None:
    """Numbers of panels are their own, and each has a place of its own."""
    assert tuple(each["title"] for each in BOARD["panels"] if each["type"] == "row") == ROWS
    numbers = [each["id"] for each in BOARD["panels"]]
    assert sorted(set(numbers)) == sorted(numbers)
    cells = [
        (x, y)
        for each in BOARD["panels"]
        for it in [each["gridPos"]]
        for x in range(it["x"], it["x"] + it["w"])
        for y in range(it["y"], it["y"] + it["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


def test_grafana_finds_the_dashboard_and_prometheus_by_what_compose_mounts() -> None:
    """The folder, the name of the source, its address, and the dashboard that is shown first."""
    grafana, prometheus = SERVICES["grafana"], SERVICES["prometheus"]
    mounted = {inside: outside for outside, inside, _ in (volume.split(":") for volume in grafana["volumes"])}
    [source] = provisioned(mounted["/etc/grafana/provisioning/datasources/retold.yml"])["datasources"]
    [provider] = provisioned(mounted["/etc/grafana/provisioning/dashboards/retold.yml"])["providers"]
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home.startswith(f"{provider['options']['path']}/")
    assert (ROOT / mounted[home]).samefile(ROOT / "ops/dashboards/retold.json")
    used = {each["datasource"]["uid"] for panel in PANELS for each in (panel, *panel["targets"])}
    assert used == {source["uid"]}
    assert source["url"] == f"http://prometheus:{prometheus['ports'][0].split(':')[-1]}"


def test_prometheus_asks_server_and_workers_with_their_token() -> None:
    """At its name, port and path; the token and the rules lie where its settings say."""
    prometheus, server = SERVICES["prometheus"], SERVICES["server"]
    mounted = {inside: outside for outside, inside, _ in (it.split(":") for it in prometheus["volumes"] if it.endswith(":ro"))}
    [config] = [it.split("=")[1] for it in prometheus["command"] if it.startswith("--config.file=")]
    settings = provisioned(mounted[config])
    job, of_workers = settings["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"server:{server['environment']['RETOLD_HTTP_PORT']}"]}]
    assert job["metrics_path"] == "/-/metrics"
    assert [mounted[each] for each in settings["rule_files"]] == ["./ops/alerts/retold.yml"]
    assert prometheus["environment"]["RETOLD_HTTP_TOKEN"] == server["environment"]["RETOLD_HTTP_TOKEN"]
    file = job["authorization"]["credentials_file"]
    [asked] = of_workers["dns_sd_configs"]
    worker = SERVICES["worker"]["environment"]
    assert (asked["names"], asked["port"], asked["type"]) == (["worker"], worker["RETOLD_WORKER_METRICS_PORT"], "A")
    assert (of_workers["authorization"], "metrics_path" in of_workers) == (job["authorization"], False)
    assert worker["RETOLD_WORKER_METRICS_TOKEN"] == server["environment"]["RETOLD_HTTP_TOKEN"]
    assert f"> {file} &&" in prometheus["entrypoint"][2]
    assert [str(Path(file).parent)] == prometheus["tmpfs"]


def test_the_token_is_written_for_prometheus_alone(tmp_path: Path) -> None:
    """By the program that starts it, with that file elsewhere and echo in its place: a token with signs of the shell, too."""
    program = SERVICES["prometheus"]["entrypoint"][2].replace("$$", "$")
    file, token = tmp_path / "token", "a $(touch x) 'b' \"c\" %s"
    program = program.replace("/tmp/token", str(file)).replace("/bin/prometheus", "echo")
    done = subprocess.run(
        ["sh", "-c", program, "prometheus", "--one", "two words"], env={"RETOLD_HTTP_TOKEN": token, "PATH": "/usr/bin:/bin"},
        cwd=tmp_path, timeout=20, text=True, capture_output=True, check=True,
    )  # fmt: skip
    assert (file.read_text(), file.stat().st_mode & 0o777) == (token, 0o600)
    assert done.stdout == "--one two words\n"


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is in Debian's package prometheus")
def test_prometheus_reads_every_expression_of_a_panel(tmp_path: Path) -> None:
    """As rules that record it, with Grafana's variables replaced as Grafana does."""
    texts = [target["expr"] for panel in PANELS for target in panel["targets"]]
    asked_for = [re.sub(r"\$namespace", ".*", text.replace("$__rate_interval", "1m")) for text in texts]
    rules = [{"record": f"panel:{number}", "expr": text} for number, text in enumerate(asked_for)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), encoding="utf-8")
    done = subprocess.run(
        ["promtool", "check", "rules", "rules.yml"], cwd=tmp_path, timeout=60, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
