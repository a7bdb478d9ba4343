"""The fleet under a real PM2: all of it comes up, what is killed comes back, and nothing is left when it is stopped."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from embedded import ports
from tests.e2e.processes import assert_all_leave
from tests.e2e.site import Site
from tests.waiting import until

FOLDER = Path(__file__).parents[2] / "deploy" / "pm2"
PATIENCE_SECONDS = 120
NAMES = {f"snapfleet-{name}" for name in ("worker-1", "control", "beat", "bus", "api")}


class Pm2:
    """Its own daemon in a folder of the test's, driven as deploy/pm2 says."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.home = folder / "fleet"
        shutil.copytree(FOLDER, self.home, ignore=shutil.ignore_patterns("node_modules"))
        (folder / "logs").mkdir()
        (self.api_port,) = ports.free(1)
        self.folder = folder
        self.environment = site.environment | {
            "PM2_HOME": str(folder / "daemon"),
            "HOME": str(folder),
            "SNAPFLEET_PYTHON": sys.executable,
            "SNAPFLEET_LOGS": str(folder / "logs"),
            "API_PORT": str(self.api_port),
        }

    def npm(self, *words: str, own_settings: bool = False) -> str:
        """Npm is configured as it is for whoever runs the tests; nothing of the fleet's is in there then."""
        ended = subprocess.run(
            ["npm", *words, "--loglevel=error"],
            cwd=self.home,
            env=None if own_settings else self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def processes(self) -> dict[str, dict[str, Any]]:
        ended = subprocess.run(
            [str(self.home / "node_modules" / ".bin" / "pm2"), "jlist", "--silent"],
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=PATIENCE_SECONDS,
        )
        found: list[dict[str, Any]] = json.loads(ended.stdout[ended.stdout.index("[") :])
        return {each["name"]: each for each in found}

    def online(self) -> set[str]:
        return {name for name, each in self.processes().items() if each["pm2_env"]["status"] == "online"}

    def said(self, name: str) -> str:
        log = self.folder / "logs" / f"{name}.log"
        return log.read_text() if log.exists() else ""

    def answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.api_port}/healthz", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


@pytest.fixture
def pm2(site: Site, tmp_path: Path, node: None) -> Generator[Pm2]:  # noqa: ARG001 - it says that npm is there
    made = Pm2(site, tmp_path)
    made.npm("ci", "--ignore-scripts", "--no-audit", "--no-fund", own_settings=True)
    made.npm("start")
    try:
        yield made
    finally:
        subprocess.run(
            [str(made.home / "node_modules" / ".bin" / "pm2"), "kill"],
            env=made.environment,
            capture_output=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )


def test_pm2_keeps_the_fleet_running_and_stops_it_cleanly(pm2: Pm2) -> None:
    until(lambda: pm2.online() == NAMES)
    until(pm2.answers)
    until(lambda: "ready" in pm2.said("worker-1"))

    killed = pm2.processes()["snapfleet-worker-1"]["pid"]
    os.kill(killed, signal.SIGKILL)
    until(lambda: pm2.processes()["snapfleet-worker-1"]["pid"] not in {killed, 0})
    until(lambda: pm2.said("worker-1").count(" ready") >= 2)
    assert pm2.online() == NAMES

    pm2.npm("stop")
    assert_all_leave(pm2.folder)
    # As it ends by SIGTERM. By SIGINT it would wait for whatever runs, for hours.
    assert "worker: Cold shutdown" in pm2.said("worker-1")


def test_pm2_is_pinned_by_hash_and_tells_nobody_where_we_download_from() -> None:
    lock = (FOLDER / "package-lock.json").read_text("utf-8")
    assert '"resolved"' not in lock
    assert "://registry" not in lock
    assert lock.count('"integrity"') == lock.count('"node_modules/')
