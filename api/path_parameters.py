"""Parameters in paths. What cannot be a name or an id is unknown: it is looked up nowhere, and answered alike."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path

from api.permissions import JOB_ID, SNAPSHOT_ID
from shared.domain.database import NAME

DatabasePath = Annotated[
    str,
    Path(
        description="The database's name in the configuration.",
        json_schema_extra={"pattern": f"^{NAME}$", "examples": ["orders"]},
    ),
]
SnapshotPath = Annotated[
    str,
    Path(
        description="The snapshot's id.",
        json_schema_extra={"pattern": f"^{SNAPSHOT_ID}$", "examples": ["20261122T195500Z-3f9a2c"]},
    ),
]
JobPath = Annotated[
    str,
    Path(
        description="The job's id.",
        json_schema_extra={"pattern": f"^{JOB_ID}$", "examples": ["3b6ae179-5f0e-4a3f-8a3b-6f3f3a3f9d11"]},
    ),
]
