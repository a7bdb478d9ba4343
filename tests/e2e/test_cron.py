"""The lines of deploy/cron, run as cron would run them: they take a snapshot and say nothing when all is well."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

from tests.e2e.site import Site

FOLDER = Path(__file__).parents[2] / "deploy" / "cron"
FIELDS = 6  # five of time, one of the user
PATIENCE_SECONDS = 90


def commands() -> list[str]:
    lines = (FOLDER / "snapfleet").read_text("utf-8").splitlines()
    jobs = [line for line in lines if line[:1].isdigit()]
    return [line.split(None, FIELDS)[FIELDS] for line in jobs]


def run(command: str, site: Site, folder: Path) -> subprocess.CompletedProcess[str]:
    """With what cron gives: a home, a path, and no setting at all."""
    environment = folder / "environment"
    settings = {key: value for key, value in site.environment.items() if key not in {"PATH", "HOME"}}
    environment.write_text("".join(f"{key}={shlex.quote(value)}\n" for key, value in settings.items()))
    return subprocess.run(
        ["sh", "-c", command.replace("/opt/snapfleet/deploy/cron", str(FOLDER))],
        env={
            "HOME": str(folder),
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "SNAPFLEET_ENVIRONMENT": str(environment),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )


def test_every_line_does_its_work_and_says_nothing(site: Site, tmp_path: Path) -> None:
    before = len(site.recorded("select id from snapshot where state = 'sealed'"))
    assert len(commands()) == 2
    for command in commands():
        ended = run(command, site, tmp_path)
        assert (ended.returncode, ended.stdout) == (0, ""), (command, ended)
    site.settled()
    assert len(site.recorded("select id from snapshot where state = 'sealed'")) == before + 1


def test_what_goes_wrong_is_said_so_that_cron_mails_it(site: Site, tmp_path: Path) -> None:
    command = commands()[0].replace("snapshot take", "snapshot take nothing-of-that-name")
    ended = run(command, site, tmp_path)
    assert ended.returncode != 0
    assert "error: " in ended.stderr
