"""Ask a Prometheus what the dashboard's panels ask."""

from __future__ import annotations

import json
import math
import re
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from monitoring.grafana.panels import Kind, Panel, Query
from monitoring.pictures.drawing import Drawn, Line

STEP_SECONDS = 2


class Prometheus:
    def __init__(self, url: str) -> None:
        """`url` without a path: http://127.0.0.1:9090."""
        self._url = url

    def is_up(self) -> bool:
        try:
            self._get("/-/ready")
        except OSError:
            return False
        return True

    def drawn(self, panel: Panel, *, since: float, until: float) -> Drawn:
        return Drawn(
            panel=panel, answers=[self._lines(panel, query, since, until) for query in panel.queries]
        )

    def _lines(self, panel: Panel, query: Query, since: float, until: float) -> list[Line]:
        promql = query.expr.replace("$__rate_interval", "30s").replace("$database", ".*")
        legend = "{{database}}" if panel.kind is Kind.TABLE else query.legend
        span = {"query": promql, "start": since, "end": until, "step": STEP_SECONDS}
        answer = self._get(f"/api/v1/query_range?{urllib.parse.urlencode(span)}")
        found: list[dict[str, Any]] = json.loads(answer)["data"]["result"]
        lines = [Line(label=named(legend, each["metric"]), points=points(each["values"])) for each in found]
        return [line for line in lines if line.points]

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(self._url + path, timeout=10) as answer:  # noqa: S310 - http, and ours
            body: bytes = answer.read()
        return body


def points(values: list[list[Any]]) -> list[tuple[float, float]]:
    read = [(float(at), float(value)) for at, value in values]
    return [(at, value) for at, value in read if not math.isnan(value)]


def named(legend: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), legend)
