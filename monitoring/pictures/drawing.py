"""Panels as SVG and HTML: the same queries that Grafana asks, drawn without it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from monitoring.grafana.panels import Kind, Panel, Row
from monitoring.pictures.numbers import written

COLOURS = ("#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#f2495c", "#b877d9", "#8ab8ff", "#ffee52", "#96d98d")
NAMED = {"red": "#c4162a", "yellow": "#cc9d00", "green": "#37872d", "blue": "#1f60c4"}
HEIGHT, MARGIN = 160, 12
GUTTER = 62
COLUMN = 64
GRID_LINES = 4
MOST_SHOWN = 6

STYLE = """
body { margin: 0; padding: 14px; background: #111217; color: #ccccdc; font: 13px DejaVu Sans, sans-serif; width: 1572px; }
h2 { font-size: 15px; margin: 12px 4px 6px; font-weight: 600; }
.row { display: grid; grid-template-columns: repeat(24, 1fr); gap: 8px; } svg { display: block; width: 100%; }
.panel { background: #181b1f; border: 1px solid #2a2d33; border-radius: 3px; padding: 8px 10px; box-sizing: border-box; }
.panel h3 { font-size: 13px; margin: 0 0 6px; font-weight: 600; color: #d8d9da; }
.stat { border-radius: 3px; font-size: 34px; font-weight: 700; color: white; text-align: center; padding: 26px 4px; }
table { border-collapse: collapse; width: 100%; } td, th { text-align: left; padding: 5px 10px; border-bottom: 1px solid #2a2d33; }
th { color: #8e8e9c; font-weight: 500; } .legend { font-size: 11px; color: #9fa1a8; line-height: 1.5; }
.dot { display: inline-block; width: 10px; height: 3px; margin: 0 5px 3px 0; } .legend b { color: #d8d9da; font-weight: 600; }
"""


TELL_HEIGHT = "<script>document.title = document.documentElement.scrollHeight</script>"
"""For whoever takes the picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One series: its label, and its points in time."""

    label: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A panel with what its queries were answered, a list of lines for each."""

    panel: Panel
    answers: Sequence[Sequence[Line]]


def page(row: Row, panels: Iterable[Drawn]) -> str:
    boxes = "".join(
        f'<div class="panel" style="grid-column: span {drawn.panel.width}">'
        f"<h3>{escape(drawn.panel.title)}</h3>{content(drawn)}</div>"
        for drawn in panels
    )
    head = f'<!doctype html><meta charset="utf-8"><style>{STYLE}</style>'
    return f'{head}<h2>{escape(row.title)}</h2><div class="row">{boxes}</div>{TELL_HEIGHT}'


def content(drawn: Drawn) -> str:
    match drawn.panel.kind:
        case Kind.STAT:
            return number(drawn)
        case Kind.TABLE:
            return table(drawn)
        case _:
            return chart(drawn)


def number(drawn: Drawn) -> str:
    value = drawn.answers[0][0].points[-1][1]
    colour = next(c for v, c in reversed(drawn.panel.thresholds) if v is None or value >= v)
    return f'<div class="stat" style="background:{NAMED[colour]}">{written(value, drawn.panel.unit)}</div>'


def table(drawn: Drawn) -> str:
    heads = "".join(f"<th>{escape(query.legend)}</th>" for query in drawn.panel.queries)
    names = sorted({line.label for lines in drawn.answers for line in lines})
    body = ""
    for name in names:
        values = [
            next((li.points[-1][1] for li in lines if li.label == name), None) for lines in drawn.answers
        ]
        cells = "".join(f"<td>{'' if v is None else written(v, drawn.panel.unit)}</td>" for v in values)
        body += f"<tr><td><b>{escape(name)}</b></td>{cells}</tr>"
    return f"<table><tr><th>database</th>{heads}</tr>{body}</table>"


def chart(drawn: Drawn) -> str:
    lines = [line for found in drawn.answers for line in found]
    width = drawn.panel.width * COLUMN - 24
    points = [point for line in lines for point in line.points]
    if not points:
        return '<div class="legend">nothing of the kind here</div>'
    low, high = min(at for at, _ in points), max(at for at, _ in points)
    top = (max(value for _, value in points) or 1.0) * 1.1
    stacked = drawn.panel.kind is Kind.STACKED

    def x(at: float) -> float:
        return GUTTER + (width - GUTTER - MARGIN) * ((at - low) / (high - low) if high > low else 1.0)

    floor: dict[float, float] = {}
    if stacked:
        totals: dict[float, float] = {}
        for at, value in points:
            totals[at] = totals.get(at, 0) + value
        top = (max(totals.values()) or 1.0) * 1.1
    shapes = "".join(grid(width, top, drawn.panel.unit))
    for colour, line in zip(cycle(), lines, strict=False):
        tops = [(at, value + (floor.get(at, 0.0) if stacked else 0.0)) for at, value in line.points]
        path = " ".join(f"{x(at):.1f},{y(value, top):.1f}" for at, value in tops)
        if stacked:
            below = " ".join(f"{x(at):.1f},{y(floor.get(at, 0.0), top):.1f}" for at, _ in reversed(tops))
            shapes += f'<polygon points="{path} {below}" fill="{colour}" fill-opacity="0.45"/>'
            floor |= dict(tops)
        shapes += f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"/>'
    return f'<svg viewBox="0 0 {width} {HEIGHT}">{shapes}</svg>{legend(lines, drawn.panel.unit)}'


def y(value: float, top: float) -> float:
    return HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * value / top


def grid(width: int, top: float, unit: str) -> Iterator[str]:
    for line in range(GRID_LINES + 1):
        value = top * line / GRID_LINES
        at = y(value, top)
        yield f'<line x1="{GUTTER}" x2="{width}" y1="{at:.1f}" y2="{at:.1f}" stroke="#26282e"/>'
        at_right = f'x="{GUTTER - 6}" y="{at + 3:.1f}" text-anchor="end"'
        yield f'<text {at_right} fill="#7b7d85" font-size="10">{written(value, unit)}</text>'


def legend(lines: Sequence[Line], unit: str) -> str:
    largest = sorted(zip(cycle(), lines, strict=False), key=lambda each: -each[1].points[-1][1])
    shown = "".join(
        f'<div><span class="dot" style="background:{colour}"></span>{escape(line.label or "value")}'
        f" <b>{written(line.points[-1][1], unit)}</b></div>"
        for colour, line in largest[:MOST_SHOWN]
    )
    more = f"<div>and {len(lines) - MOST_SHOWN} more</div>" if len(lines) > MOST_SHOWN else ""
    return f'<div class="legend">{shown}{more}</div>'


def cycle() -> Iterator[str]:
    while True:
        yield from COLOURS
