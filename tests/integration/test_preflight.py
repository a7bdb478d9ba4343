"""Before a restore touches anything: what stands against it is named, and what was planned with must still hold."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from embedded.postgres import Postgres
from shared.domain import restore_plan
from shared.domain.manifest import Manifest
from shared.errors import Refused
from shared.operations.databases import preview, requirements
from shared.operations.databases.preview import Intent, RestorePreview
from shared.operations.jobs import requests
from shared.postgres import tools
from shared.postgres.dsn import Dsn
from shared.postgres.session import connected
from tests.conftest import FAST
from tests.integration.comparison import assert_same, connect, fingerprint, nothing_changes
from tests.integration.conftest import Inline
from tests.integration.inline_fleet import NAME, InlineFleet, refused
from tests.integration.test_round_trip import fill, succeeded

Maker = Callable[..., str]
VARIABLE = "SNAPFLEET_TARGET_ELSEWHERE_URL"


@pytest.fixture(scope="module")
def replicating(servers: Path) -> Generator[Postgres]:
    """A server that has logical replication and prepared transactions; another one than everybody's."""
    settings = FAST | {
        "wal_level": "logical",
        "max_wal_senders": "2",
        "max_replication_slots": "4",
        "max_prepared_transactions": "4",
    }
    server = Postgres(servers / "replicating", settings=settings)
    server.start()
    yield server
    server.stop()


def look(fleet: InlineFleet, *, to: str | None = None, safeguard: bool = False) -> RestorePreview:
    chosen = requests.choose_snapshot(fleet.fleet, NAME, snapshot_id=None, at=None)
    return preview.restore_of(fleet.fleet, Intent(database=NAME, snapshot=chosen, to=to, safeguard=safeguard))


def codes(seen: RestorePreview) -> set[str]:
    return {remark.code for remark in seen.remarks}


@pytest.fixture
def url(database: Maker) -> str:
    made = database()
    fill(made, "create table t as select 'as in the snapshot' as v")
    return made


SLOT = "select pg_create_logical_replication_slot('odd_slot', 'pgoutput')"
SUBSCRIPTION = (
    "create subscription odd_subscription connection 'dbname=nowhere' publication p with (connect = false)"
)
PREPARED = "begin; insert into public.t values ('in doubt'); prepare transaction 'odd one'"


@pytest.mark.parametrize(
    ("bind", "code", "told", "unbind"),
    [
        (
            SLOT,
            "replication_slots",
            ("odd_slot", "odd_publication"),
            "select pg_drop_replication_slot('odd_slot')",
        ),
        (
            SUBSCRIPTION,
            "subscriptions",
            ("odd_subscription",),
            "alter subscription odd_subscription set (slot_name = none); drop subscription odd_subscription",
        ),
        (PREPARED, "prepared_transactions", ("odd one",), "rollback prepared 'odd one'"),
    ],
    ids=["slot", "subscription", "prepared"],
)
def test_what_is_bound_to_the_live_database_is_named_before_anything_is_made(  # noqa: PLR0917 - the case and its fixtures
    bind: str,
    code: str,
    told: tuple[str, ...],
    unbind: str,
    replicating: Postgres,
    database: Maker,
    inline: Inline,
) -> None:
    made = database(replicating)
    name = Dsn.parse(made).dbname
    fill(made, "create table t (v text); create publication odd_publication for table t")
    fleet = inline(made)
    succeeded(fleet.snapshot())
    with connect(replicating, name) as admin:
        for statement in bind.split("; "):
            admin.execute(statement.encode())
    with nothing_changes(replicating, name):
        refused(fleet.restore(safeguard=True), code, name, *told)
        assert code in {obstacle.code for obstacle in look(fleet).obstacles}
        assert look(fleet, to=f"{name}_beside").obstacles == ()
    with connect(replicating, name) as admin:
        for statement in unbind.split("; "):
            admin.execute(statement.encode())
    succeeded(fleet.restore())


def test_a_restore_on_another_server_brings_everything_there_and_leaves_the_live_database(
    url: str, replicating: Postgres, database: Maker, postgres: Postgres, inline: Inline
) -> None:
    fleet = inline(url)
    dsn = Dsn.parse(url)
    before = fingerprint(postgres, dsn.dbname)
    succeeded(fleet.snapshot())
    there = database(replicating)
    owner = Dsn.parse(there).user
    refused(fleet.restore(to="copied", target=VARIABLE), "target_unknown", VARIABLE)
    fleet.configure(targets={VARIABLE: there})
    with nothing_changes(postgres, dsn.dbname):
        refused(fleet.restore(to="copied", target=VARIABLE), "roles_missing", dsn.user)
        with connect(replicating, "postgres") as admin:
            admin.execute(f"create role {dsn.user}")
            admin.execute(f"grant {dsn.user} to {owner}")
        try:
            job = succeeded(fleet.restore(to="copied", target=VARIABLE))
            assert_same(fingerprint(replicating, "copied"), before)
            assert "secret" not in str(job.request)
            refused(fleet.restore(to="copied", target=VARIABLE), "target_exists")
            refused(fleet.restore(target=VARIABLE), "target_unnamed")
        finally:
            with connect(replicating, "postgres") as admin:
                admin.execute("drop database if exists copied with (force)")
                admin.execute(f"drop role {dsn.user}")


def manifest_of(fleet: InlineFleet) -> Manifest:
    return fleet.manifest(succeeded(fleet.snapshot()))


def test_what_the_server_does_not_offer_is_named(url: str, inline: Inline) -> None:
    manifest = manifest_of(inline(url))
    strange = replace(
        manifest,
        extensions=(*manifest.extensions, "no_such 1.0", "plpgsql 0.9"),
        source=replace(manifest.source, collate="xx_XX.utf8", collation_version="0.1"),
    )
    with connected(Dsn.parse(url).for_database("postgres"), application_name="test") as session:
        requirements.refuse_missing_extensions(session, manifest)
        with pytest.raises(Refused, match="no_such") as missing:
            requirements.refuse_missing_extensions(session, strange)
        assert missing.value.code == "extensions_missing"
        assert [r.code for r in requirements.extension_remarks(session, strange)] == ["extension_version"]
        requirements.refuse_missing_locale(session, manifest)
        with pytest.raises(Refused, match="xx_XX"):
            requirements.refuse_missing_locale(session, strange)
    installed = tools.choose(tools.find(bin_dir=None), server_major=18, tls_required=False)
    requirements.refuse_older_tools(installed, manifest)
    with pytest.raises(Refused, match="cannot read"):
        requirements.refuse_older_tools(replace(installed, major=16, version="16.9"), manifest)


def test_free_disk_is_read_by_who_may_and_said_to_be_unread_by_others(
    url: str, postgres: Postgres, inline: Inline
) -> None:
    fleet = inline(url)
    manifest = manifest_of(fleet)
    assert "room_unknown" in codes(look(fleet))
    with connect(postgres, "postgres") as admin:
        admin.execute(f"grant pg_execute_server_program to {Dsn.parse(url).user}")
    assert "room_unknown" not in codes(look(fleet))
    with pytest.raises(Refused, match="free"):
        requirements.refuse_no_room(max(0, manifest.raw_bytes - 1), manifest)


def test_the_sessions_that_will_be_cut_are_listed_by_role_and_application(url: str, inline: Inline) -> None:
    fleet = inline(url)
    succeeded(fleet.snapshot())
    with (
        psycopg.connect(url, application_name="shop"),
        psycopg.connect(url, application_name="shop"),
        psycopg.connect(url, application_name="report"),
    ):
        seen = look(fleet)
    user = Dsn.parse(url).user
    assert [(g.role, g.application, g.count) for g in seen.sessions] == [
        (user, "shop", 2),
        (user, "report", 1),
    ]
    assert look(fleet, to="another_name").sessions == ()


def test_a_plan_holds_until_something_of_it_changes(url: str, inline: Inline) -> None:
    fleet = inline(url)
    succeeded(fleet.snapshot())
    planned = look(fleet).plan_id
    fill(url, "insert into t values ('an application goes on')")
    assert look(fleet).plan_id == planned
    assert look(fleet, safeguard=True).plan_id != planned
    first = succeeded(fleet.restore(plan_id=planned))
    refused(fleet.restore(plan_id=planned), "plan_changed", restore_plan.ASPECTS["live"])
    # The same database under the live name again, and yet not the same state.
    succeeded(fleet.undo(first))
    refused(fleet.restore(plan_id=planned), "plan_changed", restore_plan.ASPECTS["jobs"])
    planned = look(fleet).plan_id
    succeeded(fleet.snapshot())
    refused(fleet.restore(plan_id=planned), "plan_changed", restore_plan.ASPECTS["snapshot"])
    refused(fleet.restore(plan_id="no such plan"), "plan_changed", *restore_plan.ASPECTS.values())


def test_a_plan_reads_every_object_only_if_asked_to_look_deep(url: str, folder: Path, inline: Inline) -> None:
    fleet = inline(url)
    manifest = manifest_of(fleet)
    seen = look(fleet)
    assert preview.with_objects(fleet.fleet, seen, deep=True).obstacles == ()
    chunk = next(manifest.chunks)
    [stored] = folder.rglob(chunk.sha256)
    stored.unlink()
    for deep in (False, True):
        [obstacle] = preview.with_objects(fleet.fleet, seen, deep=deep).obstacles
        assert (obstacle.code, chunk.sha256 in obstacle.message) == ("chunk_damaged", True)
