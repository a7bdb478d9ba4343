"""`snapfleet check` as a user meets it: a table, an exit status, and a plan to tidy up."""

from __future__ import annotations

from psycopg import sql

from shared.postgres import databases
from tests.e2e.site import Site


def test_a_check_ends_with_what_is_worst_and_a_fix_does_what_it_showed(site: Site) -> None:
    ended = site.take()["id"]
    site.settled()
    left = databases.side_name(ended, 9)
    with site.session() as shop:
        shop.execute(sql.SQL("create database {}").format(sql.Identifier(left)))
        shop.execute("create unlogged table cache (id int)")
    try:
        looked = site.run("check", site.name, "--fix")
        assert looked.status == 9, looked
        assert "side_database" in looked.out
        assert "unlogged_table" in looked.out
        command = looked.out.splitlines()[-1].removeprefix("do it: snapfleet ").split()
        assert f"drop the database {left}" in looked.out
        assert left in site.databases()
        assert f"{site.name} is tidied up: side_database 1" in site.done(*command).out
        assert left not in site.databases()

        with site.session() as shop:
            shop.execute("create table p (id int primary key)")
            shop.execute("create table c (id int references p)")
        with site.admin(site.name) as admin:
            admin.execute("set session_replication_role = replica")
            admin.execute("insert into c values (1)")
        broken = site.run("check", "--json")
        (record,) = broken.json
        assert (broken.status, record["worst"], record["fixes"]) == (10, "error", [])
        assert [(f["code"], f["subject"]) for f in record["findings"] if f["severity"] == "error"] == [
            ("orphan_rows", "public.c: c_id_fkey")
        ]
    finally:
        with site.session() as shop:
            shop.execute("drop table if exists cache, c, p")
    assert site.done("check").status == 0
