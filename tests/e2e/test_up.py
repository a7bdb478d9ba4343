"""`up` with the real fleet: what it protects, how other commands find it, and that nothing outlives it."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg

import embedded
from tests.e2e.processes import assert_all_leave, living_in

DEADLINE_SECONDS = 60
UP = """
import sys
from pathlib import Path
from embedded.up import run_up
sys.exit(run_up(folder=Path("fleet"), thoughts=200))
"""
SOURCES = str(Path(embedded.__file__).parents[1])


@contextmanager
def up(folder: Path, **given: str) -> Generator[subprocess.Popen[bytes]]:
    """A fleet that is up, its output in the file `out`."""
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", UP],
            cwd=folder,
            env={"PATH": os.defpath, "PYTHONPATH": SOURCES, **given},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            deadline = time.monotonic() + DEADLINE_SECONDS
            while "The fleet is up" not in (text := (folder / "out").read_text()):
                assert process.poll() is None, text
                assert time.monotonic() < deadline, text
                time.sleep(0.05)
            yield process
        finally:
            process.terminate()
            process.wait(DEADLINE_SECONDS)


def from_another_terminal(folder: Path, command: str) -> Any:
    """What a command prints as JSON after the line that `up` tells its user to type."""
    ended = subprocess.run(
        ["sh", "-ec", f". fleet/environment; {sys.executable} -m cli {command} --json"],
        cwd=folder,
        env={"PATH": os.defpath, "PYTHONPATH": SOURCES},
        capture_output=True,
        check=False,
        timeout=DEADLINE_SECONDS,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def looked_at(text: str, name: str) -> str:
    """What is to be seen where it is said to be; the status where that is not all right."""
    (address,) = re.findall(rf"^{name} .* (http://\S+)", text, flags=re.MULTILINE)
    answer = httpx.get(address)
    return answer.text if answer.is_success else str(answer.status_code)


def test_it_protects_a_sample_leads_other_commands_to_it_and_dies_with_every_process_that_it_started(
    tmp_path: Path,
) -> None:
    with up(tmp_path) as process:
        environment = tmp_path / "fleet" / "environment"
        assert str(environment) in (tmp_path / "out").read_text()
        assert stat.S_IMODE(environment.stat().st_mode) == 0o600
        from_another_terminal(tmp_path, "snapshot take --wait")
        text = (tmp_path / "out").read_text()
        assert "snapfleet_snapshots{" in looked_at(text, "exporter")
        assert "snapfleet_step_seconds_count{" in looked_at(text, "worker-1")
        assert looked_at(text, "flower") == "401", "it has a password"
        (snapshot,) = from_another_terminal(tmp_path, "snapshot list")
        assert (snapshot["database"], snapshot["state"]) == ("journal", "sealed")
        assert snapshot["row_count"] > 200
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_SECONDS) == 0
        assert living_in(tmp_path) == {}
    with up(tmp_path) as process:
        assert "Writing the sample database" not in (tmp_path / "out").read_text(), "it is there already"
        assert len(from_another_terminal(tmp_path, "snapshot list")) == 1
        assert len(living_in(tmp_path)) > 5
        process.kill()  # what could still be done about its processes, it cannot do
        process.wait()
        assert_all_leave(tmp_path)


def test_a_given_database_is_protected_instead_of_the_sample(
    tmp_path: Path, database: Callable[..., str]
) -> None:
    url = database(name=f"mine_{os.getpid()}")
    with psycopg.connect(url) as session:
        session.execute("create table mine as select 1 as a from generate_series(1, 7)")
    with up(tmp_path, DATABASE_URL=url):
        from_another_terminal(tmp_path, "snapshot take --wait")
        (snapshot,) = from_another_terminal(tmp_path, "snapshot list")
        assert (snapshot["database"], snapshot["row_count"]) == (f"mine_{os.getpid()}", 7)
        text = (tmp_path / "out").read_text()
        assert "sample" not in text
        assert "secret" not in text, "no password"
