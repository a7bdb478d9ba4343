"""Numbers as the dashboard's units have them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

BYTES = (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3))
SECONDS = (("d", 86400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0), ("ms", 0.001))
MANY = 100


def written(value: float, unit: str) -> str:
    return WAYS.get(unit, plain)(value)


def plain(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) or abs(value) >= MANY else f"{value:.3g}"


def scaled(value: float, steps: Sequence[tuple[str, float]], least: str) -> str:
    for name, size in steps:
        if abs(value) >= size:
            return f"{value / size:.3g} {name}"
    return f"{value:.3g} {least}"


WAYS: Mapping[str, Callable[[float], str]] = {
    "s": lambda value: scaled(value, SECONDS, "s"),
    "bytes": lambda value: scaled(value, BYTES, "B"),
    "Bps": lambda value: scaled(value, BYTES, "B") + "/s",
    "ops": lambda value: f"{value:.3g}/s",
    "percentunit": lambda value: f"{value:.0%}",
    "bool_yes_no": lambda value: "yes" if value else "no",
}
