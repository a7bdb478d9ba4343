"""The command line while something breaks under it, or the user has seen enough."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest
from psycopg import sql

from tests.e2e.site import PATIENCE_SECONDS, Site, ended, heard


def test_redis_down_at_submission_costs_only_time(site: Site) -> None:
    site.settled()
    site.valkey.kill()
    try:
        accepted = site.done("snapshot", "take", "--json")
        overview = site.done("databases", "--json")
    finally:
        site.valkey.start()
    assert accepted.json["rung"] is False
    assert "note: Redis does not answer; the job is accepted and runs when Redis is back" in accepted.err
    assert (overview.json[0]["lock_known"], overview.json[0]["lock_holder"]) == (False, None)
    assert site.done("job", "watch", accepted.json["id"]).status == 0


def test_waiting_survives_a_restart_of_redis(site: Site) -> None:
    site.settled()
    with site.held_up():
        waiting = site.start("snapshot", "take", "--wait")
        heard(waiting, "snapshot copy")
        site.claimed()
        site.valkey.kill()
        site.valkey.start()
    assert ended(waiting).status == 0


def test_waiting_survives_a_catalog_that_is_away_for_a_moment(site: Site) -> None:
    site.settled()
    catalog = sql.Identifier(site.catalog)
    with site.admin() as admin, site.held_up():
        waiting = site.start("snapshot", "take", "--wait")
        heard(waiting, "snapshot copy")
        site.claimed()
        admin.execute(sql.SQL("alter database {} allow_connections false").format(catalog))
        try:
            cut = "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s"
            admin.execute(cut, [site.catalog])
            heard(waiting, "note: the catalog does not answer; trying again for 60 s")
        finally:
            admin.execute(sql.SQL("alter database {} allow_connections true").format(catalog))
        heard(waiting, "note: the catalog answers again")
    assert ended(waiting).status == 0


def test_ctrl_c_ends_the_waiting_and_not_the_job(site: Site) -> None:
    site.settled()
    with site.held_up():
        waiting = site.start("snapshot", "take", "--wait")
        heard(waiting, "snapshot copy")
        site.claimed()
        waiting.send_signal(signal.SIGINT)
        left = ended(waiting)
    assert left.status == 130
    assert "Traceback" not in left.err
    note = left.err.splitlines()[-1]
    assert note.startswith("note: the job goes on; watch it: snapfleet job watch ")
    assert site.done("job", "watch", note.split()[-1]).status == 0


@pytest.mark.parametrize(
    ("typed", "status"), [(lambda site: site.name, 0), (lambda _: "yes", 3)], ids=["its name", "yes"]
)
def test_on_a_terminal_only_the_databases_name_lets_a_swap_happen(
    site: Site, typed: Callable[[Site], str], status: int
) -> None:
    site.sealed()
    before = site.jobs()
    ours, theirs = pty.openpty()
    command = subprocess.Popen(
        [sys.executable, "-m", "cli", "restore"],
        env=site.environment | {"TERM": "xterm", "COLUMNS": "120"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    said = b""
    while b"to go on:" not in said:
        said += os.read(ours, 4096)
    assert b"sessions cut" in said
    os.write(ours, typed(site).encode() + b"\n")
    assert command.wait(PATIENCE_SECONDS) == status
    os.close(ours)
    site.settled()
    assert len(site.jobs()) - len(before) == (1 if status == 0 else 0)
