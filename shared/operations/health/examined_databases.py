"""What `snapfleet doctor` asks of each protected database, of where it is proven, and the trial on one of them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from shared.domain.wording import counted
from shared.operations.databases import source
from shared.operations.databases.source import choose_dumper, choose_tools
from shared.operations.fleet import Fleet
from shared.operations.health import readiness, trial
from shared.operations.health.examinations import MOSTLY, Patient
from shared.operations.health.examining import Examination, Notes
from shared.postgres import floors, inspection, room, scratch
from shared.postgres.dsn import Dsn
from shared.postgres.session import Session, connected

APPLICATION = "snapfleet:doctor"
OWN_CONNECTIONS = 5
"""What one snapshot or restore of it takes at most, beside those of its hands."""


def of_databases(patient: Patient, *, with_trial: bool) -> Iterator[Examination]:
    fleet = patient.fleet
    for name in sorted(fleet.databases):
        yield Examination(name=f"database {name}", look=partial(look_at, fleet, name))
        if fleet.databases[name].verify_url is not None:
            yield Examination(name=f"proofs {name}", look=partial(look_at_proofs, fleet, name))
        yield Examination(name=f"backups {name}", look=partial(judge, fleet, name), needs=("catalog",))
    if with_trial:
        first = min(fleet.databases)
        proofs = (f"proofs {first}",) if fleet.databases[first].verify_url is not None else ()
        yield Examination(
            name="trial",
            look=partial(try_out, patient, first),
            needs=("tools", "repository", f"database {first}", *proofs),
            alone=True,
        )


def look_at(fleet: Fleet, name: str, notes: Notes) -> str:
    dsn = fleet.dsn(name)
    with connected(dsn, application_name=APPLICATION) as session:
        used = choose_dumper(fleet, dsn, session)
        version = session.info.parameter_status("server_version") or ""
        for old in floors.warnings(tool_version=used.version, server_version=version):
            notes.warn(
                "old_release", old, "update it: until then whoever may create objects there can attack"
            )
        look_at_role(fleet, dsn, session, notes)
        closed = inspection.unreadable(session)
        if closed:
            notes.fail(
                "not_readable",
                f"this role may not read {inspection.first_of(closed)}",
                "grant it what it lacks: deploy/sql/source.sql",
            )
        look_at_room(fleet, name, session, notes)
        size = inspection.size_bytes(session)
    return f"PostgreSQL {version}, {size:,} bytes, dumped by {used}"


def look_at_role(fleet: Fleet, dsn: Dsn, session: Session, notes: Notes) -> None:
    """What a restore needs; a snapshot needs less."""
    if inspection.is_superuser(session) and not fleet.restore_as_superuser:
        notes.warn(
            "superuser_restore",
            "its URL logs in as a superuser, and restoring runs code that table owners wrote",
            "use a role with CREATEDB that owns the database: deploy/sql/restore.sql",
        )
    rights = inspection.rights(session, dsn.dbname)
    if not rights.may_create:
        notes.fail(
            "insufficient_rights",
            "its role may not create databases, so nothing can be restored",
            "let a superuser say: alter role … createdb",
        )
    if not rights.may_rename:
        notes.fail(
            "not_the_owner",
            f"its role does not own {dsn.dbname!r}, and so may not put another in its place",
            "make it a member of the owner: grant … to …",
        )
    if rights.out_of_reach:
        notes.warn(
            "sessions_out_of_reach",
            f"its role may not end sessions of {', '.join(rights.out_of_reach)}, and a restore must",
            "let a superuser say: grant pg_signal_backend to …; those of superusers must be ended by hand",
        )


def look_at_room(fleet: Fleet, name: str, session: Session, notes: Notes) -> None:
    found = room.of(session)
    needed = OWN_CONNECTIONS + fleet.databases[name].parallelism
    if found.connections + needed > found.most_connections:
        notes.warn(
            "connections_scarce",
            f"{found.connections} of {found.most_connections} connections are taken, and a job takes {needed}",
            "raise max_connections, or lower `parallelism` of the database",
        )
    if found.tables > MOSTLY * found.most_locks:
        notes.warn(
            "locks_scarce",
            f"it has {counted(found.tables, 'table')}, and its server can hold {found.most_locks:,} locks",
            "raise max_locks_per_transaction: a snapshot locks every table",
        )


def look_at_proofs(fleet: Fleet, name: str, _: Notes) -> str:
    dsn = fleet.verify_dsn(name)
    with source.maintenance(dsn, APPLICATION) as session:
        used = choose_tools(fleet, dsn, session)
        scratch.refuse_unable(session)
    return f"scratch databases beside {dsn.where}, restored by {used}"


def judge(fleet: Fleet, name: str, notes: Notes) -> str:
    (found,) = (state for state in readiness.backups(fleet) if state.name == name)
    if found.why is not None:
        code = "backup_blocked" if found.blocked else "backup_late"
        notes.fail(code, found.why, "see what became of its jobs: snapfleet jobs, snapfleet databases")
    if found.good is None:
        return "its first one is not due yet"
    proven = "none is proven" if found.proven is None else f"newest proven one is {found.proven.id}"
    return f"newest good one is {found.good.id}, {proven}"


def try_out(patient: Patient, name: str, _: Notes) -> str:
    done = trial.run(
        patient.fleet, patient.fleet.verify_dsn(name), now=patient.now(), random=patient.random()
    )
    return str(done)
