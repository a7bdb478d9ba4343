"""`snapshot verify` against a running worker, and its exit status for each outcome."""

from __future__ import annotations

from shared.storage.repository import chunk_key
from tests.e2e.site import Site


def test_a_snapshot_is_taken_and_proven_in_one_command(site: Site) -> None:
    ended = site.done("snapshot", "take", "--verified")
    taken, proven = (line for line in ended.out.splitlines() if line.startswith("snapshot "))
    snapshot_id = taken.split()[1]
    assert " is sealed, in " in taken
    assert proven.startswith(f"snapshot {snapshot_id} of {site.name} is proven, in ")
    assert "500 rows" in ended.out
    shown = site.done("snapshot", "show", snapshot_id, "--json").json
    assert (shown["standing"], shown["verifications"][0]["matched"]) == ("verified", True)
    again = site.done("snapshot", "verify", "--stored", "--json").json
    assert (again["snapshot_id"], again["damaged"]) == (snapshot_id, {})
    known = site.done("databases", "--json").json[0]
    assert known["newest_proven"]["id"] == snapshot_id
    assert known["restore_seconds"] > 0


def test_what_is_not_the_snapshot_is_told_apart_from_what_has_failed(site: Site) -> None:
    snapshot_id = site.sealed()
    sha256 = site.recorded(f"select sha256 from snapshot_chunk where snapshot_id = '{snapshot_id}' limit 1")[
        0
    ]
    is_refuted = f"select refuted_at is not null from snapshot where id = '{snapshot_id}'"
    with site.damaged(chunk_key(site.name, sha256)):
        damaged = site.run("snapshot", "verify", snapshot_id, "--stored")
        assert (damaged.status, sha256 in damaged.err) == (8, True)
        shown = site.done("snapshot", "show", snapshot_id)
        assert "not as stored" in shown.out
        assert sha256 in shown.out
        refuted = site.run("snapshot", "verify", snapshot_id, "--wait")
        assert (refuted.status, "is not what was stored" in refuted.err) == (8, True)
        assert site.recorded(is_refuted) == ["True"]
    site.done("snapshot", "verify", snapshot_id, "--wait")
    assert site.recorded(is_refuted) == ["False"]
