"""Create, name and drop whole databases: the only place that can touch a live name.

Every function works on a session in another database of the same cluster. Databases are told apart by
their oid, which a rename does not change: so each of these can find out what a former run, killed at
any point, has already done.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import psycopg
import structlog
from psycopg import sql

from shared import failpoints
from shared.domain.manifest import Grant, Properties, Source
from shared.errors import Busy, NotFound, Refused
from shared.postgres import inspection
from shared.postgres.session import Session

log = structlog.get_logger(__name__)

OURS = "snapfleet_"
"""Databases that we create and may drop begin with this; no other is ever dropped."""

SWAP_PATIENCE_SECONDS = 30.0
"""How long a swap goes on cutting sessions that come back before it gives up."""

LOOK_SECONDS = 0.02
"""How soon it looks again whether the sessions that it has cut are gone."""

IN_IT = sql.SQL("datname = %s and usesysid is not null and pid <> pg_catalog.pg_backend_pid()")
"""Sessions, walsenders and workers of any role; not autovacuum, which makes way. By what every role may
see of another's session: its kind is not among that."""

LOCALE_OPTION = {"i": "icu_locale", "b": "builtin_locale"}
PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}


def side_name(job_id: str, epoch: int) -> str:
    return f"{OURS}side_{job_id.replace('-', '')[:12]}_{epoch}"


def parked_name(job_id: str) -> str:
    return f"{OURS}parked_{job_id.replace('-', '')[:12]}"


def warm_name(job_id: str) -> str:
    return f"{OURS}warm_{job_id.replace('-', '')[:12]}"


def oid_of(session: Session, name: str) -> int | None:
    found = session.execute(
        "select oid::bigint as oid from pg_catalog.pg_database where datname = %s", [name]
    ).fetchone()
    return int(found["oid"]) if found else None


def name_of(session: Session, oid: int) -> str | None:
    found = session.execute("select datname from pg_catalog.pg_database where oid = %s", [oid]).fetchone()
    return str(found["datname"]) if found else None


def size_bytes(session: Session, name: str) -> int:
    found = session.execute("select pg_catalog.pg_database_size(%s::name) as size", [name]).fetchone()
    return int(found["size"]) if found else 0


def session_count(session: Session, name: str) -> int:
    """Sessions in a database: those that a swap would cut."""
    query = sql.SQL("select count(*) as n from pg_catalog.pg_stat_activity where {}")
    found = session.execute(query.format(IN_IT), [name]).fetchone()
    return int(found["n"]) if found else 0


def side_databases(session: Session, job_id: str) -> tuple[str, ...]:
    """Every side database that any attempt of a job left."""
    prefix = f"{OURS}side_{job_id.replace('-', '')[:12]}_"
    found = session.execute(
        "select datname from pg_catalog.pg_database where starts_with(datname::text, %s)", [prefix]
    )
    return tuple(r["datname"] for r in found)


def ours(session: Session) -> tuple[str, ...]:
    """Every database in this cluster that is named as ours are, whoever made it."""
    query = "select datname from pg_catalog.pg_database where starts_with(datname::text, %s) order by 1"
    return tuple(r["datname"] for r in session.execute(query, [OURS]))


def create(session: Session, name: str, *, like: Source, owner: str) -> None:
    """An empty database from template0 with the source's encoding and locale."""
    options = [
        sql.SQL("owner {}").format(sql.Identifier(owner)),
        sql.SQL("template template0"),
        sql.SQL("encoding {}").format(sql.Literal(like.encoding)),
        sql.SQL("lc_collate {}").format(sql.Literal(like.collate)),
        sql.SQL("lc_ctype {}").format(sql.Literal(like.ctype)),
    ]
    if session.info.server_version >= 150000:  # noqa: PLR2004 - the first with a provider to choose
        options.append(sql.SQL("locale_provider {}").format(sql.SQL(PROVIDERS[like.locale_provider])))
        if like.locale and like.locale_provider in LOCALE_OPTION:
            option = sql.SQL(LOCALE_OPTION[like.locale_provider])
            options.append(sql.SQL("{} {}").format(option, sql.Literal(like.locale)))
        if like.icu_rules:
            options.append(sql.SQL("icu_rules {}").format(sql.Literal(like.icu_rules)))
    if like.tablespace is not None and may_use(session, like.tablespace):
        options.append(sql.SQL("tablespace {}").format(sql.Identifier(like.tablespace)))
    statement = sql.SQL("create database {} {}").format(sql.Identifier(name), sql.SQL(" ").join(options))
    session.execute(statement)


def may_use(session: Session, tablespace: str) -> bool:
    """Whether it is there and we may create something in it."""
    query = (
        "select exists (select 1 from pg_catalog.pg_tablespace where spcname = %(name)s"
        " and pg_catalog.has_tablespace_privilege(oid, 'create')) as usable"
    )
    usable = bool(inspection.row(session, query, name=tablespace)["usable"])
    if not usable:
        log.warning("tablespace_not_kept", tablespace=tablespace)
    return usable


def refuse_foreign(name: str) -> None:
    if not name.startswith(OURS):
        raise Refused(f"{name!r} is not one of ours to drop", code="not_ours")


def drop(session: Session, name: str) -> None:
    """Drop one of our own databases, with whoever is in it; nothing happens when it is gone."""
    refuse_foreign(name)
    query = "select datistemplate as is_template from pg_catalog.pg_database where datname = %s"
    found = session.execute(query, [name]).fetchone()
    if found is not None:
        if found["is_template"]:  # the live one was: now it is parked, and a template cannot be dropped
            no_template = sql.SQL("alter database {} is_template false")
            session.execute(no_template.format(sql.Identifier(name)))
        # A parked database accepts no sessions, and a drop needs none.
        dropping = sql.SQL("drop database if exists {}").format(sql.Identifier(name))
        try:
            session.execute(dropping + sql.SQL(" with (force)"))
        except psycopg.errors.InsufficientPrivilege:
            # Autovacuum is in it, which a forced drop wants the right to end, and any other one sends away.
            session.execute(dropping)


def apply(session: Session, name: str, properties: Properties) -> None:
    """Give a database its owner, comment, limit, grants and settings, whatever it had before."""
    database = sql.Identifier(name)

    def run(text: str, *parts: sql.Composable) -> None:
        session.execute(sql.SQL(text).format(database, *parts))

    run("alter database {} owner to {}", sql.Identifier(properties.owner))
    run("comment on database {} is {}", sql.Literal(properties.comment))
    run("alter database {} connection limit {}", sql.Literal(properties.connection_limit))
    run("alter database {} is_template {}", sql.Literal(properties.is_template))
    run("alter database {} reset all")
    for setting in properties.settings:
        target = sql.SQL("database {}").format(database)
        if setting.role is not None:
            target = sql.SQL("role {} in {}").format(sql.Identifier(setting.role), target)
        session.execute(
            sql.SQL("alter {} set {} to {}").format(
                target, sql.Identifier(*setting.name.split(".")), setting_value(setting.name, setting.value)
            )
        )
    if properties.grants is not None:
        run("revoke all on database {} from public")
        run("revoke all on database {} from {}", sql.Identifier(properties.owner))
        for grant in properties.grants:
            session.execute(grant_statement(grant, database))


# Settings whose value is a list of names: quoted as one string they would be one odd name.
LIST_SETTINGS = frozenset(
    {"search_path", "temp_tablespaces", "local_preload_libraries", "session_preload_libraries"}
)
LIST_ITEM = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^,]*?))\s*(?:,|$)')


def setting_value(name: str, value: str) -> sql.Composable:
    """A stored setting's value as ALTER … SET wants it back."""
    if name.lower() not in LIST_SETTINGS:
        return sql.Literal(value)
    return sql.SQL(", ").join(sql.Literal(item) for item in list_items(value))


def list_items(value: str) -> list[str]:
    """The names of a stored list: quoted ones may hold commas, blanks, quotes, or nothing at all."""
    items: list[str] = []
    end = 0
    while match := LIST_ITEM.match(value, end):
        quoted, bare = match.groups()
        items.append(bare if quoted is None else quoted.replace('""', '"'))
        end = match.end()
        if not match[0].endswith(","):
            break
    return items


def grant_statement(grant: Grant, database: sql.Identifier) -> sql.Composed:
    grantee = sql.Identifier(grant.grantee) if grant.grantee else sql.SQL("public")
    text = "grant {} on database {} to {}" + (" with grant option" if grant.grantable else "")
    return sql.SQL(text).format(sql.SQL(PRIVILEGES[grant.privilege]), database, grantee)


PRIVILEGES = {"CONNECT": "connect", "CREATE": "create", "TEMPORARY": "temporary"}


def rehearse(session: Session, name: str, properties: Properties) -> Properties:
    """Apply and take back: a right that we lack shows here, before any live name is touched.

    Answers what the database's properties were in between.
    """
    try:
        with session.transaction(force_rollback=True):
            apply(session, name, properties)
            return inspection.properties(session, name)
    except psycopg.errors.InsufficientPrivilege as exc:
        raise Refused(
            f"owner, grants and settings of the database cannot be given back: {exc.diag.message_primary}",
            code="insufficient_rights",
            hint="let a superuser grant what is missing (such as: grant set on parameter … to …), "
            "or restore with --as-superuser under a superuser's URL",
        ) from exc


@contextmanager
def guarded(session: Session, live_name: str) -> Generator[None]:
    """One swap of a live name at a time in this cluster, whatever queue or catalog says.

    The server itself lets go of it when our session ends. Raises Busy when somebody else swaps.
    """
    key = [f"snapfleet swap {live_name}"]
    got = session.execute("select pg_try_advisory_lock(hashtextextended(%s, 0)) as got", key).fetchone()
    if not got or not got["got"]:
        raise Busy(f"another swap of {live_name!r} is running", code="swap_running")
    try:
        yield
    finally:
        if not session.closed:
            session.execute("select pg_advisory_unlock(hashtextextended(%s, 0))", key)


@dataclass(frozen=True, slots=True, kw_only=True)
class LastLook:
    """What must be true of the live database at the moment when it goes.

    `enter` opens a session in it. `judge` is called with that session when nobody else is in it and nobody
    can come in, so that what it sees stays so until the swap; it raises to stop the swap.
    """

    enter: Callable[[], AbstractContextManager[Session]]
    judge: Callable[[Session], None]


def exchange(
    session: Session,
    *,
    live_name: str,
    incoming_oid: int,
    parked_name: str,
    properties: Properties | None,
    check: Callable[[], None],
    last_look: LastLook | None = None,
) -> None:
    """Make `live_name` mean the database `incoming_oid`; what it meant before is parked.

    Both renames, the properties and the permission to connect commit together: the live name is never
    absent to a session that looks, and never means a mix. Done already: only what is missing is done.
    `check` is called before each irreversible act and raises to stop. Whatever happens, the live name
    accepts connections at the end.

    Raises Busy when sessions keep coming back for 30 s, NotFound when the incoming one is gone.
    """
    with guarded(session, live_name):
        try:
            if oid_of(session, live_name) != incoming_oid:
                if last_look is not None and oid_of(session, live_name) is not None:
                    look_alone(session, live_name, last_look, check=check)
                rename_both(
                    session,
                    live_name=live_name,
                    incoming_oid=incoming_oid,
                    parked_name=parked_name,
                    properties=properties,
                    check=check,
                )
        finally:
            if not session.closed and oid_of(session, live_name) is not None:
                allow(session, live_name, allowed=True)


def look_alone(session: Session, name: str, last_look: LastLook, *, check: Callable[[], None]) -> None:
    """Judge a database that nobody but us is in. Afterwards it lets nobody in."""
    allow(session, name, allowed=True)
    with last_look.enter() as inside:
        shut_out(session, name, check=check, but=inside.info.backend_pid)
        last_look.judge(inside)


def shut_out(session: Session, name: str, *, check: Callable[[], None], but: int = 0) -> None:
    """Nobody is in a database when this returns, but for the backend `but`, and nobody gets in.

    Raises Busy where somebody stays, Refused where that is somebody whom we may not end.
    """
    allow(session, name, allowed=False)
    give_up_at = time.monotonic() + SWAP_PATIENCE_SECONDS
    while True:
        check()
        cut(session, name, but=but)
        if session_count(session, name) == (1 if but else 0):
            return
        if time.monotonic() > give_up_at:
            raise Busy(f"{name!r} is in use by sessions that do not end", code="database_in_use")
        time.sleep(LOOK_SECONDS)


def rename_both(
    session: Session,
    *,
    live_name: str,
    incoming_oid: int,
    parked_name: str,
    properties: Properties | None,
    check: Callable[[], None],
) -> None:
    incoming = name_of(session, incoming_oid)
    if incoming is None:
        raise NotFound("the database to be swapped in is gone", code="database_missing")
    live_exists = oid_of(session, live_name) is not None
    moving = [incoming, live_name] if live_exists else [incoming]
    give_up_at = time.monotonic() + SWAP_PATIENCE_SECONDS
    while True:
        check()
        for name in moving:
            allow(session, name, allowed=False)
            cut(session, name)
        failpoints.reach("swap.closed")
        try:
            check()
            with session.transaction():
                if live_exists:
                    rename(session, live_name, parked_name)
                rename(session, incoming, live_name)
                failpoints.reach("swap.renamed")
                if properties is not None:
                    apply(session, live_name, properties)
                allow(session, live_name, allowed=True)
        except psycopg.errors.ObjectInUse:
            if time.monotonic() > give_up_at:
                raise
            continue
        failpoints.reach("swap.committed")
        return


def rename(session: Session, name: str, to: str) -> None:
    session.execute(
        sql.SQL("alter database {} rename to {}").format(sql.Identifier(name), sql.Identifier(to))
    )


def allow(session: Session, name: str, *, allowed: bool) -> None:
    text = sql.SQL("alter database {} allow_connections {}")
    session.execute(text.format(sql.Identifier(name), sql.SQL("true" if allowed else "false")))


def cut(session: Session, name: str, *, but: int = 0) -> None:
    """End every session in a database, `but` one. Refused where there is one that we may not end."""
    query = sql.SQL(
        "select pg_catalog.pg_terminate_backend(pid) from pg_catalog.pg_stat_activity where {} and pid <> %s"
    )
    try:
        session.execute(query.format(IN_IT), [name, but])
    except psycopg.errors.InsufficientPrivilege as exc:
        raise out_of_reach(name, exc.diag.message_detail or "") from exc


def out_of_reach(name: str, whose: str) -> Refused:
    return Refused(
        f"{name!r} is in use by sessions that this role may not end: {whose}",
        code="insufficient_rights",
        hint="let a superuser say: grant pg_signal_backend to the role in the database's URL; "
        "sessions of superusers must be ended by hand",
    )
