"""The long statements, each in a file of its own under `sql/`."""

from __future__ import annotations

from importlib.resources import files

from sqlalchemy import TextClause, text

# All at once, when the process starts: an upgrade under its feet must not mix two releases.
STATEMENTS = {
    file.name.removesuffix(".sql"): text(file.read_text("utf-8"))
    for file in files("shared.catalog").joinpath("sql").iterdir()
    if file.name.endswith(".sql")
}


def statement(name: str) -> TextClause:
    """The statement in `sql/<name>.sql`."""
    return STATEMENTS[name]
