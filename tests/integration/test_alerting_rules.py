"""Alert rules and configurations, read by the real tools: `promtool` and `amtool`."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

MONITORING = Path(__file__).parents[2] / "monitoring"


@pytest.mark.parametrize(
    "command",
    [
        ("promtool", "check", "rules", "--lint-fatal", "prometheus/alerts.yml"),
        ("promtool", "check", "config", "prometheus/prometheus.yml"),
        ("promtool", "test", "rules", "prometheus/tests/recovery.yml"),
        ("promtool", "test", "rules", "prometheus/tests/jobs.yml"),
        ("promtool", "test", "rules", "prometheus/tests/servers.yml"),
        ("amtool", "check-config", "alertmanager/alertmanager.yml"),
    ],
    ids=" ".join,
)
@pytest.mark.usefixtures("prometheus_tools")
def test_the_tool_is_content(command: tuple[str, ...]) -> None:
    ended = subprocess.run(command, cwd=MONITORING, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_every_file_of_tests_is_run() -> None:
    files = {path.name for path in (MONITORING / "prometheus" / "tests").glob("*.yml")}
    assert files == {"recovery.yml", "jobs.yml", "servers.yml"}
