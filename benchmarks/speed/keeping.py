"""Keeps what was measured in files, after every figure, and says in them what is not there yet."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.speed import page, plots, readme
from benchmarks.speed.about import CAVEATS
from benchmarks.speed.budget import Budget
from benchmarks.speed.record import Record
from benchmarks.speed.results import Results

STILL_RUNNING = "this run has not ended, or was killed."


class Keeper:
    """`newest` is the server whose figures stand first."""

    def __init__(self, folder: Path, *, newest: int, facts: Mapping[str, Any], budget: Budget) -> None:
        self._folder, self._newest, self._facts, self._budget = folder, newest, facts, budget
        folder.mkdir(parents=True, exist_ok=True)

    def keep(self, record: Record) -> None:
        self._write(self._results(record, STILL_RUNNING))

    def finish(self, record: Record, *, unfinished: str | None, quote: bool) -> None:
        """The last time; with `quote` the README says the same from then on."""
        self._write(self._results(record, unfinished))
        if quote:
            readme.main()

    def _results(self, record: Record, unfinished: str | None) -> Results:
        return Results(
            about={**self._facts, "minutes taken": round(self._budget.spent / 60, 1)},
            figures=record.figures,
            crowd=record.crowd,
            by_size=record.by_size,
            by_tables=record.by_tables,
            newest=self._newest,
            caveats=(*CAVEATS, *record.notes),
            unfinished=unfinished,
        )

    def _write(self, results: Results) -> None:
        (self._folder / "latest.json").write_text(json.dumps(results.as_json(), indent=1) + "\n")
        (self._folder / "speed.md").write_text(page.page(results))
        for major in results.majors:
            for work in page.PLOTTED:
                if results.ways(major, work):
                    (self._folder / f"{work}-{major}.svg").write_text(plots.bars(results, major, work))
            if results.works(major):
                (self._folder / f"next-{major}.svg").write_text(plots.next_ones(results, major))
        if results.by_size:
            (self._folder / "growth.svg").write_text(plots.growth(results.by_size))
            (self._folder / "memory.svg").write_text(plots.memory(results.by_size))
        if results.by_tables:
            (self._folder / "tables.svg").write_text(plots.tables(results.by_tables))
