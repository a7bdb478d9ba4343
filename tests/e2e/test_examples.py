"""The examples do what they show: a service breaks itself, and gets its database back over the event bus."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 280


def run(language: str) -> list[str]:
    """What the service said."""
    ended = subprocess.run(
        [sys.executable, "-m", "examples.consciousness.run", language],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout.splitlines()


def assert_it_came_back(said: list[str]) -> None:
    story = [line.partition(":")[0] for line in said if ": " in line]
    assert story[-8:] == [*["thought"] * 3, "proven", "broken", "restored", "thought", "remembered"]
    assert said[-1] == "remembered: 4 thoughts"


def test_a_service_in_python_comes_back() -> None:
    assert_it_came_back(run("python"))


@pytest.mark.usefixtures("node")
def test_a_service_in_node_that_knows_nothing_of_ours_comes_back() -> None:
    assert_it_came_back(run("node"))


def test_the_service_in_node_is_pinned_by_hash_and_tells_nobody_where_we_download_from() -> None:
    lock = (ROOT / "examples" / "consciousness" / "node" / "package-lock.json").read_text("utf-8")
    assert "resolved" not in lock
    assert "://registry" not in lock
    assert lock.count('"integrity"') == lock.count('"node_modules/')
