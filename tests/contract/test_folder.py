"""What only a folder promises: nothing partial after a kill, nothing left over, the system's refusals."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier as ProcessBarrier
from pathlib import Path

import pytest

from shared.errors import Damaged, NotFound, Refused, SnapfleetError
from shared.storage import keys
from shared.storage.folder import FolderStorage

DEADLINE_SECONDS = 30
RACERS = 12
PUT_FOR_EVER = """
import sys
from pathlib import Path
from shared.storage.folder import FolderStorage
body = bytearray(200_000_000)
FolderStorage(Path(sys.argv[1])).put("orders/half", body, create_only=sys.argv[2] == "create_only")
"""


def await_that(claim: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not claim():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.0005)


def scratch_files(root: Path) -> list[Path]:
    return list((root / keys.SCRATCH).glob("*"))


def begun(root: Path) -> bool:
    return any(path.stat().st_size > 0 for path in scratch_files(root))


@pytest.mark.parametrize("mode", ["create_only", "replace"])
def test_a_writer_killed_in_mid_put_leaves_no_object_and_the_next_put_sweeps_up(
    tmp_path: Path, mode: str
) -> None:
    root = tmp_path / "snapshots"
    writer = subprocess.Popen([sys.executable, "-c", PUT_FOR_EVER, str(root), mode])
    await_that(lambda: begun(root))
    writer.send_signal(signal.SIGKILL)
    assert writer.wait() == -signal.SIGKILL

    storage = FolderStorage(root)
    assert len(scratch_files(root)) == 1
    assert list(storage.list("")) == []
    with pytest.raises(NotFound):
        storage.head("orders/half")
    storage.put("orders/half", b"whole", create_only=True)
    assert storage.get("orders/half") == b"whole"
    assert scratch_files(root) == []


def test_a_sweep_spares_the_file_of_a_living_writer(tmp_path: Path) -> None:
    root = tmp_path / "snapshots"
    writer = subprocess.Popen([sys.executable, "-c", PUT_FOR_EVER, str(root), "replace"])
    await_that(lambda: begun(root))
    FolderStorage(root).put("small", b"x")
    assert writer.wait(DEADLINE_SECONDS) == 0
    assert FolderStorage(root).head("orders/half").size_bytes == 200_000_000


def test_of_twelve_processes_one_creates_the_object(tmp_path: Path) -> None:
    context = get_context("spawn")
    barrier, outcomes = context.Barrier(RACERS), context.Queue()
    racers = [
        context.Process(target=_race, args=(tmp_path / "snapshots", barrier, outcomes, number))
        for number in range(RACERS)
    ]
    for racer in racers:
        racer.start()
    results = [outcomes.get(timeout=DEADLINE_SECONDS) for _ in racers]
    for racer in racers:
        racer.join(DEADLINE_SECONDS)
    winners = [number for number, outcome in results if outcome == "won"]
    assert sorted(outcome for _, outcome in results) == ["object_exists"] * (RACERS - 1) + ["won"]
    assert FolderStorage(tmp_path / "snapshots").get("race") == f"racer {winners[0]}".encode()


def _race(root: Path, barrier: ProcessBarrier, outcomes: object, number: int) -> None:
    barrier.wait()
    try:
        FolderStorage(root).put("race", f"racer {number}".encode(), create_only=True)
    except SnapfleetError as exc:
        outcome = exc.code
    else:
        outcome = "won"
    outcomes.put((number, outcome))  # type: ignore[attr-defined]  # a spawn context's queue has no public type


def test_a_flipped_bit_is_found_by_get_and_head(folder: FolderStorage, tmp_path: Path) -> None:
    body = os.urandom(100_000)
    digest = hashlib.sha256(body).hexdigest()
    folder.put("a/b", body)
    path = tmp_path / "snapshots/a/b"
    damaged = bytearray(path.read_bytes())
    damaged[50_000] ^= 0x10
    path.write_bytes(damaged)
    assert folder.head("a/b").sha256 != digest
    with pytest.raises(Damaged) as raised:
        folder.get("a/b", sha256=digest)
    assert raised.value.code == "object_damaged"


@pytest.mark.parametrize("kept", [0, 1, 99_999])
def test_a_truncated_file_is_found_by_get_and_head(folder: FolderStorage, tmp_path: Path, kept: int) -> None:
    body = os.urandom(100_000)
    folder.put("a/b", body)
    os.truncate(tmp_path / "snapshots/a/b", kept)
    assert folder.head("a/b").size_bytes == kept
    with pytest.raises(Damaged):
        folder.get("a/b", sha256=hashlib.sha256(body).hexdigest())


def test_a_put_beyond_the_limit_on_file_sizes_is_refused_and_leaves_nothing(
    folder: FolderStorage, tmp_path: Path
) -> None:
    folder.put("a", b"before")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(Refused) as raised:
            folder.put("a", bytes(200_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert raised.value.code == "object_too_large"
    assert folder.get("a") == b"before"
    assert scratch_files(tmp_path / "snapshots") == []


def test_a_root_inside_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SnapfleetError):
        FolderStorage(tmp_path / "file" / "snapshots").check()


def test_keys_that_need_one_name_for_a_file_and_a_folder_are_refused(folder: FolderStorage) -> None:
    folder.put("a/b", b"x")
    for key, create_only in (("a", False), ("a", True), ("a/b/c", False), ("a/b/c/d", True)):
        with pytest.raises(Refused) as raised:
            folder.put(key, b"y", create_only=create_only)
        assert raised.value.code == "bad_key"
    for key in ("a", "a/b/c"):
        with pytest.raises(NotFound):
            folder.get(key)
        folder.delete(key)
    assert [stat.key for stat in folder.list("")] == ["a/b"]


def test_a_folder_made_anew_under_a_running_storage_is_used(folder: FolderStorage, tmp_path: Path) -> None:
    folder.put("a/b", b"x")
    (tmp_path / "snapshots").rename(tmp_path / "away")
    folder.put("a/b", b"y")
    assert folder.get("a/b") == b"y"
    assert (tmp_path / "away/a/b").read_bytes() == b"x"
