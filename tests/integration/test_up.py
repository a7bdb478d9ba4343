"""`up` keeps its processes alive and leaves none. What they do is no matter here, so small programs stand
in the rooms of the fleet: real processes, real servers, real signals.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import embedded

DEADLINE_SECONDS = 30
UP = """
import sys
from pathlib import Path
from embedded.up import run_up
sys.exit(run_up(folder=Path("fleet"), thoughts=100))
"""
LIVE = "import sys, time; print(sys.argv[1:], flush=True); time.sleep(600)"
FAIL = "import sys; sys.exit('error: the catalog is newer than this version')"


@contextmanager
def up(folder: Path, *, cli: str = "", beat: str = LIVE, **given: str) -> Generator[subprocess.Popen[bytes]]:
    """`up` in a folder, its output in the file `out`."""
    for room, program in (("cli", cli), ("workers", LIVE), ("beat", beat), ("bus", LIVE)):
        (folder / room).mkdir()
        (folder / room / "__init__.py").touch()
        (folder / room / "__main__.py").write_text(program)
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", UP],
            cwd=folder,
            env={
                "PATH": os.defpath,
                "PYTHONPATH": f"{folder}{os.pathsep}{Path(embedded.__file__).parents[1]}",
                "COLUMNS": "300",
                **given,
            },
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(DEADLINE_SECONDS)


def output_once(folder: Path, holds: Callable[[str], bool]) -> str:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds(text := (folder / "out").read_text()):
        assert time.monotonic() < deadline, text
        time.sleep(0.02)
    return text


def is_up(text: str) -> bool:
    return "The fleet is up" in text


def pids_of(name: str, text: str) -> list[int]:
    return [int(pid) for pid in re.findall(rf"^{re.escape(name)} +pid (\d+)", text, re.MULTILINE)]


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_ctrl_c_ends_everything_with_status_0(tmp_path: Path) -> None:
    with up(tmp_path) as process:
        text = output_once(tmp_path, is_up)
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_SECONDS) == 0
    names = ("PostgreSQL", "Valkey", "SeaweedFS", "worker-1", "beat", "bus")
    pids = [pid for name in names for pid in pids_of(name, text)]
    assert len(pids) == len(names)
    assert all(is_gone(pid) for pid in pids)


def test_a_worker_or_a_server_that_is_killed_is_started_again(tmp_path: Path) -> None:
    with up(tmp_path):
        text = output_once(tmp_path, is_up)
        for name in ("worker-1", "Valkey"):
            os.kill(pids_of(name, text)[0], signal.SIGKILL)
        text = output_once(
            tmp_path, lambda text: len(pids_of("worker-1", text)) == len(pids_of("Valkey", text)) == 2
        )
        assert "worker-1 ended with status -9" in text
        assert len({line for line in text.splitlines() if "redis://" in line}) == 2
        assert len(set(re.findall(r"redis://\S+", text))) == 1, "its URL stays"


def test_a_process_that_dies_at_once_is_started_again_with_growing_pauses(tmp_path: Path) -> None:
    with up(tmp_path, beat="import sys; sys.exit('beat cannot live')"):
        started = time.monotonic()
        text = output_once(tmp_path, lambda text: len(pids_of("beat", text)) == 3)
        assert time.monotonic() - started > 1 + 2, "one second, then two"
        assert "beat ended with status 1: beat cannot live; starting it again" in text


def test_a_catalog_that_cannot_be_migrated_ends_it_with_that_status(tmp_path: Path) -> None:
    with up(tmp_path, cli=FAIL) as process:
        assert process.wait(DEADLINE_SECONDS) == 1
    text = (tmp_path / "out").read_text()
    assert "the catalog is newer" in text
    assert pids_of("worker-1", text) == []
    assert all(is_gone(pid) for name in ("PostgreSQL", "Valkey", "SeaweedFS") for pid in pids_of(name, text))


def test_urls_are_printed_without_their_passwords(tmp_path: Path) -> None:
    given = {
        "DATABASE_URL": "postgresql://app:hidden@db.invalid:5433/app?password=hidden",
        "CATALOG_URL": "host=db.invalid password=hidden",
        "SNAPSHOT_DIR": "/somewhere",
    }
    with up(tmp_path, **given):
        text = output_once(tmp_path, is_up)
    assert "postgresql://db.invalid:5433/app" in text
    assert "hidden" not in text
