"""No secret is ever said: not in a log, a message, a row, an object, an argument or an answer, whatever happens."""

from __future__ import annotations

import base64
import json
import traceback
import uuid
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import redis
from sqlalchemy import text

from bus.client import Consciousness
from embedded import ports
from embedded.postgres import Postgres
from embedded.seaweed import SeaweedFS
from shared.domain.job import JobState
from shared.errors import SnapfleetError
from shared.operations.composition import compose
from shared.settings import Settings, targets
from shared.settings.environment import Environment
from shared.settings.fields import Declared, fields_of
from shared.settings.file import File
from tests.e2e import canaries
from tests.e2e.canaries import Listener, Place, search
from tests.e2e.canary_site import NAME, CanarySite

FLOWER_PAGES = (
    "/",
    "/workers",
    "/tasks",
    "/broker",
    "/api/workers?refresh=1",
    "/api/tasks",
    "/api/queues/length",
    "/metrics",
)
PATIENCE = timedelta(seconds=120)
NO_SECRET = {"HEARTBEAT_FILE"}
"""Names of files that hold nothing."""
THE_SAME = {
    "catalog_url_env": "CATALOG_URL",
    "catalog_url_file": "CATALOG_URL",
    "redis_url_env": "REDIS_URL",
    "redis_url_file": "REDIS_URL",
    "databases.url_env": "DATABASE_URL",
    "databases.url_file": "DATABASE_URL",
    "databases.verify_url_env": "VERIFY_DATABASE_URL",
    "databases.verify_url_file": "VERIFY_DATABASE_URL",
    "encryption.name_key_file": "ENCRYPTION_NAME_KEY_FILE",
    "encryption.identity_files": "ENCRYPTION_IDENTITY_FILES",
    "signing.key_file": "SIGNING_KEY_FILE",
    "notify.url_file": "notify.url_env",
}
"""Settings of the file, and the variable that leads to the same secret."""


@pytest.fixture(scope="module")
def site(
    postgres: Postgres, seaweed: SeaweedFS, tmp_path_factory: pytest.TempPathFactory
) -> Generator[CanarySite]:
    made = CanarySite(postgres=postgres, seaweed=seaweed, folder=tmp_path_factory.mktemp("canaries"))
    yield made
    made.close()


def secret_settings(model: type[Declared], under: str = "") -> Iterator[str]:
    """Those that hold a secret or lead to one, in this table and in those under it."""
    for field, table in fields_of(model):
        if field.secret or field.name.lower().endswith(("_file", "_files")):
            yield under + field.name
        if table is not None:
            yield from secret_settings(table, f"{field.name}.")


def test_every_secret_setting_has_its_canary(site: CanarySite) -> None:
    """Whoever adds one plants one."""
    known = {*secret_settings(Environment), *secret_settings(File), targets.FORM} - NO_SECRET
    planted = set(site.planted) | {"REDIS_URL"}  # of which there is one for each user
    assert known - set(THE_SAME) <= planted
    assert {name for name in known if name in THE_SAME} == set(THE_SAME)
    assert set(THE_SAME.values()) <= planted
    assert len(set(site.planted.values())) == len(site.planted)


def test_no_secret_is_said_anywhere_whatever_happens(site: CanarySite) -> None:
    with Listener(port=site.valkey.port, password=site.valkey.password) as listener:
        everything_happens(site)
        for child in site.children:
            child.stop()
    assert min(listener.heard) > 100

    def places() -> Iterator[Place]:
        yield from listener.places()
        yield from site.places()

    assert search(site.planted, places()) == []
    assert not_found_where_planted(site) == []


def everything_happens(site: CanarySite) -> None:
    site.start("worker", "workers", "--concurrency", "2", user="worker", LOG_LEVEL="debug")
    site.start("bus", "bus", user="bus")
    site.start("beat", "beat", user="beat")
    api_port, flower_port, exporter_port = ports.free(3)
    api = site.serve("api", "api", user="api", port=api_port)
    flower = ("cli", "flower", "--port", str(flower_port))
    pages = {
        site.serve("flower", *flower, user="flower", port=flower_port): FLOWER_PAGES,
        site.serve(
            "exporter", "cli", "exporter", "--port", str(exporter_port), user="exporter", port=exporter_port
        ): ("/metrics", "/"),
    }
    failing = Failures(site, api)
    with site.client(api, headers={"Authorization": f"Bearer {site.planted['API token']}"}) as http:
        failing.start_with_wrong_settings()
        taken = over_the_bus(site)
        restore_and_undo(site, http, taken)
        failing.work_with_a_wrong_password(http)
        failing.ask_wrongly(http)
        look_at_everything(http, taken)
    for url, paths in pages.items():
        look_at_pages(site, url, paths)
    as_worker = {"REDIS_URL": site.valkey.url_of("worker")}
    site.run_all((("cli", "doctor"), as_worker), (("cli", "restore", NAME, "--plan", "--json"), {}))


def over_the_bus(site: CanarySite) -> str:
    consciousness = Consciousness.connect(
        site.valkey.url_of("consciousness"), source="/consciousness", database=NAME
    )
    taken = consciousness.create_snapshot(labels={"why": "canaries"}, deadline=PATIENCE)
    return str(taken.data["snapshot_id"])


def restore_and_undo(site: CanarySite, http: httpx.Client, snapshot_id: str) -> None:
    plan = http.post(f"/v1/databases/{NAME}/restore-plans", json={"snapshot_id": snapshot_id}).json()
    body = {"snapshot_id": snapshot_id, "plan_id": plan["plan_id"], "database": NAME}
    restored = post(http, f"/v1/databases/{NAME}/restores", body)
    assert site.ended(restored["job_id"]).state is JobState.SUCCEEDED
    undone = post(http, f"/v1/jobs/{restored['job_id']}/undo", {"database": NAME})
    assert site.ended(undone["job_id"]).state is JobState.SUCCEEDED


def post(http: httpx.Client, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    response = http.post(path, json=body, headers={"Idempotency-Key": uuid.uuid4().hex})
    assert response.status_code == 202, response.text
    found: dict[str, Any] = response.json()
    return found


def look_at_everything(http: httpx.Client, snapshot_id: str) -> None:
    """Every route that only looks."""
    described = http.get("/openapi.json").json()
    job_id = http.get("/v1/jobs").json()["items"][0]["id"]
    ids = {"name": NAME, "snapshot_id": snapshot_id, "job_id": job_id}
    looked = 0
    for path, ways in described["paths"].items():
        if "get" in ways:
            response = http.get(path.format(**ids))
            assert response.status_code < 500 or path.startswith("/health"), (path, response.text)
            looked += 1
    assert looked > 10


def look_at_pages(site: CanarySite, url: str, paths: Iterable[str]) -> None:
    """As somebody who may, and as somebody who may not."""
    good = ("snapfleet", site.planted["FLOWER_PASSWORD"])
    for auth in (good, ("snapfleet", site.secret("a wrong password for a page")), None):
        with site.client(url, auth=auth, follow_redirects=True) as http:
            statuses = {path: http.get(path).status_code for path in paths}
        if auth == good:
            assert 200 in statuses.values(), statuses
            assert max(statuses.values()) < 500, statuses


class Failures:
    """What goes wrong in everybody's life: each with secrets of its own in the wrong place."""

    def __init__(self, site: CanarySite, api: str) -> None:
        self._site, self._api = site, api

    def start_with_wrong_settings(self) -> None:
        site, secret = self._site, self._site.secret
        gone = f"postgresql://u:{quoted(secret('a server that is away'))}@127.0.0.1:1/x"
        elsewhere = ("--to", "x", "--target-url-env", "SNAPFLEET_TARGET_GONE_URL")
        statuses = site.run_all(
            (("cli", "jobs"), {"CATALOG_URL": gone}),
            (("cli", "jobs"), {"CATALOG_URL": site.url("catalog", f"catalog_{site.tag}", "wrong password")}),
            (("workers", "--concurrency", "1"), {"AWS_SECRET_ACCESS_KEY": secret("denied by S3")}),
            (("cli", "restore", NAME, "--plan", *elsewhere), {"SNAPFLEET_TARGET_GONE_URL": gone}),
        )
        assert 0 not in statuses, statuses
        for changes in (
            {"DATABASE_URL": f"postgresql://u:{quoted(secret('wrong port'))}@h:99999/x"},
            {"DATABASE_URL": f"service=x password='{secret('a service')}' dbname=x host=h"},
            {"DATABASE_URL": secret("no URL at all")},
            {"REDIS_URL": f"http://:{quoted(secret('wrong scheme'))}@h"},
        ):
            with pytest.raises(SnapfleetError) as refusal:
                compose(**Settings.load(site.environment | changes, site.folder).values())
            said = "".join(traceback.format_exception(refusal.value)) + str(refusal.value.hint)
            site.note(f"refusal of {next(iter(changes))}", said.encode())

    def work_with_a_wrong_password(self, http: httpx.Client) -> None:
        """The role's password is another one now, for a while."""
        site = self._site
        site.set_password("source", site.secret("the role's new password"))
        job = post(http, f"/v1/databases/{NAME}/snapshots", {})
        failed = site.ended(job["job_id"])
        assert (failed.state, (failed.error or {}).get("code")) == (JobState.FAILED, "wrong_password")
        site.set_password("source", site.planted["DATABASE_URL"])

    def ask_wrongly(self, http: httpx.Client) -> None:
        site = self._site
        with site.client(self._api) as stranger:
            for header in (
                f"Bearer {site.secret('a wrong token')}",
                f"Basic {site.secret('basic')}",
                f"Bearer {site.planted['API token']}, Bearer x",
            ):
                assert (
                    stranger.get(f"/v1/databases/{NAME}", headers={"Authorization": header}).status_code
                    == 401
                )
        for body in (
            json.dumps({"verify": site.secret("a wrong value")}),
            json.dumps({"labels": {"a": [site.secret("a wrong kind")]}}),
            site.secret("no JSON"),
        ):
            headers = {"Idempotency-Key": uuid.uuid4().hex, "Content-Type": "application/json"}
            refused = http.post(f"/v1/databases/{NAME}/snapshots", headers=headers, content=body)
            assert refused.status_code in {400, 422}
        assert http.get("/v1/jobs", params={"before": site.secret("a cursor")}).status_code == 400
        assert http.get("/v1/jobs", params={"token": site.planted["API token"]}).status_code == 400


def quoted(secret: str) -> str:
    return quote(secret, safe="")


def not_found_where_planted(site: CanarySite) -> list[str]:
    """Where a search does not find what was put there: or else that it finds nothing would say nothing."""
    planted = {where: canaries.new() for where in ("redis", "message", "log", "catalog", "object", "answer")}
    with redis.Redis.from_url(site.valkey.url) as client:
        client.hset("planted", "field", planted["redis"])
        client.lpush("planted list", base64.b64encode(b'{"args": ["' + planted["message"].encode() + b'"]}'))
    (site.folder / "log" / "planted.log").write_text(f"password={planted['log']}\n")
    with site.fleet.catalog.engine.begin() as catalog:
        catalog.execute(
            text("update job set error = jsonb_build_object('hint', cast(:said as text))"),
            {"said": planted["catalog"]},
        )
    site.fleet.repository.storage.put(f"{NAME}/planted", planted["object"].encode())
    site.note("answer", planted["answer"].encode())
    hits = {name for _, name in search(planted, site.places())}
    site.fleet.repository.storage.delete(f"{NAME}/planted")
    with suppress(redis.RedisError), redis.Redis.from_url(site.valkey.url) as client:
        client.delete("planted", "planted list")
    return sorted(set(planted) - hits)
