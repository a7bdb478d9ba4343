"""Single tables and suspect snapshots, as a user meets them on the command line."""

from __future__ import annotations

from tests.e2e.site import Site


def test_a_table_is_brought_back_beside_the_live_one_and_compared(site: Site) -> None:
    taken = site.take()["result"]["snapshot_id"]
    with site.session() as session:
        session.execute("delete from item where id <= 3")
        session.execute("update item set name = 'broken' where id = 7")
    content = site.content()
    plan = site.done("restore", "--table", "public.item", "--to", "rescued", "--plan", "--json").json
    assert plan["tables"] == [{"table": "public.item", "to": "public.rescued"}]
    ended = site.done("restore", "--table", "public.item", "--to", "rescued", "--snapshot", taken, "--wait")
    assert (
        "public.item is back as public.rescued:"
        " 500 rows; 3 only in the snapshot, 0 only live, 1 changed (by id)" in ended.out
    )
    assert site.content() == content
    with site.session() as session:
        session.execute("insert into item overriding system value select * from rescued where id <= 3")
        session.execute("drop table rescued")
    unknown = site.run("restore", "--table", "items")
    assert (unknown.status, "did you mean public.item?" in unknown.err) == (4, True)
    paired = site.run("restore", "--table", "item", "--to", "a", "--to", "b")
    assert (paired.status, "--to 2 times" in paired.err) == (2, True)
    whole = site.run("restore", "--table", "item", "--no-safeguard")
    assert (whole.status, "for whole databases" in whole.err) == (2, True)


def test_a_suspect_snapshot_is_shown_passed_over_and_accepted(site: Site) -> None:
    good = site.take()["result"]["snapshot_id"]
    with site.session() as session:
        session.execute("truncate item")
    try:
        told = site.done("snapshot", "take", "--wait")
        assert "suspect: public.item (500 rows before) is empty" in told.out
        [suspect, *_] = site.done("snapshot", "list", "--json").json
        assert (suspect["standing"], suspect["accepted_at"]) == ("suspect", None)
        assert "public.item (500 rows before) is empty" in site.done("snapshot", "show", suspect["id"]).out
        passed = site.done("restore", "--plan", "--json")
        assert passed.json["snapshot"]["id"] == good
        assert f"newer, and passed over: {suspect['id']} (suspect)" in passed.err
        stopped = site.done("prune", "--plan", "--json").json["stopped"]
        assert suspect["id"] in stopped
        assert "pruning has stopped" in site.done("prune", "--wait").out
        assert "is accepted" in site.done("snapshot", "accept", suspect["id"]).out
        assert site.done("snapshot", "show", suspect["id"], "--json").json["standing"] == "sealed"
        assert site.done("prune", "--plan", "--json").json["stopped"] is None
    finally:
        with site.session() as session:
            fill = "insert into item overriding system value select i, 'item ' || i from generate_series(1, 500) i"
            session.execute(fill)
