"""The figures in the README, made of `latest.json`.

python -m benchmarks.speed.readme      writes them into it; `make bench` has done so
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.speed.results import KEYS
from benchmarks.speed.targets import MEANINGS

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
LATEST = ROOT / "benchmarks" / "results" / "latest.json"
BEGIN, END = "<!-- figures: made by make bench -->", "<!-- end of figures -->"


def figures(found: Mapping[str, Any]) -> str:
    """The block of the README, from its first marker to its last."""
    about, major = found["about"], found["medians_of"]
    size = about["database MB"].get(str(major))
    lines = [
        BEGIN,
        f"| on {about['machine'].partition(', load')[0]}, PostgreSQL {major}, a database of {size} MB | to reach | |",
        "| --- | --- | ---: |",
        *(f"| {MEANINGS[key].words} | {MEANINGS[key].to_reach} | {shown(found[key])} |" for key in KEYS),
        *([f"\nNot the whole: {found['unfinished']}"] if found.get("unfinished") else []),
        END,
    ]
    return "\n".join(lines)


def shown(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.2f}"


def with_figures(readme: str, found: Mapping[str, Any]) -> str:
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + figures(found) + after


def main() -> None:
    found = json.loads(LATEST.read_text())
    README.write_text(with_figures(README.read_text("utf-8"), found))


if __name__ == "__main__":
    main()
