"""What tables that came back are called, and what sets each apart from the live one, for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cli import formats
from shared.domain.table_names import TableName, quoted


def new_table(schema: str | None, name: str) -> str:
    return str(TableName(schema=schema, name=name))


def facts(moved: Iterable[Mapping[str, Any]]) -> list[str]:
    """Of each table that came back what it is called, and what sets it apart from the live one."""
    said = []
    for each in moved:
        table = new_table(each["schema"], each["name"])
        said += [
            f"{table} is back as {new_table(each['schema'], each['to'])}: {compared(each['differences'])}"
        ]
    return said


def compared(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "there is no live table to compare it with"
    if found["why_not"] is not None:
        return (
            f"{formats.counted(found['snapshot_rows'], 'row')}, and {found['live_rows']:,} in the live one;"
            f" not compared row by row: {found['why_not']}"
        )
    key = ", ".join(quoted(column) for column in found["key"])
    more = f"; without {', '.join(found['not_compared'])}" if found["not_compared"] else ""
    return (
        f"{formats.counted(found['snapshot_rows'], 'row')}; {found['only_in_snapshot']:,} only in the snapshot,"
        f" {found['only_live']:,} only live, {found['changed']:,} changed (by {key}{more})"
    )
