"""What a user can get wrong: two clear lines, the right exit status, nothing on stdout, nothing changed."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import psycopg
import pytest

from embedded import ports
from shared.catalog.migration import MIGRATION_LOCK
from tests.e2e.site import Ended, Site


def refused(ended: Ended, status: int, words: str) -> None:
    error, *hints = [line for line in ended.err.splitlines() if not line.startswith("note: ")]
    assert ended.status == status, ended
    assert error.startswith("error: "), ended
    assert words in error
    assert len(hints) <= 1
    assert all(hint.startswith("hint: ") for hint in hints)
    assert ended.out == ""


@pytest.mark.parametrize(
    ("command", "status", "words"),
    [
        (("nonsense",), 2, "No such command"),
        (("restore", "--to", "x" * 64), 2, "cannot be a database's name"),
        (("restore", "--at", "2001-01-01T00:00Z"), 4, "no sealed snapshot at or before 2001-01-01"),
        (("restore", "--snapshot", "1999"), 4, "no snapshot 1999"),
        (("restore",), 3, "no terminal to ask on"),
        (("restore", "--to", "postgres", "--json", "--wait"), 3, "'postgres' exists already"),
        (("restore", "--to", "snapfleet_mine"), 3, "come and go with jobs"),
        (("snapshot", "take", "nowhere"), 4, "no database 'nowhere' is configured"),
        (("snapshot", "show", "1999"), 4, "no snapshot 1999"),
        (("snapshot", "pin", "1999"), 4, "no snapshot 1999"),
        (("snapshot", "show", "2"), 3, "more than one snapshot begins with 2"),
        (("job", "show", "nothing"), 4, "no job nothing"),
        (("undo", "nothing"), 4, "no job nothing"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_a_wrong_command_is_refused_before_anything_happens(
    site: Site, command: tuple[str, ...], status: int, words: str, two_snapshots: list[str]
) -> None:
    ended = site.run(*command)
    refused(ended, status, words)
    assert site.jobs() == two_snapshots


@pytest.fixture(scope="module")
def two_snapshots(site: Site) -> list[str]:
    """Two sealed ones; all jobs there are once nothing moves any more."""
    site.take()
    site.take()
    site.settled()
    return site.jobs()


def test_an_undo_of_what_was_no_restore_is_refused(site: Site) -> None:
    refused(
        site.run("undo", site.take()["id"], "--yes"),
        3,
        "only a restore or reset that succeeded can be undone",
    )


def test_a_plan_with_an_obstacle_is_shown_and_ends_as_the_restore_would(site: Site) -> None:
    site.sealed()
    site.settled()
    before = site.jobs()
    ended = site.run("restore", "--plan", "--to", site.name, "--json")
    assert ended.status == 3
    assert [each["code"] for each in ended.json["obstacles"]] == ["target_exists"]
    assert f"error: a database named '{site.name}' exists already" in ended.err
    assert "sessions cut" not in site.run("restore", "--plan", "--to", site.name).out
    assert site.jobs() == before


def test_a_moment_without_a_zone_is_taken_as_utc_and_that_is_said(site: Site) -> None:
    ended = site.run("restore", "--at", "2001-01-01 00:00")
    refused(ended, 4, "at or before 2001-01-01T00:00:00+00:00")
    assert "note: --at 2001-01-01 00:00 names no zone: taken as UTC" in ended.err


def test_a_superuser_is_refused_before_the_job_unless_it_is_said(site: Site) -> None:
    site.sealed()
    url = site.postgres.dsn(site.name)
    before = site.jobs()
    refused(site.run("restore", "--yes", DATABASE_URL=url), 3, "logs in as a superuser")
    assert site.jobs() == before
    site.done("restore", "--plan", "--as-superuser", DATABASE_URL=url)


@pytest.mark.parametrize("command", [("databases",), ("snapshot", "take"), ("jobs", "--json")], ids=" ".join)
def test_a_catalog_that_is_not_migrated_says_so(
    site: Site, database: Callable[..., str], command: tuple[str, ...]
) -> None:
    ended = site.run(*command, CATALOG_URL=database())
    refused(ended, 2, "the catalog is at revision none")
    assert "hint: run `snapfleet migrate`" in ended.err


def test_a_catalog_is_migrated_once_and_then_up_to_date(site: Site, database: Callable[..., str]) -> None:
    url = database()
    assert "created" in site.done("migrate", CATALOG_URL=url).out
    assert "up to date" in site.done("migrate", CATALOG_URL=url).out


def test_a_migration_beside_another_one_is_busy(site: Site, database: Callable[..., str]) -> None:
    url = database()
    with psycopg.connect(url) as other:
        other.execute("select pg_advisory_lock(%s)", [MIGRATION_LOCK])
        refused(site.run("migrate", CATALOG_URL=url), 5, "another process is migrating")


@pytest.mark.parametrize("command", [("migrate",), ("snapshot", "take"), ("restore", "--yes")], ids=" ".join)
def test_a_catalog_inside_the_protected_database_is_found_under_another_name_of_its_host(
    site: Site, command: tuple[str, ...]
) -> None:
    """The settings compare names; 127.1 is the same server under another one."""
    site.sealed()
    inside = site.url(site.catalog).replace("127.0.0.1", "127.1")
    ended = site.run(*command, DATABASE_URL=inside, DATABASE_NAME=site.name)
    refused(ended, 3, "the catalog lies inside this database")


def test_a_wrong_password_is_refused_without_being_shown(site: Site) -> None:
    before = site.jobs()
    ended = site.run("snapshot", "take", DATABASE_URL=site.url(site.name, password="hunter2"))
    refused(ended, 3, "password authentication failed")
    assert "hunter2" not in ended.err
    assert site.jobs() == before


def test_a_wrong_password_of_the_catalog_is_told_apart(site: Site) -> None:
    ended = site.run("jobs", CATALOG_URL=site.url(site.catalog, password="hunter2"))
    refused(ended, 3, "the password in CATALOG_URL")
    assert "hunter2" not in ended.err


def test_a_database_that_does_not_exist_is_not_found(site: Site) -> None:
    missing = f"missing_{uuid.uuid4().hex[:6]}"
    refused(site.run("snapshot", "take", DATABASE_URL=site.url(missing)), 4, "no such database")


@pytest.mark.parametrize(
    ("setting", "command", "words"),
    [
        ("DATABASE_URL", ("snapshot", "take"), "does not answer"),
        ("CATALOG_URL", ("databases",), "the catalog does not answer"),
    ],
)
def test_a_server_that_is_down_is_unreachable(
    site: Site, setting: str, command: tuple[str, ...], words: str
) -> None:
    (port,) = ports.free(1)
    url = f"postgresql://nobody:secret@127.0.0.1:{port}/nothing"
    refused(site.run(*command, **{setting: url}), 6, words)


def test_a_setting_that_is_wrong_is_named(site: Site) -> None:
    refused(site.run("databases", LEASE_SECONDS="soon"), 2, "LEASE_SECONDS: 'soon'")


def test_the_help_lists_every_exit_status_and_the_version_is_one_line(site: Site) -> None:
    shown = " ".join(site.done("--help").out.split())
    assert "0 done, 1 failed, 2 usage, 3 refused, 4 not found, 5 busy, 6 unreachable" in shown
    assert site.done("--version").out.startswith("snapfleet 0.")
