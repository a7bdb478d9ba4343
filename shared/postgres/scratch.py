"""A database to try things out with: made, filled, counted and dropped by us, and seen by nobody else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from psycopg import sql

from shared.errors import Refused
from shared.postgres import databases, inspection
from shared.postgres.session import Session

PREFIX = f"{databases.OURS}doctor_"
LASTS = timedelta(hours=1)
"""Longer than any trial takes: what is older was left by one that was killed."""
MADE = re.compile(rf"{PREFIX}(\d{{8}}t\d{{6}}z)_")

FILL = """
create table public.trial (id bigint primary key, words text not null, raw bytea);
create index on public.trial (words);
create sequence public.numbers;
create view public.lately as select id from public.trial where id > 10;
"""


def name_of(trial_id: str, what: str) -> str:
    """`snapfleet_doctor_20261123t025000z_ab12cd_app`, for a trial's id as `ids.new_snapshot_id` makes one."""
    return f"{PREFIX}{trial_id.lower().replace('-', '_')}_{what}"


def create(session: Session, name: str) -> None:
    """Empty, and of this session's role. Refused where that may not make databases."""
    refuse_unable(session)
    session.execute(sql.SQL("create database {} template template0").format(sql.Identifier(name)))


def refuse_unable(session: Session) -> None:
    """Refused where this session's role may not make databases."""
    if not inspection.rights(session, session.info.dbname).may_create:
        raise Refused(
            "the role in the URL may not create databases",
            code="insufficient_rights",
            hint="let a superuser say: alter role … createdb; without it nothing can be restored or proven",
        )


def left(session: Session, now: datetime) -> Sequence[str]:
    """Databases of trials that were killed long ago."""
    names = (name for name in databases.ours(session) if (made := MADE.match(name)) and _is_old(made[1], now))
    return tuple(names)


def fill(session: Session) -> None:
    """A little of what most databases have."""
    session.execute(FILL)
    add(session)


def add(session: Session) -> None:
    """A hundred rows more."""
    session.execute(
        "insert into public.trial select coalesce(max(id), 0) + i, 'word ' || i, decode(md5(i::text), 'hex')"
        " from public.trial right join generate_series(1, 100) i on true group by i"
    )


def empty(session: Session) -> None:
    """What somebody did by mistake."""
    session.execute("truncate public.trial")


def rows(session: Session) -> int:
    found = session.execute("select count(*) as n from public.trial").fetchone()
    return int(found["n"]) if found else 0


def _is_old(moment: str, now: datetime) -> bool:
    made_at = datetime.strptime(moment.upper(), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return now - made_at > LASTS
