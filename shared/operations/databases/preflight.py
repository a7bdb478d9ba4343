"""What must be true of the target before a restore touches anything; each refusal says what to do."""

from __future__ import annotations

from shared.domain.manifest import Manifest
from shared.errors import Refused
from shared.operations.fleet import Fleet
from shared.postgres import databases, inspection
from shared.postgres.dsn import Dsn
from shared.postgres.session import Session


def refuse_target(session: Session, name: str) -> None:
    """A database beside the live one gets a name that is new, and that we would never drop again."""
    if databases.oid_of(session, name) is not None:
        raise Refused(
            f"a database named {name!r} exists already",
            code="target_exists",
            hint="choose a name that is new, or drop that database first",
        )
    if name.startswith(databases.OURS):
        raise Refused(
            f"names that begin with {databases.OURS} are for databases that come and go with jobs",
            code="target_reserved",
            hint="choose another name",
        )


def refuse_name_of_another(fleet: Fleet, target: Dsn, database: str) -> None:
    """What stands under another database's live name is that one to the whole fleet: its snapshots would be of
    this, and whoever may restore this one alone would have replaced that one.
    """
    for name in sorted(fleet.databases.keys() - {database}):
        live = fleet.dsn(name)
        if (live.host, live.port, live.dbname) == (target.host, target.port, target.dbname):
            raise Refused(
                f"{target.dbname!r} is the live name of another database that is configured",
                code="target_reserved",
                hint="choose another name",
            )


def refuse_superuser(fleet: Fleet, session: Session, *, as_superuser: bool) -> None:
    """A table owner's functions run while a snapshot is restored: as superuser, with every right."""
    if inspection.is_superuser(session) and not (as_superuser or fleet.restore_as_superuser):
        raise Refused(
            "the database's URL logs in as a superuser, and restoring runs code that table owners wrote",
            code="superuser_restore",
            hint="use a role with CREATEDB that owns the database; or, if you trust them, --as-superuser",
        )


def refuse_older(session: Session, manifest: Manifest) -> None:
    if session.info.server_version // 10000 < manifest.source.server_version_num // 10000:
        raise Refused(
            f"the snapshot is of PostgreSQL {manifest.source.server_version}, the server is older",
            code="server_older",
            hint="restore into a server of the same or a newer major version",
        )


def missing_roles(session: Session, manifest: Manifest) -> tuple[str, ...]:
    """Roles that own or may use something in the snapshot, and that the target's server lacks."""
    known = {r["rolname"] for r in session.execute("select rolname from pg_catalog.pg_roles")}
    return tuple(sorted(set(manifest.roles) - known))


def refuse_missing_roles(session: Session, manifest: Manifest) -> None:
    missing = missing_roles(session, manifest)
    if missing:
        raise Refused(
            f"roles that own or may use what is in the snapshot do not exist: {', '.join(missing)}",
            code="roles_missing",
            hint="create them first (create role … nologin is enough)",
        )


def refuse_without_rights(session: Session, target: str) -> None:
    """Better now than after hours of loading."""
    rights = inspection.rights(session, target)
    if not rights.may_create:
        raise Refused(
            "the role in the database's URL may not create databases",
            code="insufficient_rights",
            hint="let a superuser say: alter role … createdb",
        )
    if not rights.may_rename:
        raise Refused(
            f"the role in the database's URL does not own {target!r}, and so may not rename it",
            code="insufficient_rights",
            hint="make it a member of the owner: grant … to …",
        )
    if rights.out_of_reach:
        raise databases.out_of_reach(target, f"those of {', '.join(rights.out_of_reach)}")
