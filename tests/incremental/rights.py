"""What deploy/sql/source-incremental.sql gives, for a role of another name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg

SCRIPT = Path(__file__).parents[2] / "deploy" / "sql" / "source-incremental.sql"


def allow_summaries(session: psycopg.Connection[Any], role: str) -> None:
    """Run the script in the session's database, by a superuser."""
    session.execute(SCRIPT.read_text("utf-8").replace("snapfleet_source", role).encode())
