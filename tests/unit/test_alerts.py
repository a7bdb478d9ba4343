"""What the alerts stand on: metrics that exist, a section of the runbook for each, and a test of each."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.metrics.table import BY_NAME, Type

ROOT = Path(__file__).parents[2]
RULES = ROOT / "monitoring" / "prometheus" / "alerts.yml"
TESTS = RULES.parent / "tests"


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def anchors(page: Path) -> set[str]:
    """What its headings can be linked by."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: str(alert["alert"]))
def test_an_alert_says_what_it_means_and_leads_to_what_to_do(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"page", "ticket"}
    assert alert["annotations"]["summary"]
    assert alert["annotations"]["description"]
    page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    assert anchor in anchors(ROOT / page)
    section = (ROOT / page).read_text().split(f"### {alert['alert']}\n")[1].split("\n### ")[0]
    assert section.strip().startswith(f"**{alert['labels']['severity']}**")


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: str(alert["alert"]))
def test_an_alert_asks_for_metrics_that_there_are(alert: dict[str, Any]) -> None:
    used = re.findall(r"(snapfleet_\w+)(?:\{([^}]*)\})?", alert["expr"])
    assert used
    for name, selector in used:
        assert BY_NAME[name].type is not Type.HISTOGRAM
        assert set(re.findall(r"(\w+)(?:=|!=)", selector)) <= set(BY_NAME[name].labels), name


def test_every_alert_fires_in_a_test_and_is_silent_in_one() -> None:
    fired = {
        name
        for file in TESTS.glob("*.yml")
        for name in re.findall(r'ALERTS\{alertname="(\w+)", alertstate="firing"', file.read_text())
    }
    assert fired == {alert["alert"] for alert in alerts()}
    for file in TESTS.glob("*.yml"):
        for test in yaml.safe_load(file.read_text())["tests"]:
            wanted = [bool(case["exp_samples"]) for case in test["promql_expr_test"]]
            assert True in wanted, test["name"]
            assert wanted[-1] is False, f"{test['name']}: it clears"
