"""How the catalog's tables are declared: one base, names of constraints by rule, and values that SQL compares with."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    DateTime,
    MetaData,
    Table,
    Text,
    any_,
    literal,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase

from shared.domain.access import Role
from shared.domain.job import LANES, JobKind, JobState, Lane, StepState
from shared.domain.snapshot import Reason, SnapshotState


class Base(DeclarativeBase):
    # Named by rule, so that a later migration can name what it changes.
    metadata = MetaData(
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "fk": "%(table_name)s_%(column_0_name)s_fkey",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "ck": "%(table_name)s_%(constraint_name)s_check",
            "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads a plain class attribute
        str: Text(),
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB(),
        int: BigInteger(),
    }


def table(row: type[Base]) -> Table:
    """The plain table behind a model: what statements are built from."""
    found = row.__table__
    if not isinstance(found, Table):
        raise TypeError(f"{row.__name__} is not mapped to a table")
    return found


NOW = text("now()")
EMPTY = text("'{}'::jsonb")
NONE = text("'[]'::jsonb")
LIVE = "state in ('active', 'rolling_back')"


def is_among(column: ColumnElement[Any], values: Collection[str]) -> ColumnElement[bool]:
    """As one parameter, however many there are: a statement takes 65,535."""
    return column == any_(literal(list(values), ARRAY(Text)))


def one_of(column: str, values: type[JobKind | JobState | StepState | SnapshotState | Reason | Role]) -> str:
    return f"{column} in ({', '.join(repr(str(v)) for v in values)})"


def live_in(lane: Lane) -> str:
    kinds = ", ".join(repr(str(kind)) for kind in JobKind if LANES[kind] is lane)
    return f"{LIVE} and kind in ({kinds})"
