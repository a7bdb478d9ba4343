"""A fleet as whoever watches it sees it: Prometheus, the dashboard's queries, the alerts, and Flower."""

from __future__ import annotations

import json
import re
from collections.abc import Generator
from pathlib import Path

import pytest

from embedded.postgres import Postgres
from embedded.seaweed import SeaweedFS
from monitoring.grafana import dashboard
from tests.e2e.watched import BAD, MONITORING, NAME, PASSWORD, Watched

CONTROL = (
    "worker/shutdown/worker@host",
    "worker/pool/restart/worker@host",
    "worker/pool/grow/worker@host",
    "worker/pool/shrink/worker@host",
    "worker/pool/autoscale/worker@host",
    "worker/queue/add-consumer/worker@host",
    "worker/queue/cancel-consumer/worker@host",
    "task/apply/fleet.tick",
    "task/async-apply/fleet.tick",
    "task/send-task/fleet.tick",
    "task/abort/1",
    "task/timeout/fleet.tick",
    "task/rate-limit/fleet.tick",
    "task/revoke/1",
)


@pytest.fixture(scope="module")
def watched(
    prometheus_tools: None,  # noqa: ARG001 - without it these tests are left out
    postgres: Postgres,
    seaweed: SeaweedFS,
    tmp_path_factory: pytest.TempPathFactory,
) -> Generator[Watched]:
    made = Watched(postgres=postgres, seaweed=seaweed, folder=tmp_path_factory.mktemp("watched"))
    try:
        made.fill()
        made.start_all()
        made.until(lambda: made.query("snapfleet_build_info"), "the first scrape")
        made.take()
        yield made
    finally:
        made.close()


def test_every_query_of_the_dashboard_has_an_answer(watched: Watched) -> None:
    watched.until(lambda: watched.query("snapfleet_parts_total > 0"), "the first parts to be scraped")
    watched.say("update item set pad = pad || 'x' where i % 50 = 0")
    renewals = "sum(snapfleet_lease_renewal_seconds_count)"
    with watched.locked("item"):  # a copy that has to wait renews its lease
        waiting = watched.begin()
        watched.until(lambda: any(value > 0 for _, value in watched.query(renewals)), "a renewal")
    watched.ended(waiting)
    asked = {
        (panel.title, query.expr): query.expr.replace("$__rate_interval", "1m").replace("$database", ".*")
        for row in dashboard.ROWS
        for panel in row.panels
        for query in panel.queries
    }
    unanswered = dict(asked)

    def all_answered() -> bool:
        for key, promql in list(unanswered.items()):
            if watched.query(promql):
                del unanswered[key]
        return not unanswered

    watched.until(all_answered, lambda: f"answers to {sorted(unanswered)}")
    assert watched.query(asked["Could come back", dashboard.ROWS[0].panels[0].queries[0].expr])[0][1] == 1
    (worst,) = (panel for panel in dashboard.ROWS[0].panels if panel.title == "How long, at worst")
    assert 0 < watched.query(worst.queries[0].expr.replace("$database", ".*"))[0][1] < 300
    assert watched.alerts() <= {"SnapfleetDiskFull"}, "which this machine may well be near"


def test_counts_only_grow_whatever_becomes_of_the_processes_that_counted(watched: Watched) -> None:
    (folder,) = (watched.folder / "tmp").glob("snapfleet-metrics-*")
    for _ in range(2):
        before, files = watched.counters(), {file.name for file in folder.iterdir()}
        former = watched.pool()
        watched.kill_pool()
        watched.until(
            lambda former=former: len(set(watched.pool()) - set(former)) >= len(former),  # type: ignore[misc] # a default
            "a new pool",
        )
        watched.take()
        after = watched.counters()
        assert {
            key: (value, after.get(key)) for key, value in before.items() if after.get(key, -1) < value
        } == {}
        copied = ("snapfleet_parts_total", json.dumps({"step": "copy"}))
        assert after[copied] > before[copied]
    assert {file.name for file in folder.iterdir()} == files
    assert files <= {"lock"} | {
        f"{kind}_{place}.db" for kind in ("counter", "histogram") for place in ("0", "1", "main")
    }


def test_flower_is_for_whoever_knows_the_password_and_for_looking_only(watched: Watched) -> None:
    watched.until(lambda: watched.page("flower", "/healthcheck")[0] == 200, "Flower")
    for path in ("/", "/tasks", "/workers", "/broker", "/api/tasks", "/api/workers", "/api/task/types"):
        assert watched.page("flower", path)[0] == 401, path
        assert watched.page("flower", path, password="wrong")[0] == 401, path
    for path in CONTROL:
        assert watched.page("flower", f"/api/{path}", method="POST")[0] in {401, 403}, path
        assert watched.page("flower", f"/api/{path}", method="POST", password=PASSWORD)[0] == 403, path

    def tasks() -> dict[str, dict[str, str]]:
        status, body = watched.page("flower", "/api/tasks", password=PASSWORD)
        assert status == 200
        found: dict[str, dict[str, str]] = json.loads(body)
        return found

    watched.until(lambda: {"snapshot.copy", "verify.prove"} <= {t["name"] for t in tasks().values()}, "tasks")
    with watched.fleet.catalog.transaction() as tx:
        ids = {job.id for job in tx.jobs.listing()}
    for task in tasks().values():
        words = set(re.findall(r"[\w-]+", task["args"] or ""))
        assert {word for word in words if not word.isdigit()} <= ids, task
        assert task["kwargs"] in {"{}", "", None}
    for secret in ("secret", watched.valkey.password, watched.environment["AWS_SECRET_ACCESS_KEY"]):
        assert secret not in json.dumps(tasks())
        assert secret not in watched.page("flower", "/broker", password=PASSWORD)[1]


def test_flower_shows_how_far_a_copy_is(watched: Watched) -> None:
    watched.say("update item set pad = reverse(pad)")
    watched.gate.close_after(2_000_000)
    try:
        job_id = watched.begin()

        def said() -> str | None:
            _, body = watched.page("flower", "/api/tasks?limit=50", password=PASSWORD)
            of_it = [
                t
                for t in json.loads(body).values()
                if job_id in (t["args"] or "") and t["name"] == "snapshot.copy"
            ]
            return next((str(t["result"]) for t in of_it if t["state"] == "PROGRESS"), None)

        text = watched.until(said, "a word from the copy")
    finally:
        watched.gate.open()
    assert "%" in text
    assert "parts" in text
    watched.ended(job_id)
    watched.until(lambda: not watched.unfinished(), "the end of all")


def test_what_goes_wrong_is_told_of_until_it_is_right_again(watched: Watched) -> None:
    """Rows that are lost, a proof that fails, a storage that hangs, workers that are gone: in a real Prometheus."""

    def told(*alerts: str) -> None:
        watched.until(lambda: set(alerts) <= watched.alerts(), lambda: f"{alerts} in {watched.alerts()}")

    watched.say(f"truncate item; insert into item values (0, '{BAD}')")
    job = watched.take()
    told("SnapfleetSnapshotSuspect", "SnapfleetVerificationFailed")
    watched.until(lambda: {"snapshot suspect", "verify refuted"} <= watched.notices(), "the notices")
    assert watched.query(f'snapfleet_proof_matched{{database="{NAME}"}}')[0][1] == 0
    watched.children["worker"].stop()
    watched.gate.close_after(0)
    told("SnapfleetNoWorker", "SnapfleetRepositoryUnreachable")
    watched.gate.open()
    watched.start_worker()
    watched.say("delete from item")
    with watched.fleet.catalog.transaction() as tx:
        tx.snapshots.accept(str(job.request["snapshot_id"]))
    watched.take()
    quiet = {"SnapfleetDiskFull", "SnapfleetSnapshotRefuted"}
    watched.until(lambda: watched.alerts() <= quiet, lambda: f"the end of {watched.alerts()}")


def test_the_dashboard_that_is_shipped_is_the_one_that_is_made() -> None:
    shipped = (MONITORING / "grafana" / "dashboards" / "snapfleet.json").read_text()
    assert dashboard.render() == shipped, (
        "python -m monitoring.grafana > monitoring/grafana/dashboards/snapfleet.json"
    )


def test_every_panel_says_what_it_shows_in_which_unit() -> None:
    shown = json.loads(Path(MONITORING / "grafana" / "dashboards" / "snapfleet.json").read_text())
    panels = [panel for panel in shown["panels"] if panel["type"] != "row"]
    assert len({panel["id"] for panel in shown["panels"]}) == len(shown["panels"])
    for panel in panels:
        defaults = panel["fieldConfig"]["defaults"]
        assert panel["title"]
        assert panel["description"]
        assert defaults["unit"]
        assert defaults["thresholds"]["steps"]
        assert panel["targets"]
    assert [v["name"] for v in shown["templating"]["list"]] == ["datasource", "database"]
