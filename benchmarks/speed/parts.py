"""The parts of a run, on which server each is measured; one that fails does not take the others with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.speed import crowd, growth, together, warm
from benchmarks.speed.budget import Budget, Share
from benchmarks.speed.record import Record
from benchmarks.speed.site import ADDRESSES, BENCH, Site, bins
from benchmarks.speed.sizes import Size
from benchmarks.speed.works import Works

WEIGHTS = {"older": 11, "works": 52, "warm": 9, "workers": 5, "queue": 10, "growth": 13}
"""What of the minutes each may have, in the order in which they come. `older` are works on the other servers. The last one
stops growing when its time is over, and so has what the others leave.
"""
PARTS = tuple(WEIGHTS)
ON_BENCH = {"older", "works", "warm"}
"""Those that need the large database, which the others have to do without: it takes space."""


class Parts:
    """Runs them one after another, the newest server first. `failed` are those that did not come to their end."""

    def __init__(
        self, folder: Path, *, size: Size, record: Record, budget: Budget, facts: dict[str, Any]
    ) -> None:
        self._folder, self._size, self._record, self._budget, self._facts = (
            folder,
            size,
            record,
            budget,
            facts,
        )
        self.failed = list[str]()
        self._left_out = list[str]()
        self._weight_left = sum(WEIGHTS.values())

    def run(self, majors: Sequence[int], *, only: Sequence[str]) -> None:
        """The first of these servers has everything, the others only their works, and those first."""
        newest, *others = majors
        wanted = [part for part in PARTS if part in only and (part != "older" or others)]
        self._weight_left = sum(WEIGHTS[part] for part in wanted)
        for major in others if "older" in wanted else ():
            self._at(major, ["older"], rows=self._size.older_rows)
        if rest := [part for part in wanted if part != "older"]:
            self._at(newest, rest, rows=self._size.rows)

    def why_not_whole(self, *, whole: bool) -> str | None:
        said = []
        if not whole:
            said.append("only a part was asked for")
        if self._left_out:
            said.append(f"there was no time for {', '.join(self._left_out)}")
        if self.failed:
            said.append(f"did not come to their end: {', '.join(self.failed)}")
        return "; ".join(said) + "." if said else None

    def _at(self, major: int, parts: Sequence[str], *, rows: int) -> None:
        site = Site(self._folder / str(major), major=major, bin_dir=bins()[major], addresses=ADDRESSES)
        try:
            with site:
                self._on(site, parts, rows=rows)
        except (Exception, SystemExit) as exc:  # noqa: BLE001 - the parts on the other server are still to be had
            self._failed(f"PostgreSQL {major}", exc)

    def _on(self, site: Site, parts: Sequence[str], *, rows: int) -> None:
        os.environ.update(site.seaweed.environment)  # noqa: TID251 - the S3 client finds its keys there
        data = Works(site, self._size, self._record, rows=rows)
        if ON_BENCH & {*parts}:
            self._facts["database MB"][str(site.major)] = round(data.fill() / 1e6)
            self._facts["rows"][str(site.major)] = rows
        acts: Mapping[str, Callable[[Share], None]] = {
            "older": data.measure,
            "works": data.measure,
            "warm": lambda share: warm.measure(site, self._record, share, rows=rows),
            "workers": lambda share: together.measure(site, self._size, self._record, share),
            "queue": lambda _: crowd.measure(site, self._size, self._record),
            "growth": lambda share: growth.measure(site, self._size, self._record, share),
        }
        for part in parts:
            if part not in ON_BENCH:
                site.drop(BENCH)
            self.attempt(f"{part} on PostgreSQL {site.major}", acts[part], self.share(part))
            site.drop_all_but(BENCH)
            site.begin_catalog()

    def attempt(self, name: str, act: Callable[[Share], None], share: Share) -> None:
        if not share.fits(0):
            self._left_out.append(name)
            self._record.note(f"Left out for want of time: {name}.")
            return
        try:
            act(share)
        except (Exception, SystemExit) as exc:  # noqa: BLE001 - whatever it was, the other parts are still to be had
            self._failed(name, exc)

    def _failed(self, name: str, exc: BaseException) -> None:
        self.failed.append(name)
        self._record.note(" ".join(f"{name} did not come to its end: {type(exc).__name__}: {exc}".split()))

    def share(self, part: str) -> Share:
        """Of the part that comes next."""
        share = self._budget.share(WEIGHTS[part] / self._weight_left)
        self._weight_left -= WEIGHTS[part]
        return share
