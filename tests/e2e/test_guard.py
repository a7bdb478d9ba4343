"""`snapfleet guard` around a migration: as a pipeline runs it, with a fleet that does the work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.e2e.site import Ended, Site, ended, heard

MIGRATION = """
import os, sys, time, psycopg
with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as session:
    session.execute(sys.argv[1])
print("migrated", flush=True)
if sys.argv[2] == "hang":
    print("hanging", file=sys.stderr, flush=True)
    time.sleep(600)
sys.exit(int(sys.argv[2]))
"""

APPLICATION = """
import os, sys, psycopg
from cli.guard import guarded
with guarded(sys.argv[1]), psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as session:
    session.execute("delete from item")
    raise RuntimeError("it went wrong")
"""


def guard(statement: str, then: str, *options: str, site: Site) -> tuple[str, ...]:
    return ("guard", site.name, *options, "--", sys.executable, "-c", MIGRATION, statement, then)


def restores(site: Site) -> int:
    return len(site.recorded("select id::text from job where kind = 'restore' and state = 'succeeded'"))


def test_a_migration_that_drops_a_column_and_fails_is_taken_back_and_its_status_is_kept(site: Site) -> None:
    site.settled()
    before, made = site.content(), restores(site)
    failed = site.run(*guard("alter table item drop column name", "1", site=site))
    assert (failed.status, failed.out) == (1, "migrated\n"), failed
    assert site.content() == before
    assert restores(site) == made + 1
    assert "the command ended with 1" in failed.err
    assert f"{site.name} is as it was before the command" in failed.err
    assert "take that back: snapfleet undo" in failed.err


def test_one_that_succeeds_stays_as_long_as_its_assertions_hold(site: Site, tmp_path: Path) -> None:
    site.settled()
    made = restores(site)
    (tmp_path / "full.sql").write_text("select count(*) >= 500 from item")
    fine = site.run(*guard("select 1", "0", "--assert", str(tmp_path / "full.sql"), site=site))
    assert (fine.status, fine.out, restores(site)) == (0, "migrated\n", made), fine
    before = site.content()
    worse = site.run(
        *guard("delete from item where id > 9", "0", f"--assert={tmp_path / 'full.sql'}", site=site)
    )
    assert (worse.status, site.content()) == (120, before), worse
    assert "full.sql does not hold" in worse.err


def test_sigterm_in_the_middle_counts_as_a_failure(site: Site) -> None:
    site.settled()
    before = site.content()
    process = site.start(*guard("delete from item", "hang", site=site))
    heard(process, "hanging")
    os.kill(process.pid, signal.SIGTERM)
    stopped: Ended = ended(process)
    assert (stopped.status, site.content()) == (143, before), stopped
    assert "interrupted by SIGTERM" in stopped.err


def test_an_application_guards_a_block_of_its_own(site: Site) -> None:
    site.settled()
    before = site.content()
    argv = [sys.executable, "-c", APPLICATION, site.name]
    program = subprocess.run(argv, env=site.environment, capture_output=True, text=True, check=False)
    assert "RuntimeError: it went wrong" in program.stderr, program.stderr
    assert "was brought back; take that back: snapfleet undo" in program.stderr
    assert site.content() == before
