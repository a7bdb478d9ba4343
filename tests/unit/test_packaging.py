"""The lock is current, complete, and tells nobody where we download from."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PIN = re.compile(
    r"^([\w.-]+)==(\S+)(?: ;[^\\]*)? \\\n((?: +--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE
)


def wanted() -> list[str]:
    project = PROJECT["project"]
    extras = [text for group in project["optional-dependencies"].values() for text in group]
    return [*project["dependencies"], *extras, *PROJECT["build-system"]["requires"]]


@pytest.mark.parametrize("text", wanted())
def test_the_lock_has_a_version_that_the_project_asks_for(text: str) -> None:
    requirement = Requirement(text)
    pins = {canonicalize_name(match[1]): Version(match[2]) for match in PIN.finditer(LOCK)}
    assert pins[canonicalize_name(requirement.name)] in requirement.specifier


def test_every_pin_has_a_hash() -> None:
    lines = [line for line in LOCK.splitlines() if re.match(r"[\w.-]+", line)]
    assert len(lines) == len(PIN.findall(LOCK))
    assert len(lines) > len(PROJECT["project"]["dependencies"])


def test_the_lock_holds_no_address() -> None:
    assert re.findall(r"https?://|--(?:extra-)?index-url [^\s]*/", LOCK) == []
