"""The benchmark runs through, at a size that says nothing, and writes what it promises."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.speed.__main__ import main
from benchmarks.speed.results import KEYS

PARTS = ("works", "queue")
"""The others are a fleet and its jobs too, and take as long again."""
UNMEASURED = {"unchanged_vs_full", "corner_vs_full", "two_workers_speedup", "warm_restore_seconds"}
"""What the tiniest size, and these parts, leave out."""

pytestmark = pytest.mark.timeout(900)  # a busy machine takes its time to start two fleets


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    assert main(["--size", "tiny", "--major", "18", "--only", *PARTS, "--results", str(folder)]) == 0
    return folder


def test_every_promised_ratio_is_there_and_measured(results: Path) -> None:
    found = json.loads((results / "latest.json").read_text())
    assert set(KEYS) <= found.keys()
    assert {key for key in KEYS if found[key] is None} == UNMEASURED
    assert all(found[key] > 0 for key in set(KEYS) - UNMEASURED)


def test_figures_stand_with_machine_versions_seed_and_caveats(results: Path) -> None:
    found = json.loads((results / "latest.json").read_text())
    assert {"machine", "PostgreSQL", "S3 server", "seed", "rows", "load before"} <= found["about"].keys()
    assert found["caveats"]
    assert found["unfinished"] == "only a part was asked for."
    assert all(figure["cost"]["seconds"] > 0 for figure in found["figures"])


def test_the_page_shows_every_way_that_was_measured(results: Path) -> None:
    found = json.loads((results / "latest.json").read_text())
    page = (results / "speed.md").read_text().replace("&#124;", "|")
    assert [f for f in found["figures"] if f"| {f['work']} | {f['way']} |" not in page] == []
    assert all(
        (results / plot).read_text().startswith("<svg")
        for plot in ("full-18.svg", "restore-18.svg", "next-18.svg")
    )
