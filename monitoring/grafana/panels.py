"""What the dashboard is made of, as data: each row answers one question, each panel one part of it.

`$database` is the variable at the top; `$__rate_interval` is Grafana's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

RED, YELLOW, GREEN, BLUE = "red", "yellow", "green", "blue"

Steps = tuple[tuple[float | None, str], ...]
"""From which value on which colour holds; the first from minus infinity."""

PLAIN: Steps = ((None, BLUE),)
ALL_OR_RED: Steps = ((None, RED), (1, GREEN))
NONE_OR_RED: Steps = ((None, GREEN), (1, RED))
NONE_OR_YELLOW: Steps = ((None, GREEN), (1, YELLOW))


class Kind(StrEnum):
    STAT = "stat"
    SERIES = "series"
    STACKED = "stacked"
    TABLE = "table"


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    title: str
    says: str
    unit: str
    queries: tuple[Query, ...]
    kind: Kind = Kind.SERIES
    thresholds: Steps = PLAIN
    width: int = 8
    height: int = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    title: str
    panels: tuple[Panel, ...]


OF = '{database=~"$database"}'


def age(standing: str) -> str:
    """Of each database: seconds since the moment that its newest snapshot of this standing shows."""
    return (
        f'min by (database) (snapfleet_snapshot_age_seconds{{standing="{standing}", database=~"$database"}})'
    )


def of(metric: str) -> str:
    return f"max by (database) (snapfleet_{metric}{OF})"


def rate(metric: str, by: str) -> str:
    return f"sum by ({by}) (rate(snapfleet_{metric}[$__rate_interval]))"


def quantile(share: float, metric: str, by: str) -> str:
    return f"histogram_quantile({share}, {rate(f'{metric}_bucket', f'{by}, le')})"


def share(number: str, of_all: str) -> str:
    """0 is right where none qualifies; nothing at all where there is nobody to qualify."""
    return f"(count({number}) or 0 * count({of_all})) / count({of_all})"


def one(expr: str, legend: str = "") -> tuple[Query, ...]:
    return (Query(expr=expr, legend=legend),)
