"""The rules for Prometheus, by the metrics and pages that there are."""

from __future__ import annotations

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
FILE = ROOT / "ops/alerts/retold.yml"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(FILE.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]
]
RUNBOOK = "docs/troubleshooting.md"
every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))


@every_rule
def test_a_rule_asks_for_metrics_that_there_are(rule: dict[str, Any]) -> None:
    """A metric that is misspelt would never fire."""
    assert asked(rule["expr"])
    assert asked(rule["expr"]) - exported(shop.app()) == set()


@every_rule
def test_a_rule_says_what_is_wrong_and_where_it_is_explained(rule: dict[str, Any]) -> None:
    """A sentence, and a heading of the page for the night that is there."""
    assert re.fullmatch(r"[A-Z{].{15,140}\.", rule["annotations"]["summary"])
    assert rule["labels"]["severity"] in ("page", "warn")
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    heads = re.findall(r"(?m)^#+ (.+)$", (ROOT / page).read_text(encoding="utf-8"))
    assert page == RUNBOOK
    assert anchor in {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def test_rules_have_names_of_their_own() -> None:
    """Two of one name would look like one in a list of alerts."""
    names = [rule["alert"] for rule in RULES]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is in Debian's package prometheus")
def test_prometheus_takes_the_rules_and_they_fire_when_they_should() -> None:
    """By Prometheus' own tool: ops/alerts/retold_test.yml has series, and which alerts there are at which time."""
    for command in (["check", "rules", FILE.name], ["test", "rules", "retold_test.yml"]):
        done = subprocess.run(["promtool", *command], cwd=FILE.parent, timeout=60, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
