"""Plots as SVG, written as what they are: a few rectangles, lines and words."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree as ET

from benchmarks.speed import data
from benchmarks.speed.measure import Grown, Summary
from benchmarks.speed.results import Results
from benchmarks.speed.works import FEW, OURS, hands

WIDTH, BAR, GAP, LABEL = 760, 20, 8, 250
HEIGHT, MARGIN = 320, 60
Point = tuple[float, float]
INK, OUR_COLOUR, THEIR_COLOUR, RANGE = "#222222", "#2a6f97", "#a9b4c2", "#d1495b"


def bars(results: Results, major: int, work: str) -> str:
    """Median seconds of each way, and from the fastest to the slowest round as a line."""
    found = [(way, results.of(major, work, way)) for way in results.ways(major, work)]
    rows = [(way, summary) for way, summary in found if summary is not None]
    return _bars(f"PostgreSQL {major}, {work}: seconds, median of {rows[0][1].rounds if rows else 0}", rows)


def next_ones(results: Results, major: int) -> str:
    """Ours: the full snapshot, and the next one after each kind of change."""
    found = [(work, results.of(major, work, hands(FEW))) for work in ("full", *data.CHANGES)]
    rows = [(f"{OURS}, {work}", summary) for work, summary in found if summary is not None]
    return _bars(f"PostgreSQL {major}, the next snapshot after each change: seconds", rows)


def _bars(title: str, rows: Sequence[tuple[str, Summary]]) -> str:
    top = max((summary.slowest for _, summary in rows), default=1.0)
    scale = (WIDTH - LABEL - 90) / top
    svg = _svg(WIDTH, 40 + len(rows) * (BAR + GAP))
    _text(svg, 10, 22, title)
    for number, (way, summary) in enumerate(rows):
        y, length = 36 + number * (BAR + GAP), summary.median.seconds * scale
        colour = OUR_COLOUR if way.startswith(OURS) else THEIR_COLOUR
        _add(svg, "rect", x=LABEL, y=y, width=f"{length:.1f}", height=BAR, fill=colour)
        middle = y + BAR / 2
        fastest, slowest = (LABEL + value * scale for value in (summary.fastest, summary.slowest))
        _line(svg, (fastest, middle), (slowest, middle), colour=RANGE)
        _text(svg, LABEL - 8, y + 15, way, anchor="end")
        _text(svg, slowest + 6, y + 15, f"{summary.median.seconds:.2f}")
    return _said(svg)


def growth(grown: Sequence[Grown]) -> str:
    """Straight lines, if all is well."""
    seconds = [each.cost.seconds for each in grown], [each.cost.cpu for each in grown]
    return _lines(
        "one hand, full snapshot: seconds (blue) and client CPU seconds (grey) over GB of the database",
        [each.size_bytes / 1e9 for each in grown],
        seconds,
        digits=2,
    )


def memory(grown: Sequence[Grown]) -> str:
    """A flat one."""
    return _lines(
        "the same: peak memory of any process of the worker, MB, over GB of the database",
        [each.size_bytes / 1e9 for each in grown],
        ([each.cost.rss_mb for each in grown],),
        digits=2,
    )


def tables(grown: Sequence[Grown]) -> str:
    seconds = [each.cost.seconds for each in grown], [each.cost.cpu for each in grown]
    return _lines(
        "one hand, full snapshot: seconds (blue) and client CPU seconds (grey) over the number of tables",
        [each.tables for each in grown],
        seconds,
        digits=0,
    )


def _lines(title: str, xs: Sequence[float], series: Sequence[Sequence[float]], *, digits: int) -> str:
    """One line for each of the series, both axes from zero."""
    svg = _svg(WIDTH, HEIGHT)
    _text(svg, 10, 22, title)
    right, top = max(xs, default=1.0), max((value for values in series for value in values), default=1.0)
    across, up = (WIDTH - 2 * MARGIN) / right, (HEIGHT - 2 * MARGIN) / top
    floor = HEIGHT - MARGIN
    _line(svg, (MARGIN, floor), (WIDTH - MARGIN, floor), colour=INK)
    _line(svg, (MARGIN, floor), (MARGIN, MARGIN), colour=INK)
    for colour, values in zip((OUR_COLOUR, THEIR_COLOUR), series, strict=False):
        points = [(MARGIN + x * across, floor - y * up) for x, y in zip(xs, values, strict=True)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        _add(svg, "polyline", points=path, fill="none", stroke=colour, **{"stroke-width": 2})
        for (x, y), value in zip(points, values, strict=True):
            _add(svg, "circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r=3, fill=colour)
            _text(svg, x + 5, y - 5, f"{value:.1f}")
    for x in xs:
        _text(svg, MARGIN + x * across, floor + 18, f"{x:.{digits}f}", anchor="middle")
    return _said(svg)


def _svg(width: int, height: int) -> ET.Element:
    svg = ET.Element("svg", xmlns="http://www.w3.org/2000/svg", width=str(width), height=str(height))
    _add(svg, "rect", width=width, height=height, fill="white")
    return svg


def _add(svg: ET.Element, kind: str, **attributes: object) -> ET.Element:
    return ET.SubElement(svg, kind, {name: str(value) for name, value in attributes.items()})


def _line(svg: ET.Element, start: Point, end: Point, *, colour: str) -> None:
    places = zip(("x1", "y1", "x2", "y2"), (*start, *end), strict=True)
    ends = {name: f"{value:.1f}" for name, value in places}
    _add(svg, "line", stroke=colour, **ends)


def _text(svg: ET.Element, x: float, y: float, words: str, *, anchor: str = "start") -> None:
    more = {"font-family": "sans-serif", "font-size": 12, "text-anchor": anchor}
    _add(svg, "text", x=f"{x:.1f}", y=f"{y:.1f}", fill=INK, **more).text = words


def _said(svg: ET.Element) -> str:
    ET.indent(svg)
    return ET.tostring(svg, encoding="unicode") + "\n"
