"""The dashboard that is shipped: the one that is made, and every panel of it says what it shows."""

from __future__ import annotations

import json
from pathlib import Path

from monitoring.grafana import dashboard

SHIPPED = Path(__file__).parents[2] / "monitoring" / "grafana" / "dashboards" / "snapfleet.json"


def test_the_dashboard_that_is_shipped_is_the_one_that_is_made() -> None:
    assert dashboard.render() == SHIPPED.read_text(), (
        "python -m monitoring.grafana > monitoring/grafana/dashboards/snapfleet.json"
    )


def test_every_panel_says_what_it_shows_in_which_unit() -> None:
    shown = json.loads(SHIPPED.read_text())
    panels = [panel for panel in shown["panels"] if panel["type"] != "row"]
    assert len({panel["id"] for panel in shown["panels"]}) == len(shown["panels"])
    for panel in panels:
        defaults = panel["fieldConfig"]["defaults"]
        assert panel["title"]
        assert panel["description"]
        assert defaults["unit"]
        assert defaults["thresholds"]["steps"]
        assert panel["targets"]
    assert [v["name"] for v in shown["templating"]["list"]] == ["datasource", "database"]
