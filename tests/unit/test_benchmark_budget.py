"""A benchmark never takes longer than it may, and what ends it early leaves what was measured, marked as such."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from benchmarks.speed.budget import Budget, OutOfTime, Share, cut_off_after
from benchmarks.speed.keeping import STILL_RUNNING, Keeper
from benchmarks.speed.measure import Cost, Grown
from benchmarks.speed.parts import PARTS, Parts
from benchmarks.speed.record import Record
from benchmarks.speed.sizes import SIZES

FACTS = {"machine": "two cores", "database MB": {"18": 1}, "load before": 0.1}
COST = Cost(seconds=2.0, cpu=1.0, rss_mb=90.0, bytes=5_000_000)


def test_a_part_has_its_share_of_what_those_before_it_have_left() -> None:
    now = 100.0
    budget = Budget(began=100.0, seconds=60.0, clock=lambda: now)
    assert budget.share(0.5).fits(30.0)
    assert not budget.share(0.5).fits(30.1)
    now = 120.0
    assert budget.share(0.5).fits(20.0)
    assert not budget.share(0.5).fits(20.1)
    assert budget.spent == 20.0


def test_whatever_still_runs_when_the_minutes_are_over_is_cut_off() -> None:
    began = time.monotonic()
    with pytest.raises(OutOfTime, match="minutes were over"), cut_off_after(0.05):
        time.sleep(30)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_so_is_a_run_that_is_told_to_end_and_signals_mean_what_they_meant_before(number: int) -> None:
    before = signal.getsignal(number)
    with pytest.raises(OutOfTime, match="somebody"), cut_off_after(60):
        signal.raise_signal(number)
    assert signal.getsignal(number) is before
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_every_figure_is_kept_the_moment_it_is_there_and_marked_until_the_run_has_ended(
    tmp_path: Path,
) -> None:
    budget = Budget(began=time.monotonic(), seconds=60.0, clock=time.monotonic)
    keeper = Keeper(tmp_path, newest=18, facts=FACTS, budget=budget)
    record = Record(changed=lambda _: keeper.keep(record))
    record.measure(18, "full", "pg_dump -Fc", 1, lambda: COST)
    found = json.loads((tmp_path / "latest.json").read_text())
    assert [figure["way"] for figure in found["figures"]] == ["pg_dump -Fc"]
    assert found["unfinished"] == STILL_RUNNING
    assert STILL_RUNNING in (tmp_path / "speed.md").read_text()
    keeper.finish(record, unfinished=None, quote=False)
    assert json.loads((tmp_path / "latest.json").read_text())["unfinished"] is None
    assert "Not the whole" not in (tmp_path / "speed.md").read_text()


def test_a_part_that_fails_or_has_no_time_is_told_of_and_leaves_the_others(tmp_path: Path) -> None:
    now = 0.0
    heard = list[str]()
    budget = Budget(began=0.0, seconds=60.0, clock=lambda: now)
    parts = Parts(tmp_path, size=SIZES["tiny"], record=Record(changed=heard.append), budget=budget, facts={})

    def broken(_: Share) -> None:
        raise RuntimeError("no such server")

    done = list[str]()
    parts.attempt("growth", broken, budget.share(0.5))
    parts.attempt("queue", lambda _: done.append("queue"), budget.share(0.5))
    now = 61.0
    parts.attempt("warm", lambda _: done.append("warm"), budget.share(0.5))
    assert done == ["queue"]
    assert heard == [
        "growth did not come to its end: RuntimeError: no such server",
        "Left out for want of time: warm.",
    ]
    assert parts.why_not_whole(whole=True) == "there was no time for warm; did not come to their end: growth."


def test_the_last_part_has_all_that_is_left_however_long_the_others_took(tmp_path: Path) -> None:
    now = 0.0
    budget = Budget(began=0.0, seconds=100.0, clock=lambda: now)
    parts = Parts(tmp_path, size=SIZES["tiny"], record=Record(changed=print), budget=budget, facts={})
    for part in PARTS:
        share = parts.share(part)
        assert now < share.until <= 100.0
        now += 15.0
    assert share.until == pytest.approx(100.0)
    assert [SIZES[name].minutes for name in ("small", "medium")] == [3, 20]


def test_growth_is_drawn_as_lines_and_what_was_not_measured_is_not_drawn(tmp_path: Path) -> None:
    budget = Budget(began=time.monotonic(), seconds=60.0, clock=time.monotonic)
    keeper = Keeper(tmp_path, newest=18, facts=FACTS, budget=budget)
    record = Record(changed=lambda _: None)
    for size in (1, 2):
        record.add_grown(Grown(tables=0, size_bytes=size * 10**9, objects=40 * size, cost=COST))
    keeper.finish(record, unfinished=None, quote=False)
    assert sorted(path.name for path in tmp_path.glob("*.svg")) == ["growth.svg", "memory.svg"]
    assert "| 2000 | 3 | 2.00 | 1.00 | 90 | 80 | 40 |" in (tmp_path / "speed.md").read_text()
    assert json.loads((tmp_path / "latest.json").read_text())["worker_rss_mb"] == 90.0
