"""Moments at which tests may strike: nothing at all unless armed, and armed by one entry point only."""

from __future__ import annotations

import ast
import os
import signal
import sys
import threading
from collections.abc import Generator
from pathlib import Path

import pytest

import cli
import shared
import workers
from shared import failpoints
from shared.errors import Misconfigured
from shared.settings import Settings
from tests.unit.given_settings import ENVIRON


@pytest.fixture
def folder(tmp_path: Path) -> Generator[Path]:
    failpoints.arm(tmp_path)
    yield tmp_path
    failpoints.disarm()


def plan(folder: Path, point: str, act: str) -> Path:
    (folder / point).write_text(act)
    return folder / f"{point}{failpoints.STRUCK}"


def test_nothing_happens_where_nobody_armed_it(tmp_path: Path) -> None:
    struck = plan(tmp_path, "here", "fail")
    failpoints.reach("here")
    assert not struck.exists()
    assert list(tmp_path.iterdir()) == [tmp_path / "here"]


def test_it_strikes_once_where_it_is_planned_and_notes_what_was_passed(folder: Path) -> None:
    struck = plan(folder, "here", "fail")
    failpoints.reach("elsewhere")
    with pytest.raises(OSError, match="as planned at here"):
        failpoints.reach("here")
    failpoints.reach("here")
    assert struck.exists()
    assert (folder / failpoints.PASSED).read_text() == "elsewhere\nhere\nhere\n"


def test_it_may_wait_for_a_later_time(folder: Path) -> None:
    plan(folder, "here", "fail 3")
    failpoints.reach("here")
    failpoints.reach("here")
    with pytest.raises(OSError, match="as planned"):
        failpoints.reach("here")


def test_what_strikes_always_strikes_whoever_comes_by(folder: Path) -> None:
    struck = plan(folder, "here", "fail always")
    for _ in range(3):
        with pytest.raises(OSError, match="as planned at here"):
            failpoints.reach("here")
    assert struck.exists()
    (folder / "here").unlink()
    failpoints.reach("here")


def test_who_is_held_goes_on_when_told_to(folder: Path) -> None:
    struck = plan(folder, "here", "hold")
    held = threading.Thread(target=failpoints.reach, args=("here",))
    held.start()
    while not struck.exists():
        pass
    assert held.is_alive()
    struck.unlink()
    held.join(10)
    assert not held.is_alive()


@pytest.mark.parametrize(("act", "number"), [("kill", signal.SIGKILL), ("kill-group", signal.SIGKILL)])
def test_who_is_to_die_dies_of_the_signal(folder: Path, act: str, number: signal.Signals) -> None:
    plan(folder, "here", act)
    pid = os.fork()
    if pid == 0:
        os.setsid()
        failpoints.reach("here")
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == -number


def test_a_process_that_was_not_started_for_faults_refuses_to_read_its_settings(tmp_path: Path) -> None:
    environ = {**ENVIRON, "SNAPFLEET_FAILPOINTS": str(tmp_path)}
    with pytest.raises(Misconfigured) as caught:
        Settings.load(environ, tmp_path)
    assert caught.value.code == "failpoints_set"
    assert Settings.load(environ, tmp_path, for_faults=True).failpoints == tmp_path
    assert Settings.load(ENVIRON, tmp_path, for_faults=True).failpoints is None


def test_only_the_worker_s_entry_point_can_arm_them() -> None:
    roots = [Path(package.__path__[0]) for package in (shared, workers, cli)]
    arming = [
        path.relative_to(root.parent)
        for root in roots
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "arm"
    ]
    assert arming == [Path("workers/main.py")]


@pytest.mark.parametrize("room", ["workers", "beat"])
def test_a_process_of_production_refuses_to_start(room: str, tmp_path: Path) -> None:
    environment = {**ENVIRON, "SNAPFLEET_FAILPOINTS": str(tmp_path), "HOME": str(tmp_path)}
    read, write = os.pipe()
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", room],
        environment,
        file_actions=[(os.POSIX_SPAWN_DUP2, write, 2)],
    )
    os.close(write)
    with os.fdopen(read) as said:
        words = said.read()
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 1
    assert words.startswith("error: SNAPFLEET_FAILPOINTS: it is set")
    assert "hint: unset it" in words
