"""The rules for Prometheus, by the metrics and pages that there are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
[GROUP] = yaml.safe_load((ROOT / "ops/alerts/retold.yml").read_text(encoding="utf-8"))["groups"]


@pytest.mark.parametrize("rule", GROUP["rules"], ids=lambda rule: str(rule["alert"]))
def test_a_rule_asks_for_documented_metrics_and_names_a_page(rule: dict[str, Any]) -> None:
    """A metric that is misspelt would never fire, and a page that is not there helps nobody at night."""
    documented = set(re.findall(r"`(retold_\w+)`", (ROOT / "docs/http.md").read_text(encoding="utf-8")))
    asked = set(re.findall(r"retold_\w+", rule["expr"]))
    assert asked
    assert asked <= documented
    assert rule["annotations"]["summary"].endswith(".")
    assert rule["labels"]["severity"] in ("page", "warn")
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    heads = re.findall(r"(?m)^#+ (.+)$", (ROOT / page).read_text(encoding="utf-8"))
    anchors = {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
    assert not anchor or anchor in anchors
