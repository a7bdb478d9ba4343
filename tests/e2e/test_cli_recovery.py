"""The commands for a bad day: a plan that must still hold, a safety snapshot, another server, an emergency."""

from __future__ import annotations

from tests.e2e.site import Site

TARGET = "SNAPFLEET_TARGET_SAME_URL"


def test_a_restore_by_its_plan_keeps_what_it_replaced_and_the_plan_holds_once(site: Site) -> None:
    wanted = site.take()["result"]["snapshot_id"]
    good = site.content()
    with site.session() as session:
        session.execute("update item set name = 'broken'")
        shown = site.done("restore", "--snapshot", wanted, "--plan", "--deep").out
    assert f"1: 1 of {site.owner}" in shown
    assert "taken first" in shown
    plan = shown.splitlines()[-1].split()
    assert plan[0] == "plan"
    asked = ("restore", "--snapshot", wanted, "--yes", "--wait", "--plan-id", plan[1])
    restored = site.done(*asked)
    assert site.content() == good
    [kept] = [line for line in restored.out.splitlines() if "what it was before is snapshot" in line]
    assert site.recorded(f"select reason from snapshot where id = '{kept.split()[-1]}'") == ["safeguard"]
    refused = site.run(*asked)
    assert (refused.status, refused.out) == (3, "")
    assert "the database under the live name" in refused.err
    assert "--plan" in refused.err


def test_a_restore_on_another_server_takes_the_name_of_a_variable_only(site: Site) -> None:
    wanted = site.sealed()
    unknown = site.run("restore", "--to", "elsewhere", "--target-url-env", "DATABASE_URL")
    assert (unknown.status, unknown.out) == (2, "")
    assert "DATABASE_URL" in unknown.err
    # The command knows it, the worker does not: its job says so.
    failed = site.run(
        *("restore", "--snapshot", wanted, "--to", "elsewhere", "--target-url-env", TARGET, "--wait"),
        **{TARGET: site.url(site.name)},
    )
    assert failed.status == 1
    assert TARGET in failed.err
    assert "every worker" in failed.err


def test_an_emergency_reset_parks_the_broken_database_and_is_taken_back(site: Site) -> None:
    site.settled()
    before = site.content()
    refused = site.run("emergency", "reset", site.name)
    assert (refused.status, site.content()) == (3, before)
    with site.admin() as admin:
        admin.execute(f"alter database {site.name} allow_connections false")
    done = site.done("emergency", "reset", site.name, "--yes", "--wait")
    assert f"{site.name} is empty now" in done.out
    with site.session() as session:
        assert session.execute("select count(*) from pg_class where relname = 'item'").fetchone() == (0,)
    undo = done.out.splitlines()[-1].strip().removeprefix("take it back: snapfleet ").split()
    site.done(*undo, "--yes", "--wait")
    assert site.content() == before


def test_an_emergency_reset_from_a_snapshot_reads_nothing_of_the_broken_database(site: Site) -> None:
    wanted = site.sealed()
    with site.session() as session:
        session.execute("drop table item")
    done = site.done(
        "emergency", "reset", site.name, "--from-snapshot", "--snapshot", wanted, "--yes", "--wait"
    )
    assert f"{site.name} holds snapshot {wanted}" in done.out
    assert "what it was before" not in done.out
    assert site.content() is not None
