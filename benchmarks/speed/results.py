"""What the figures come to: the ratios that are promised, each from medians of one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.speed import together, warm
from benchmarks.speed.measure import Figure, Grown, Summary, summary
from benchmarks.speed.opponents import COPY_OUT, DUMP, DUMP_FOLDER, DUMP_ZSTD, RESTORE_FOLDER
from benchmarks.speed.works import CHANGED_ROWS, FEW, OURS, hands

KEYS = (
    "full_vs_pg_dump",
    "full_vs_best_pg_dump",
    "full_vs_copy_limit",
    "unchanged_vs_full",
    "corner_vs_full",
    "scattered_vs_full",
    "restore_vs_pg_restore",
    "warm_restore_seconds",
    "two_workers_speedup",
    "worker_rss_mb",
    "tiny_snapshots_per_second",
)
BESIDE = (
    "warm_restore_without_safety_snapshot_seconds",
    "corner_stored_vs_changed",
    "append_stored_vs_changed",
    "unchanged_seconds",
    "tiny_snapshots_per_second_per_core",
    "idle_cores",
)
"""What else was to be reached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """`about` is the machine, the versions and the seeds; `caveats` what keeps a figure from saying more; `unfinished`
    why not everything was measured, where that is so.
    """

    about: Mapping[str, Any]
    figures: Sequence[Figure]
    crowd: Mapping[str, float]
    by_size: Sequence[Grown] = ()
    by_tables: Sequence[Grown] = ()
    newest: int
    caveats: Sequence[str] = field(default_factory=tuple)
    unfinished: str | None = None

    @property
    def majors(self) -> list[int]:
        """What the queue and growth were measured on is among them, whatever else was."""
        return sorted({figure.major for figure in self.figures} | {self.newest})

    def of(self, major: int, work: str, way: str) -> Summary | None:
        found = [f for f in self.figures if (f.major, f.work, f.way) == (major, work, way)]
        return summary(found) if found else None

    def ways(self, major: int, work: str) -> list[str]:
        """In the order in which they were measured first."""
        return list(dict.fromkeys(f.way for f in self.figures if (f.major, f.work) == (major, work)))

    def works(self, major: int) -> list[str]:
        return list(dict.fromkeys(f.work for f in self.figures if f.major == major))

    def seconds(self, major: int, work: str, way: str) -> float | None:
        found = self.of(major, work, way)
        return None if found is None else found.median.seconds

    def medians(self, major: int) -> dict[str, float | None]:
        """By KEYS and BESIDE. None for what was not measured."""
        full = self.seconds(major, "full", hands(FEW))
        dumps = [self.seconds(major, "full", way) for way in (DUMP, DUMP_ZSTD, DUMP_FOLDER)]
        pair = [self.seconds(major, together.WORK, together.way(count)) for count in together.COUNTS]
        ours = [f.cost.rss_mb for f in self.figures if f.major == major and f.way.startswith(OURS)]
        newest = major == self.newest
        grown = [each.cost.rss_mb for each in (*self.by_size, *self.by_tables) if newest]
        crowd = self.crowd if newest else {}
        return {
            "full_vs_pg_dump": ratio(full, dumps[0]),
            "full_vs_best_pg_dump": ratio(full, min((d for d in dumps if d is not None), default=None)),
            "full_vs_copy_limit": ratio(full, self.seconds(major, "limit", COPY_OUT)),
            "unchanged_vs_full": ratio(self.seconds(major, "unchanged", hands(FEW)), full),
            "corner_vs_full": ratio(self.seconds(major, "corner", hands(FEW)), full),
            "scattered_vs_full": ratio(self.seconds(major, "scattered", hands(FEW)), full),
            "restore_vs_pg_restore": ratio(
                self.seconds(major, "restore", hands(FEW)), self.seconds(major, "restore", RESTORE_FOLDER)
            ),
            "warm_restore_seconds": rounded(self.seconds(major, warm.WORK, warm.SAFE)),
            "two_workers_speedup": ratio(pair[0], pair[1]),
            "worker_rss_mb": round(max([*ours, *grown]), 1) if ours or grown else None,
            "tiny_snapshots_per_second": rounded(crowd.get("tiny_snapshots_per_second")),
            "warm_restore_without_safety_snapshot_seconds": rounded(
                self.seconds(major, warm.WORK, warm.BARE)
            ),
            "corner_stored_vs_changed": self._stored(major, "corner"),
            "append_stored_vs_changed": self._stored(major, "append"),
            "unchanged_seconds": rounded(self.seconds(major, "unchanged", hands(FEW))),
            "tiny_snapshots_per_second_per_core": rounded(crowd.get("tiny_snapshots_per_second_per_core")),
            "idle_cores": ratio(crowd.get("idle_cores"), 1.0),
        }

    def _stored(self, major: int, work: str) -> float | None:
        """Bytes stored anew to those of the changed rows alone."""
        stored, least = (self.of(major, work, way) for way in (hands(FEW), CHANGED_ROWS))
        return None if stored is None or least is None else ratio(stored.median.bytes, least.median.bytes)

    def as_json(self) -> dict[str, Any]:
        return {
            **self.medians(self.newest),
            "unfinished": self.unfinished,
            "about": dict(self.about),
            "medians_of": self.newest,
            "by_major": {str(major): self.medians(major) for major in self.majors},
            "queue": dict(self.crowd),
            "growth": {
                "size": [asdict(each) for each in self.by_size],
                "tables": [asdict(each) for each in self.by_tables],
            },
            "figures": [asdict(figure) for figure in self.figures],
            "caveats": list(self.caveats),
        }


def ratio(one: float | None, other: float | None) -> float | None:
    return None if one is None or not other else round(one / other, 3)


def rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
