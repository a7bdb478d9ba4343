"""Warm copies: whoever makes, takes or drops one dies at every moment; and somebody has been in one."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from shared.catalog.warm import WarmCopy
from shared.domain.job import Job, JobKind, JobState
from shared.operations.proofs import verify
from shared.operations.upkeep import schedule
from tests.faults import points
from tests.faults.case import Case
from tests.faults.promises import assert_world
from tests.faults.scenes import ask_restore, ask_snapshot, ask_verify, parked_goes, submit, trust_all
from tests.faults.shop import Content
from tests.faults.world import World

MADE = (
    ("verify.drop:claimed", "warm.owned", "warm.renamed"),
    ("warm.let_go", "warm.dropped", "verify.drop:done"),
)
REFRESHED = {
    # Of what a dead worker has left half-way nothing is used.
    "refresh.cloned": False,
    "refresh.emptied": False,
    "build.unmarked": False,
    "prove.compared": False,
    "verify.drop:claimed": True,
}
TAKEN = (
    ("warm.taking", "warm.taken", "restore.create:done"),
    ("swap.closed", "swap.renamed", "swap.committed"),
)
WAY_BACK = ("restore.create:undone", "restore.plan:undone")


def cases() -> Iterator[Case]:
    for group in MADE:
        yield made(group)
    for point, is_used in REFRESHED.items():
        yield refreshed(point, is_used=is_used)
    for group in TAKEN:
        yield taken(group)
    yield undone(points.last(JobKind.RESTORE), WAY_BACK, is_back=False)
    yield undone("restore.create:claimed", WAY_BACK, is_back=True)
    yield Case(kind="somebody is in a warm copy", name="when a restore has reserved it", run=touched)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A world with a warm copy: of which snapshot, what that holds, and what is live."""

    snapshot_id: str
    content: Content
    live: Content


def kept(world: World, *, write_big: bool = True) -> Kept:
    parked_goes(world)
    world.warm = True
    content = world.shop.write()
    snapshot_id = str(succeeded(world, ask_snapshot(world)).request["snapshot_id"])
    trust_all(world)
    succeeded(world, ask_verify(world, snapshot_id))
    return Kept(snapshot_id=snapshot_id, content=content, live=world.shop.write(big=write_big))


def copies(world: World) -> list[WarmCopy]:
    """Those that the catalog knows are there."""
    with world.fleet.catalog.transaction() as tx:
        found = list(tx.warm.there())
    there = world.shop.databases()
    assert [copy for copy in found if there.get(copy.name) != copy.oid] == [], "known, and not there"
    return found


def over(world: World, *, content: Content) -> None:
    """And nothing of it stays."""
    assert_world(world, contents=[content])
    world.warm = False
    schedule.housekeeping(world.fleet)
    assert copies(world) == []
    assert_world(world, contents=[content])


def made(group: Sequence[str]) -> Case:
    """A second one, in place of the first: in the end there is that one, and it can be swapped in."""

    def run(world: World) -> None:
        former = kept(world)
        (first,) = copies(world)
        snapshot_id = str(succeeded(world, ask_snapshot(world)).request["snapshot_id"])
        for point in group:
            world.plan(point, "kill")
        succeeded(world, ask_verify(world, snapshot_id))
        assert [point for point in group if not world.struck(point)] == [], "nothing was struck there"
        (second,) = copies(world)
        assert (second.snapshot_id, second.oid != first.oid) == (snapshot_id, True)
        world.shop.write()
        job = succeeded(world, ask_restore(world, snapshot_id))
        assert job.result["warm"] is True
        over(world, content=former.live)

    return Case(kind="SIGKILL while a warm copy is made", name=", ".join(group), run=run)


def refreshed(point: str, *, is_used: bool) -> Case:
    """A second one out of the first: whole or not, it is what the snapshot says."""

    def run(world: World) -> None:
        former = kept(world, write_big=False)
        snapshot_id = str(succeeded(world, ask_snapshot(world)).request["snapshot_id"])
        world.plan(point, "kill")
        request = verify.request(snapshot_id, prune_job_id=str(uuid.uuid4()))
        proof = succeeded(world, submit(world, JobKind.VERIFY, request))
        assert world.struck(point), "nothing was struck there"
        assert ("parts_kept" in proof.result) == is_used
        (copy,) = copies(world)
        assert copy.snapshot_id == snapshot_id
        world.shop.write()
        job = succeeded(world, ask_restore(world, snapshot_id))
        assert job.result["warm"] is True
        over(world, content=former.live)

    return Case(kind="SIGKILL while a warm copy is refreshed", name=point, run=run)


def taken(group: Sequence[str]) -> Case:
    def run(world: World) -> None:
        scene = kept(world)
        for point in group:
            world.plan(point, "kill")
        job = succeeded(world, ask_restore(world, scene.snapshot_id))
        assert [point for point in group if not world.struck(point)] == [], "nothing was struck there"
        assert job.result["warm"] is True
        over(world, content=scene.content)

    return Case(kind="SIGKILL while a warm copy is taken", name=", ".join(group), run=run)


def undone(failing: str, group: Sequence[str], *, is_back: bool) -> Case:
    """What nothing was done to is there again, what was swapped in and out is not."""

    def run(world: World) -> None:
        scene = kept(world)
        before = copies(world)
        world.plan(failing, "fail")
        for point in group:
            world.plan(point, "kill")
        job = world.ended(ask_restore(world, scene.snapshot_id))
        assert [point for point in group if not world.struck(point)] == [], "nothing was struck there"
        assert job.state is JobState.ROLLED_BACK, job.error
        assert copies(world) == (before if is_back else [])
        over(world, content=scene.live)

    return Case(kind="SIGKILL while a warm copy is given back", name=failing, run=run)


def touched(world: World) -> None:
    """He has closed the door behind him, and is found out all the same."""
    scene = kept(world)
    (copy,) = copies(world)
    asked: list[str] = []
    with world.held_at("restore.create:claimed", lambda: asked.append(ask_restore(world, scene.snapshot_id))):
        for allowed in ("true", "false"):
            with world.shop.admin() as admin:
                admin.execute(f"alter database {copy.name} allow_connections {allowed}".encode())
            if allowed == "true":
                with world.shop.session(copy.name) as session:
                    session.execute("delete from transfer")
    job = succeeded(world, asked[0])
    assert "warm" not in job.result
    over(world, content=scene.content)


def succeeded(world: World, job_id: str) -> Job:
    job = world.ended(job_id)
    assert job.state is JobState.SUCCEEDED, (job.state, job.error)
    return job
