"""Run one of the examples against an embedded fleet: `python -m examples.consciousness.run python` or `node`.

Servers, a worker and the bus live in a temporary folder; nothing of the caller's is touched, and nothing
is left.
"""

# ruff: noqa: T201 - it speaks to whoever started it
from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from embedded.process import clean_environment
from embedded.stack import Stack

HERE = Path(__file__).parent
PATIENCE = timedelta(seconds=1)
TOO_LONG_SECONDS = 240


def run(language: str) -> int:
    """The exit status of the service, or of whatever had to be done for it and failed."""
    with tempfile.TemporaryDirectory(prefix="snapfleet-example-") as home:
        folder = Path(home)
        prepared, argv = SERVICES[language](folder)
        if prepared != 0:
            return prepared
        given = clean_environment(
            folder,
            # What an operator must say before a service may replace its own database.
            BUS_ALLOW="snapshot,verify,restore",
            PYTHONPATH=str(HERE.parents[1]),
        )
        with Stack(folder / "fleet", environ=given, patience=PATIENCE) as stack:
            status = call([sys.executable, "-m", "cli", "migrate"], environment=stack.environment)
            if status != 0:
                return status
            for name in ("workers", "bus"):
                stack.spawn(name, [sys.executable, "-m", name])
            status = call(argv, environment=stack.environment)
            if status != 0:
                show_logs(stack.folder / "log")
            return status


def call(
    argv: Sequence[str], *, environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> int:
    """Run a program to its end, its output with ours; in the caller's environment, if none is given."""
    sys.stdout.flush()
    ended = subprocess.run(argv, env=environment, cwd=folder, check=False, timeout=TOO_LONG_SECONDS)
    return ended.returncode


def python(_folder: Path) -> tuple[int, list[str]]:
    return 0, [sys.executable, "-m", "examples.consciousness.journal"]


def node(folder: Path) -> tuple[int, list[str]]:
    """The service with its two packages, exactly those that the lock names, none of their scripts run."""
    place = folder / "node"
    shutil.copytree(HERE / "node", place, ignore=shutil.ignore_patterns("node_modules"))
    install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    # npm is configured as it is for the caller: nothing of the fleet's is in there yet.
    return call(install, folder=place), ["node", str(place / "journal.js")]


def show_logs(folder: Path) -> None:
    for log in sorted(folder.glob("*.log")):
        print(f"== {log.name}\n{log.read_text(errors='replace')}", file=sys.stderr)


SERVICES: Mapping[str, Callable[[Path], tuple[int, list[str]]]] = {"python": python, "node": node}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("language", choices=SERVICES)
    sys.exit(run(parser.parse_args().language))
