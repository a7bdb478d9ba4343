"""What the README says of speed is what was measured last, and says so where something was not measured."""

from __future__ import annotations

import json

from benchmarks.speed import readme
from benchmarks.speed.results import BESIDE, KEYS
from benchmarks.speed.targets import MEANINGS


def test_the_figures_in_the_readme_are_those_of_the_latest_run() -> None:
    found = json.loads(readme.LATEST.read_text("utf-8"))
    said = readme.README.read_text("utf-8")
    assert readme.figures(found) in said, "python -m benchmarks.speed.readme"


def test_writing_the_figures_leaves_every_other_word_of_the_readme() -> None:
    found = json.loads(readme.LATEST.read_text("utf-8"))
    other = {**found, "full_vs_pg_dump": 0.125, "warm_restore_seconds": None}
    said = readme.README.read_text("utf-8")
    changed = readme.with_figures(said, other)
    assert "| 0.12 |" in changed
    assert "| not measured |" in changed
    assert readme.with_figures(changed, found) == said


def test_every_ratio_that_is_measured_is_explained() -> None:
    assert {*KEYS, *BESIDE} == MEANINGS.keys()
