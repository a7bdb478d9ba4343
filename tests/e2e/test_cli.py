"""The command line against a running worker: what a user does on a good and on a bad day."""

from __future__ import annotations

import uuid

from tests.e2e.site import Site

SNAPSHOT_FIELDS = {
    *("id", "database", "sequence", "state", "reason", "labels", "pinned", "created_at", "taken_at"),
    *("sealed_at", "failed_at", "deleted_at", "server_version", "tool_version", "raw_bytes", "stored_bytes"),
    *("new_bytes", "row_count", "duration_seconds", "manifest_sha256", "error", "verified_at"),
    *("refuted_at", "suspicions", "accepted_at", "kept_until", "standing", "how_read"),
}
JOB_FIELDS = {
    *("id", "kind", "database", "state", "step", "request", "idempotency_key", "attempts"),
    *("cancel_requested", "worker", "progress", "result", "error", "created_at", "deadline_at"),
    "finished_at",
}


def test_a_snapshot_that_is_waited_for_ends_sealed_and_says_its_facts(site: Site) -> None:
    ended = site.done("snapshot", "take", "--wait")
    first, *facts = ended.out.splitlines()
    assert first.startswith("snapshot 20")
    assert f"of {site.name} is sealed, in " in first
    assert "500 rows" in facts[0]
    assert "stored" in facts[1]
    assert "snapshot copy" in ended.err


def test_a_list_of_snapshots_has_stable_fields_and_plain_units(site: Site) -> None:
    newest = site.take("--label", "release=1.4", "--label", "by=a test")["result"]
    listed = site.done("snapshot", "list", site.name, "--json").json
    assert set(listed[0]) == SNAPSHOT_FIELDS
    assert listed[0]["id"] == newest["snapshot_id"]
    assert listed[0]["labels"] == {"release": "1.4", "by": "a test"}
    assert listed[0]["raw_bytes"] == newest["raw_bytes"]
    assert listed[0]["taken_at"].endswith("Z")
    assert [each["sequence"] for each in listed] == sorted((s["sequence"] for s in listed), reverse=True)


def test_a_list_is_as_long_as_was_asked_for_and_says_where_there_is_more(site: Site) -> None:
    newest = [site.take()["result"]["snapshot_id"] for _ in range(2)][-1]
    for words in (["snapshot", "list"], ["jobs"]):
        listed = site.done(*words, "--limit", "1", "--json")
        assert len(listed.json) == 1
        assert "only the newest 1 are shown; --limit shows more" in listed.err
        assert "only the newest" not in site.done(*words, "--limit", "10000").err
    assert [each["id"] for each in site.done("snapshot", "list", "--limit", "1", "--json").json] == [newest]


def test_a_snapshot_is_shown_by_the_beginning_of_its_id(site: Site) -> None:
    wanted = site.sealed()
    shown = site.done("snapshot", "show", wanted[:-1], "--json").json
    assert shown["id"] == wanted
    assert shown["table_rows"] == {"public.item": 500}
    assert site.done("snapshot", "show", wanted).out.split()[:2] == ["snapshot", wanted]


def test_a_plan_says_what_would_happen_and_changes_nothing(site: Site) -> None:
    wanted = site.sealed()
    before = (site.jobs(), site.databases(), site.content())
    with site.session():
        plan = site.done("restore", "--plan", "--json").json
    assert (site.jobs(), site.databases(), site.content()) == before
    assert plan["snapshot"]["id"] >= wanted
    assert plan["target"] == site.name
    assert plan["sessions_cut"] == 1
    assert plan["parked_bytes"] > 1_000_000
    assert plan["parked_name"].startswith("snapfleet_parked_")
    assert plan["parked_until"] > plan["snapshot"]["taken_at"]
    assert plan["missing_roles"] == []
    assert plan["obstacles"] == []


def test_a_restore_brings_the_content_back_and_an_undo_takes_that_back(site: Site) -> None:
    site.take()
    good = site.content()
    with site.session() as session:
        session.execute("update item set name = 'broken'")
    broken = site.content()
    restored = site.done("restore", "--yes", "--wait")
    assert site.content() == good
    assert "500 rows in 1 table" in restored.out
    undo = restored.out.splitlines()[-1].strip().removeprefix("take it back: snapfleet ").split()
    shown = site.done("job", "show", undo[1], "--json").json
    assert shown["parked"]["name"] in site.databases()
    assert shown["parked"]["name"] in restored.out

    undone = site.done(*undo, "--wait", "--yes")
    assert site.content() == broken
    assert f"what was parked is {site.name} again" in undone.out
    site.done(*undo, "--wait", "--yes")
    assert site.content() == good
    assert site.done("restore", "--plan", "--json").json["estimated_seconds"] > 0


def test_a_restore_beside_the_live_database_asks_nobody_and_parks_nothing(site: Site) -> None:
    site.sealed()
    beside = f"beside {uuid.uuid4().hex[:6]}"
    ended = site.done("restore", "--to", beside, "--wait")
    assert site.content(beside) is not None
    assert f"{beside} holds snapshot" in ended.out
    assert "nothing is parked" in ended.out


def test_a_dry_run_of_prune_judges_every_snapshot_and_changes_nothing(site: Site) -> None:
    wanted = site.sealed()
    before = site.jobs()
    judged = site.done("prune", "--dry-run", "--json").json
    assert judged["database"] == site.name
    assert judged["stopped"] is None
    [verdict] = [each for each in judged["verdicts"] if each["snapshot_id"] == wanted]
    assert verdict["keep"]
    assert "nothing was changed" in site.done("prune", "--dry-run").out
    assert site.jobs() == before


def test_a_prune_that_is_waited_for_says_what_went(site: Site) -> None:
    site.sealed()
    assert f"of {site.name} removed" in site.done("prune", "--wait").out


def test_a_snapshot_is_deleted_as_it_was_planned_and_the_newest_one_is_not(site: Site) -> None:
    older = str(site.take()["result"]["snapshot_id"])
    newer = str(site.take()["result"]["snapshot_id"])
    site.done("snapshot", "verify", newer, "--wait")
    plan = site.done("snapshot", "delete", older, "--plan", "--json").json
    assert (plan["snapshot"]["id"], plan["obstacle"]) == (older, None)
    assert site.run("snapshot", "delete", older).status == 3
    assert site.run("snapshot", "delete", older, "--plan-id", "0" * 24).status == 3
    assert "stays: it is the newest" in site.done("snapshot", "delete", newer, "--plan").out
    ended = site.done("snapshot", "delete", older, "--plan-id", plan["plan_id"], "--wait", "--json").json
    assert ended["result"]["removed"] == [older]
    assert older not in {each["id"] for each in site.done("snapshot", "list", "--json").json}


def test_jobs_are_listed_newest_first_and_shown_step_by_step(site: Site) -> None:
    taken = site.take()
    site.settled()
    listed = site.done("jobs", site.name, "--json").json
    assert all(set(each) == JOB_FIELDS for each in listed)
    assert [each["created_at"] for each in listed] == sorted((j["created_at"] for j in listed), reverse=True)
    shown = site.done("job", "show", taken["id"][:13], "--json").json
    assert [(step["name"], step["state"]) for step in shown["steps"]] == [("copy", "done"), ("seal", "done")]
    assert shown["seconds"] > 0
    assert taken["id"][:8] in site.done("jobs").out
    assert "copy" in site.done("job", "show", taken["id"]).out


def test_the_same_idempotency_key_twice_takes_one_snapshot(site: Site) -> None:
    key = uuid.uuid4().hex
    first = site.done("snapshot", "take", "--idempotency-key", key, "--json").json
    second = site.done("snapshot", "take", "--idempotency-key", key, "--json", "--wait").json
    assert (first["is_new"], first["rung"]) == (True, True)
    assert second["id"] == first["id"]
    assert site.jobs().count(first["id"]) == 1
    other = site.run("restore", "--idempotency-key", key, "--yes")
    assert (other.status, "belongs to another request" in other.err) == (3, True)


def test_the_same_idempotency_key_answers_a_restore_that_would_now_be_refused(site: Site) -> None:
    """The name is taken by the first one's own result."""
    site.sealed()
    command = ("restore", "--to", f"again_{uuid.uuid4().hex[:6]}", "--idempotency-key", uuid.uuid4().hex)
    first = site.done(*command, "--wait", "--json").json
    assert site.done(*command, "--json").json["id"] == first["id"]


def test_a_pinned_snapshot_stays_until_it_is_unpinned(site: Site) -> None:
    wanted = site.sealed()
    site.take()
    for command, is_pinned in (("pin", True), ("unpin", False)):
        site.done("snapshot", command, wanted)
        verdicts = site.done("prune", "--plan", "--json").json["verdicts"]
        why = next(each["why"] for each in verdicts if each["snapshot_id"] == wanted)
        assert (why == "pinned") is is_pinned


def test_databases_says_who_is_at_work_and_who_holds_the_lock(site: Site) -> None:
    site.settled()
    with site.held_up():
        job = site.done("snapshot", "take", "--json").json["id"]
        site.claimed()
        shown = site.done("databases", "--json").json[0]
    assert shown["name"] == site.name
    assert "secret" not in str(shown)
    assert shown["live_job"] == {"id": job, "kind": "snapshot", "state": "active", "step": "copy"}
    assert (shown["lock_known"], shown["lock_holder"]) == (True, job)
    assert shown["missed_slots"] == 0
    assert site.done("job", "watch", job).status == 0


def test_a_cancelled_job_ends_and_its_watcher_hears_of_it(site: Site) -> None:
    site.settled()
    with site.held_up():
        site.done("snapshot", "take")
        waiting = site.done("snapshot", "take", "--json").json["id"]
        assert "is cancelled" in site.done("job", "cancel", waiting[:8]).out
        watched = site.run("job", "watch", waiting)
        again = site.run("job", "cancel", waiting)
    assert (watched.status, again.status) == (1, 3)
    assert "error: snapshot cancelled: cancelled by request" in watched.err
    site.settled()


def test_a_job_that_fails_ends_its_waiting_command_with_1_and_the_jobs_own_words(site: Site) -> None:
    with site.admin(site.name) as admin:
        admin.execute("create table locked_away (id int)")
    try:
        ended = site.run("snapshot", "take", "--wait", "--json")
    finally:
        with site.admin(site.name) as admin:
            admin.execute("drop table locked_away")
    assert ended.status == 1
    assert ended.json["state"] == "failed"
    error, hint = ended.err.splitlines()[-2:]
    assert error.startswith("error: snapshot failed")
    assert "locked_away" in error
    assert hint.startswith("hint: grant the role")
