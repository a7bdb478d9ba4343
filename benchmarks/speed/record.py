"""What a run has found so far, told to whoever keeps it after every single figure."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.speed.measure import Cost, Figure, Grown


class Record:
    """`changed` hears of every addition, in words. `notes` say what was left out, and why."""

    def __init__(self, *, changed: Callable[[str], None]) -> None:
        self._changed = changed
        self.figures = list[Figure]()
        self.notes = list[str]()
        self.crowd = dict[str, float]()
        self.by_size = list[Grown]()
        self.by_tables = list[Grown]()

    def measure(self, major: int, work: str, way: str, number: int, act: Callable[[], Cost]) -> Figure:
        figure = Figure(major=major, work=work, way=way, round=number, cost=act())
        self.figures.append(figure)
        self._changed(say(figure))
        return figure

    def note(self, words: str) -> None:
        self.notes.append(words)
        self._changed(words)

    def add_crowd(self, found: dict[str, float]) -> None:
        self.crowd |= found
        self._changed(", ".join(f"{name} {value:.3f}" for name, value in found.items()))

    def add_grown(self, grown: Grown) -> None:
        (self.by_tables if grown.tables else self.by_size).append(grown)
        what = f"{grown.tables} tables" if grown.tables else f"{grown.size_bytes / 1e6:.0f} MB"
        self._changed(f"grown to {what}: {grown.cost.seconds:.2f} s {grown.cost.rss_mb:.0f} MB of memory")


def say(figure: Figure) -> str:
    cost = figure.cost
    return (
        f"{figure.major} round {figure.round}: {figure.work:<16} {figure.way:<40} {cost.seconds:7.2f} s"
        f" {cost.cpu:7.2f} CPU s {cost.rss_mb:5.0f} MB {cost.bytes / 1e6:9.1f} MB stored"
    )
