"""What the documents say can be looked up: links lead somewhere, and the transcript is the real one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/**/*.md")]
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_inside_the_project_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text("utf-8"))
    inside = [target for target in targets if "://" not in target]
    missing = [target for target in inside if not (page.parent / target).exists()]
    assert missing == []


def test_the_pages_can_be_built_and_every_anchor_in_them_is_there(tmp_path: Path) -> None:
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        env={"PATH": os.defpath, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (built.returncode, built.stderr) == (0, "")
    pages = {page.stem for page in ROOT.glob("docs/*.md")} - {"README"}
    assert pages <= {folder.name for folder in tmp_path.iterdir()}
    foreign = re.compile(r'<(?:script|link|img)[^>]+(?:src|href)="(?:https?:)?//')
    assert [page for page in tmp_path.rglob("*.html") if foreign.search(page.read_text("utf-8"))] == []


def test_the_readme_shows_the_transcript_that_was_kept() -> None:
    transcript = (ROOT / "docs" / "demo.txt").read_text("utf-8").strip()
    assert transcript in (ROOT / "README.md").read_text("utf-8")


def test_the_readme_names_only_targets_that_make_has() -> None:
    """A stranger must not have to read the Makefile for what the first page talks about."""
    listed = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = set(re.findall(r"`?make ([a-z-]+)`?", (ROOT / "README.md").read_text("utf-8")))
    assert named <= listed
    assert {"demo", "test", "up", "check", "help"} <= named
