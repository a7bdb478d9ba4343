"""Each kind of worker with the S3 policy of deploy/s3/ and nothing else.

moto enforces them by action and resource. It calls one action otherwise than AWS does (HeadBucket, which there
needs s3:ListBucket) and knows no conditions of S3: whether those would be met is looked up in what was sent.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.exceptions import ClientError
from sqlalchemy import text

from shared.domain.job import SAGAS, Job, JobKind, JobState
from shared.domain.retention import Policy
from shared.domain.snapshot import SnapshotState
from shared.errors import Refused
from shared.operations.upkeep import check
from shared.storage import s3
from shared.storage.repository import Repository, manifest_key
from shared.storage.s3 import S3Storage
from tests.contract import s3_servers
from tests.contract.s3_servers import BUCKET, S3Server
from tests.integration.conftest import Inline
from tests.integration.inline_fleet import NAME, InlineFleet, refused
from tests.integration.test_round_trip import fill, succeeded

Maker = Callable[..., str]
Act = tuple[str, str]

POLICIES = Path(__file__).parents[2] / "deploy" / "s3"
KINDS = ("writer", "reader", "keeper")
OF_QUEUE = {"jobs": "writer", "proof": "reader", "restore": "writer", "upkeep": "keeper"}
SOME = """
    create table small (id serial primary key, v text);
    insert into small (v) select 'row ' || n from generate_series(1, 100) n;
    create table large as select n, repeat(md5(n::text), 12) as v from generate_series(1, 10000) n;
"""


def policy(kind: str) -> dict[str, Any]:
    text = (POLICIES / f"{kind}.json").read_text("utf-8").replace("BUCKET", BUCKET)
    return dict(json.loads(text))


def as_moto_wants_it(kind: str) -> str:
    """Without conditions, and with its own name for what AWS asks s3:ListBucket for."""
    found = policy(kind)
    for statement in found["Statement"]:
        statement.pop("Condition", None)
        if "s3:ListBucket" in statement["Action"]:
            statement["Action"].append("s3:HeadBucket")
    return json.dumps(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One request: what was asked for, of which key, under which conditions."""

    operation: str
    key: str
    if_none_match: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A user of the S3 server with one policy, and everything that was sent as this user."""

    storage: S3Storage
    client: Any
    sent: list[Sent] = field(default_factory=list)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Generator[dict[str, Identity]]:
    """A user for each policy on a server that asks everybody for theirs."""
    with s3_servers.moto(tmp_path_factory.mktemp("moto")) as server:
        users = {kind: identity(server, kind) for kind in KINDS}
        # From the next request on it looks at everybody's rights.
        httpx.post(f"{server.url}/moto-api/reset-auth", content=b"0").raise_for_status()
        yield users


def identity(server: S3Server, kind: str) -> Identity:
    iam = s3_servers.session().client("iam", endpoint_url=server.url)
    iam.create_user(UserName=kind)
    iam.put_user_policy(UserName=kind, PolicyName=kind, PolicyDocument=as_moto_wants_it(kind))
    key = iam.create_access_key(UserName=kind)["AccessKey"]
    session = boto3.Session(
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
        region_name="us-east-1",
    )
    sent: list[Sent] = []

    def note(params: dict[str, Any], model: Any, **_: Any) -> None:
        path = params["url_path"].removeprefix(f"/{BUCKET}").lstrip("/")
        sent.append(
            Sent(
                operation=model.name,
                key=path.partition("?")[0],
                if_none_match=params["headers"].get("If-None-Match"),
            )
        )

    session.events.register("before-call.s3", note)
    storage = s3.connect(bucket=BUCKET, endpoint_url=server.url, session=session)
    return Identity(storage=storage, client=session.client("s3", endpoint_url=server.url), sent=sent)


@pytest.fixture
def deployed(guarded: dict[str, Identity], database: Maker, inline: Inline) -> InlineFleet:
    """A fleet whose steps run with the key of the worker that serves their queue."""
    url = database()
    fill(url, SOME)
    fleet = inline(url, storage=guarded["writer"].storage)

    def as_its_worker(job: Job, _step: str) -> None:
        use(fleet, guarded[OF_QUEUE[SAGAS[job.kind].queue]])

    fleet.before = as_its_worker
    return fleet


def use(fleet: InlineFleet, who: Identity) -> None:
    fleet.configure(repository=Repository(who.storage))


def test_every_queue_has_a_policy() -> None:
    assert {saga.queue for saga in SAGAS.values()} == set(OF_QUEUE)
    assert {path.stem for path in POLICIES.glob("*.json")} == set(KINDS) == set(OF_QUEUE.values())


def test_a_fleet_lives_with_these_policies_and_no_more(
    deployed: InlineFleet, guarded: dict[str, Identity]
) -> None:
    for who in guarded.values():
        who.storage.check()  # as each worker does when it starts
    first = str(succeeded(deployed.snapshot()).request["snapshot_id"])
    succeeded(deployed.restore(safeguard=True))
    fill(deployed.fleet.database(NAME).url, "update large set v = repeat(md5(v), 12)")
    succeeded(deployed.verify(str(succeeded(deployed.snapshot()).request["snapshot_id"])))
    days_pass(deployed)
    pruned = succeeded(deployed.run(JobKind.PRUNE, {}))
    assert first in pruned.result["removed"]
    assert pruned.result["deleted_chunks"] > 0
    looked = succeeded(deployed.run(JobKind.CHECK, check.request()))
    assert [f.code for f in check.findings_in(looked.result) if f.code.endswith("unreachable")] == []
    sealed = [
        one
        for who in guarded.values()
        for one in who.sent
        if one.operation == "PutObject" and one.key.endswith("/manifest.json")
    ]
    assert len(sealed) >= 3
    assert {one.if_none_match for one in sealed} == {"*"}


def days_pass(fleet: InlineFleet) -> None:
    """So many that only the newest snapshot is kept."""
    database = replace(fleet.fleet.database(NAME), policy=Policy(last=1))
    fleet.configure(databases={NAME: database})
    ago = "- interval '25 h'"
    moments = ", ".join(f"{name} = {name} {ago}" for name in ("created_at", "taken_at", "sealed_at"))
    with fleet.fleet.catalog.engine.begin() as connection:
        connection.execute(text(f"update chunk set touched_at = touched_at {ago}"))
        connection.execute(text(f"update snapshot set {moments}, kept_until = null"))


CHUNK, MANIFEST, CHAIN = "src/chunks/ab/abcd", "src/snapshots/1/manifest.json", "src/chain.json"
FORBIDDEN: dict[str, tuple[Act, ...]] = {
    "writer": (("delete", CHUNK), ("delete", MANIFEST), ("put", "src/else")),
    "reader": (("delete", CHUNK), ("delete", MANIFEST), ("put", CHUNK), ("put", MANIFEST), ("put", CHAIN)),
    "keeper": (("put", CHUNK), ("put", MANIFEST), ("delete", "src/else")),
}


@pytest.mark.parametrize(
    ("kind", "act"), [(kind, act) for kind, acts in FORBIDDEN.items() for act in acts], ids=str
)
def test_what_is_not_its_business_is_refused(kind: str, act: Act, guarded: dict[str, Identity]) -> None:
    storage = guarded[kind].storage
    what, key = act
    with pytest.raises(Refused) as refusal:
        storage.delete(key) if what == "delete" else storage.put(key, b"x")
    assert (refusal.value.code, bool(refusal.value.hint)) == ("access_denied", True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("operation", "more"),
    [
        ("delete_object", {"Key": CHUNK, "VersionId": "1"}),
        ("delete_bucket", {}),
        ("put_bucket_versioning", {"VersioningConfiguration": {"Status": "Suspended"}}),
        ("put_bucket_policy", {"Policy": "{}"}),
        ("delete_bucket_policy", {}),
    ],
)
def test_nobody_can_do_what_would_destroy_older_versions(
    kind: str, operation: str, more: dict[str, Any], guarded: dict[str, Identity]
) -> None:
    with pytest.raises(ClientError) as refusal:
        getattr(guarded[kind].client, operation)(Bucket=BUCKET, **more)
    assert refusal.value.response["Error"]["Code"] == "AccessDenied"


def test_no_policy_allows_more_than_objects_below_what_is_ours() -> None:
    for kind in KINDS:
        for statement in policy(kind)["Statement"]:
            assert statement["Effect"] == "Allow"
            assert not [action for action in statement["Action"] if "*" in action]
            writes = {"s3:PutObject", "s3:DeleteObject"} & set(statement["Action"])
            assert not (writes and f"arn:aws:s3:::{BUCKET}/*" in statement["Resource"])


def test_a_worker_with_the_wrong_policy_says_what_it_lacks(
    deployed: InlineFleet, guarded: dict[str, Identity]
) -> None:
    deployed.before = lambda _job, _step: use(deployed, guarded["reader"])
    refused(deployed.snapshot(), "access_denied", "s3://")


def test_a_manifest_that_its_writer_may_not_take_back_is_deleted_by_retention(
    deployed: InlineFleet, guarded: dict[str, Identity]
) -> None:
    """A job that is cancelled just after its manifest was written: it must not look real for ever."""
    succeeded(deployed.snapshot())
    as_its_worker = deployed.before

    def give_up(job: Job, step: str) -> None:
        as_its_worker(job, step)
        if step == "seal":
            written = guarded["writer"].storage
            written.put(manifest_key(NAME, str(job.request["snapshot_id"])), b"{}", create_only=True)

    deployed.before = give_up
    failed = deployed.snapshot()
    assert failed.state is JobState.FAILED
    snapshot_id = str(failed.request["snapshot_id"])
    assert snapshot_id in deployed.fleet.repository.manifests(NAME)
    deployed.before = as_its_worker
    succeeded(deployed.run(JobKind.PRUNE, {}))
    sealed = {s.id for s in deployed.snapshots() if s.state is SnapshotState.SEALED}
    left = set(deployed.fleet.repository.manifests(NAME))
    assert (snapshot_id in left, sealed <= left) == (False, True)
