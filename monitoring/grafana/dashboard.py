"""The dashboard as Grafana reads it, made of our rows by Grafana's own library."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from grafana_foundation_sdk.builders import common as parts
from grafana_foundation_sdk.builders import dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as words
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    DataTransformerConfig,
    GridPos,
    Threshold,
    ThresholdsMode,
    VariableOption,
    VariableRefresh,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from monitoring.grafana import fleet, recovery
from monitoring.grafana.panels import Kind, Panel, Row, Steps

UID = "snapfleet"
FULL_WIDTH = 24
ROWS: tuple[Row, ...] = (*recovery.ROWS, *fleet.ROWS)
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")

Visual = stat.Panel | timeseries.Panel | table.Panel


def render() -> str:
    """As JSON, the same every time."""
    return JSONEncoder(indent=2, sort_keys=True).encode(make().build()) + "\n"


def make() -> dashboard.Dashboard:
    made = (
        dashboard.Dashboard("Snapfleet")
        .uid(UID)
        .description("Whether every database could come back, and what the fleet does for it.")
        .tags(["snapfleet", "postgresql", "backup"])
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time("now-24h", "now")
        .refresh("30s")
        .timezone("browser")
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(
            dashboard.QueryVariable("database")
            .label("Database")
            .datasource(SOURCE)
            .query("label_values(snapfleet_schedule_interval_seconds, database)")
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .multi(multi=True)
            .include_all(include_all=True)
            .all_value(".*")
            .current(VariableOption(text="All", value="$__all", selected=True))
        )
    )
    line = number = 0
    for row in ROWS:
        number += 1
        made.with_row(dashboard.Row(row.title).id(number).grid_pos(place(0, line, FULL_WIDTH, 1)))
        line, column, height = line + 1, 0, 0
        for panel in row.panels:
            if column + panel.width > FULL_WIDTH:
                line, column, height = line + height, 0, 0
            number += 1
            made.with_panel(visual(panel).id(number).grid_pos(place(column, line, panel.width, panel.height)))
            column, height = column + panel.width, max(height, panel.height)
        line += height
    return made


def place(x: int, y: int, width: int, height: int) -> GridPos:
    return GridPos(x=x, y=y, w=width, h=height)


def visual(panel: Panel) -> Visual:
    made = MAKERS[panel.kind](panel)
    made.title(panel.title).description(panel.says).datasource(SOURCE)
    made.unit(panel.unit).thresholds(thresholds(panel.thresholds))
    for letter, query in zip("ABCDEFG", panel.queries, strict=False):
        asked = prometheus.Dataquery().expr(query.expr).legend_format(query.legend).ref_id(letter)
        if panel.kind is Kind.TABLE:
            asked.instant().format(PromQueryFormat.TABLE)
        elif panel.kind is Kind.STAT:
            asked.instant()
        else:
            asked.range()
        made.with_target(asked)
    return made


def thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    return (
        dashboard.ThresholdsConfig()
        .mode(ThresholdsMode.ABSOLUTE)
        .steps([Threshold(value=value, color=color) for value, color in steps])
    )


def one_number(_: Panel) -> Visual:
    return (
        stat.Panel()
        .graph_mode(words.BigValueGraphMode.NONE)
        .color_mode(words.BigValueColorMode.BACKGROUND)
        .reduce_options(parts.ReduceDataOptions().calcs(["lastNotNull"]))
        .no_value("none yet")
    )


def lines(_: Panel) -> Visual:
    legend = (
        parts.VizLegendOptions()
        .display_mode(LegendDisplayMode.TABLE)
        .placement(LegendPlacement.BOTTOM)
        .show_legend(show_legend=True)
        .calcs(["lastNotNull", "max"])
    )
    return (
        timeseries.Panel()
        .legend(legend)
        .line_width(2)
        .fill_opacity(10)
        .axis_soft_min(0)
        .thresholds_style(parts.GraphThresholdsStyleConfig().mode(words.GraphTresholdsStyleMode.OFF))
    )


def stacked(panel: Panel) -> Visual:
    made = lines(panel)
    if isinstance(made, timeseries.Panel):
        made.fill_opacity(50).stacking(parts.StackingConfig().mode(words.StackingMode.NORMAL).group("A"))
    return made


def rows_of(panel: Panel) -> Visual:
    """One line for each database: the queries side by side, under the names that they have."""
    shown = {
        f"Value #{letter}": query.legend for letter, query in zip("ABCDEFG", panel.queries, strict=False)
    }
    return (
        table.Panel()
        .with_transformation(DataTransformerConfig(id_val="merge", options={}))
        .with_transformation(
            DataTransformerConfig(
                id_val="organize", options={"excludeByName": {"Time": True}, "renameByName": shown}
            )
        )
    )


MAKERS: Mapping[Kind, Callable[[Panel], Visual]] = {
    Kind.STAT: one_number,
    Kind.SERIES: lines,
    Kind.STACKED: stacked,
    Kind.TABLE: rows_of,
}
