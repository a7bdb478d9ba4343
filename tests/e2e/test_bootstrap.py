"""A service's first command, run as several nodes run it: at once, on a database that is gone."""

from __future__ import annotations

from psycopg import sql

from tests.e2e.site import Site, ended


def test_nodes_that_start_together_after_a_dropdb_all_end_well_and_find_the_content(site: Site) -> None:
    site.done("snapshot", "take", "--verified")
    site.settled()
    good = site.content()
    assert f"{site.name} is in use, and stays as it is" in site.done("bootstrap", "--if-empty").out

    with site.admin() as admin:
        admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(site.name)))
    nodes = [site.start("bootstrap", site.name, "--if-empty", "--timeout", "2m") for _ in range(3)]
    found = [ended(node) for node in nodes]
    assert [each.status for each in found] == [0, 0, 0], found
    assert site.content() == good
    restores = "select id::text from job where idempotency_key like 'bootstrap:%'"
    assert len(site.recorded(restores)) == 1
    assert f"{site.name} was not blocked" in site.done("unblock").out


def test_bootstrap_must_be_told_that_it_replaces_nothing(site: Site) -> None:
    refused = site.run("bootstrap")
    assert (refused.status, refused.out) == (2, "")
    assert "say so: --if-empty" in refused.err


def test_without_any_snapshot_the_status_says_whether_a_fresh_start_is_fine(site: Site) -> None:
    name = f"fresh_{site.name}"
    with site.admin() as admin:
        admin.execute(
            sql.SQL("create database {} owner {}").format(sql.Identifier(name), sql.Identifier(site.owner))
        )
    fresh = {"DATABASE_URL": site.url(name), "DATABASE_NAME": "fresh"}
    refused = site.run("bootstrap", "--if-empty", **fresh)
    assert (refused.status, refused.out) == (7, "")
    assert "error: there is no snapshot of fresh\nhint: to start with an empty" in refused.err
    assert "a fresh start" in site.done("bootstrap", "--if-empty", "--allow-fresh", **fresh).out
