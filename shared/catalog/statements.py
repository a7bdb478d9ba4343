"""The long statements, each in a file of its own under `sql/`."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from sqlalchemy import TextClause, text


@cache
def statement(name: str) -> TextClause:
    """The statement in `sql/<name>.sql`."""
    return text(files("shared.catalog").joinpath("sql", f"{name}.sql").read_text("utf-8"))
