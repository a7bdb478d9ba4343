"""The demo as a user starts it, on a smaller journal: a process of its own, real servers, real workers."""

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
from tests.e2e.processes import assert_all_leave, living_in
from tests.extent import WHOLE

DEADLINE_SECONDS = 150
DEMO = """
import sys
from pathlib import Path
from embedded.demo import run_demo
from shared.errors import SnapfleetError
try:
    status = run_demo(Path("fleet"), thoughts=10_000)
except SnapfleetError as exc:
    sys.exit(f"error: {exc.message}")
sys.exit(status)
"""
A_USERS_OWN = {
    "DATABASE_URL": "postgresql://me:secret@db.invalid/mine",
    "CATALOG_URL": "postgresql://me:secret@db.invalid/catalog",
    "REDIS_URL": "redis://redis.invalid",
    "S3_BUCKET": "my-bucket",
    "AWS_PROFILE": "mine",
    "AWS_ENDPOINT_URL_S3": "https://s3.invalid",
    "PGHOST": "db.invalid",
}


@contextmanager
def demo(folder: Path) -> Generator[subprocess.Popen[bytes]]:
    """Its output is in the file `out`."""
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", DEMO],
            cwd=folder,
            env={"PATH": os.defpath, "PYTHONPATH": str(Path(embedded.__file__).parents[1]), **A_USERS_OWN},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def output_once(folder: Path, process: subprocess.Popen[bytes], holds: Callable[[str], bool]) -> str:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds(text := (folder / "out").read_text()):
        assert process.poll() is None, text
        assert time.monotonic() < deadline, text
        time.sleep(0.02)
    return text


def line(text: str, name: str) -> list[str]:
    """The cells of a row of the table of figures, two blanks or more between them."""
    table = text.partition("fingerprint")[2]
    (found,) = re.findall(rf"^ *{name}  +(.*)$", table, re.MULTILINE)
    return re.split(r"  +", found.strip())


def test_the_demo_brings_everything_back_again_and_again(tmp_path: Path) -> None:
    """The first one is killed in the middle; what it leaves in the folder harms neither of the next two."""
    with demo(tmp_path) as killed:
        output_once(tmp_path, killed, lambda text: "Snapshot" in text)
    stored = set()
    for _ in range(2):
        with demo(tmp_path) as process:
            assert process.wait(DEADLINE_SECONDS) == 0, (tmp_path / "out").read_text()
        text = (tmp_path / "out").read_text()
        (before,), (damaged,) = line(text, "before"), line(text, "damaged")
        assert before != damaged
        assert line(text, "restored")[-1] == before
        assert line(text, "snapshot")[2].endswith("MB"), text
        assert line(text, "second snapshot")[2].endswith((" bytes", "kB")), "nearly nothing"
        stored.add(line(text, "snapshot")[2])
        assert living_in(tmp_path) == {}
    assert len(stored) == 1, "each run begins from nothing"


def test_ctrl_c_ends_it_with_one_line_and_no_process_left(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        output_once(tmp_path, process, lambda text: "Sample journal" in text)
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_SECONDS) == 130
        assert living_in(tmp_path) == {}
    assert (tmp_path / "out").read_text().endswith("error: interrupted; every process is stopped\n")


def test_a_process_of_the_fleet_that_dies_ends_it_with_an_error(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        output_once(tmp_path, process, lambda text: "Fleet" in text)
        (beat,) = (pid for pid, words in living_in(tmp_path).items() if "-m beat" in words)
        os.kill(beat, signal.SIGKILL)
        assert process.wait(DEADLINE_SECONDS) == 1
        assert living_in(tmp_path) == {}
    assert "error: beat ended with status -9" in (tmp_path / "out").read_text()


@WHOLE
def test_its_sudden_death_ends_every_process_that_it_started(tmp_path: Path) -> None:
    with demo(tmp_path) as process:
        output_once(tmp_path, process, lambda text: "Snapshot" in text)
        assert len(living_in(tmp_path)) > 5
    assert_all_leave(tmp_path)
