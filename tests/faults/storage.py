"""An S3 server that is slow, refuses, hangs up, loses its answers or lies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from shared.domain.job import SAGAS, JobKind, JobState
from tests.faults.case import Case
from tests.faults.scenes import SCENES
from tests.faults.sleepers import SHORT
from tests.faults.wire import Rule
from tests.faults.world import World

CHUNKS, MANIFESTS = "/chunks/", "/manifest.json"
PUT_PLACES: dict[str, float] = {"0": 0, "1": 1, "half": 0.5, "last": -1}
READERS = (JobKind.RESTORE, JobKind.VERIFY)
ALL = (JobKind.SNAPSHOT, *READERS, JobKind.PRUNE)
ANSWERS = ("GET|HEAD|PUT|DELETE|POST", "")


def cases() -> Iterator[Case]:
    yield from resets()
    yield from refusals()
    yield from slowness()
    yield from lies()


def resets() -> Iterator[Case]:
    for name, place in PUT_PLACES.items():
        for what in (CHUNKS, MANIFESTS):
            rule = Rule(method="PUT", path=what, cut_request=place, times=1)
            yield survived(f"S3 resets a put at byte {name}", JobKind.SNAPSHOT, what, rule)
        rule = Rule(method="GET", path=CHUNKS, cut_answer=place, times=1)
        yield survived(f"S3 resets a get at byte {name}", JobKind.RESTORE, CHUNKS, rule)
    for what in (CHUNKS, MANIFESTS):
        rule = Rule(method="PUT", path=what, lose_answer=True, times=1)
        yield survived("the answer to a put is lost", JobKind.SNAPSHOT, what, rule)
    rule = Rule(method="DELETE", lose_answer=True, times=2)
    yield survived("the answer to a delete is lost", JobKind.PRUNE, "two of them", rule)


def refusals() -> Iterator[Case]:
    method, path = ANSWERS
    for kind in ALL:
        rule = Rule(method=method, path=path, status=503, share=(3, 10))
        yield survived("30 % of S3's answers are 503", kind, "all along", rule)
    for kind, what in ((JobKind.SNAPSHOT, "PUT"), (JobKind.RESTORE, "GET")):
        yield outage(kind, what)
        rule = Rule(method=what, path=CHUNKS, skip=1, times=1, status=400, code="ExpiredToken")
        yield survived("the credentials have expired once", kind, what, rule)
        rule = Rule(method=what, path=CHUNKS, skip=1, times=1, status=403, code="RequestTimeTooSkewed")
        yield survived("S3 finds the clock skewed once", kind, what, rule)
        rule = Rule(method=what, path=CHUNKS, skip=1, status=403, code="AccessDenied")
        yield failed("S3 denies access half-way", kind, what, ["access_denied"], rule)
        rule = Rule(method=what, path=CHUNKS, skip=1, times=2, status=500, code="InternalError")
        yield survived("S3 fails by itself", kind, what, rule)
    for kind in (JobKind.VERIFY, JobKind.PRUNE):
        what = "DELETE" if kind is JobKind.PRUNE else "GET"
        yield failed(
            "S3 denies access half-way",
            kind,
            what,
            ["access_denied"],
            Rule(method=what, status=403, code="AccessDenied"),
        )
    yield failed(
        "S3 is full", JobKind.SNAPSHOT, "PUT", ["storage_full"],
        Rule(method="PUT", path=CHUNKS, skip=1, status=507, code="QuotaExceeded"),
    )  # fmt: skip


def slowness() -> Iterator[Case]:
    for kind, method in ((JobKind.SNAPSHOT, "PUT"), (JobKind.RESTORE, "GET"), (JobKind.VERIFY, "GET")):
        rule = Rule(method=method, path=CHUNKS, times=1, stall_seconds=2.5)
        yield survived(
            "S3 stalls for longer than it is waited for",
            kind,
            method,
            rule,
            read_timeout=timedelta(seconds=1),
        )
        yield survived("S3 stalls for longer than the lease", kind, method, rule, lease=SHORT)
    rule = Rule(method="GET", path=CHUNKS, bytes_per_second=600_000)
    yield survived("S3 takes longer than the lease for its bytes", JobKind.RESTORE, "GET", rule, lease=SHORT)


def lies() -> Iterator[Case]:
    """What is noticed by nothing but our own hashes; nothing may be sealed or swapped in on a lie."""
    for name, place in PUT_PLACES.items():
        codes = ["chunk_damaged", "object_damaged", "manifest_damaged"]
        rule = Rule(method="GET", path=CHUNKS, rewrite=place)
        kind = JobKind.VERIFY if name == "half" else JobKind.RESTORE
        yield failed("a bit changes on its way from S3", kind, f"byte {name}", codes, rule)
    title = "S3 says that it has stored what it has not"
    once = Rule(method="PUT", path=CHUNKS, times=1, status=200, code="")
    yield survived(title, JobKind.SNAPSHOT, "once", once)
    yield failed(title, JobKind.SNAPSHOT, "always", ["chunk_damaged"], replace(once, times=1 << 30))


def survived(title: str, kind: JobKind, name: str, *rules: Rule, **changes: Any) -> Case:
    """The job succeeds all the same."""

    def run(world: World) -> None:
        scene = SCENES[kind](world)
        world.cast.changes = {"wired": True, **changes}
        done = world.wires.did()
        world.wires.rules(*rules)
        job = world.ended(scene.ask())
        world.wires.mend()
        assert world.wires.did() > done, "nothing was struck"
        scene.assert_over(job)

    return Case(kind=title, name=f"{kind} {name}", run=run)


def failed(title: str, kind: JobKind, name: str, codes: Sequence[str], *rules: Rule) -> Case:
    """The job ends as if it had never been, and says why; what it could not take away goes later."""

    def run(world: World) -> None:
        scene = SCENES[kind](world)
        world.cast.changes = {"wired": True}
        done = world.wires.did()
        world.wires.rules(*rules)
        job_id = scene.ask()
        turned = {JobState.ROLLING_BACK, SAGAS[kind].ends_undone}
        world.work_until(
            lambda: world.job(job_id).state in turned, lambda: f"a failure of {world.job(job_id)}"
        )
        world.wires.mend()
        assert world.wires.did() > done, "nothing was struck"
        job = world.ended(job_id)
        assert job.error is not None
        assert job.error["code"] in codes, job.error
        if kind is JobKind.PRUNE:  # what it has hidden goes with the next one
            world.cast.changes = {}
            again = world.ended(scene.ask())
            assert again.state is JobState.SUCCEEDED, again.error
        scene.assert_over(job, expected=SAGAS[kind].ends_undone)

    return Case(kind=title, name=f"{kind} {name}", run=run)


def outage(kind: JobKind, method: str) -> Case:
    """Until an attempt has given up; then the server is back."""

    def run(world: World) -> None:
        scene = SCENES[kind](world)
        world.cast.changes = {"wired": True}
        world.wires.rules(Rule(method=method, path=CHUNKS, status=503))
        job_id = scene.ask()
        try:
            world.work_until(lambda: world.job(job_id).attempts > 0, "an attempt that gives up")
        finally:
            world.wires.mend()
        scene.assert_over(world.ended(job_id))

    return Case(kind="all of S3's answers are 503 for a while", name=f"{kind} {method}", run=run)
