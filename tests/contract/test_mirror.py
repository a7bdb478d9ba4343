"""Two places kept as one: what reads prefer, what puts mend, and what head admits."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
import structlog.testing

from embedded import ports
from shared.domain.meters import NoMeters
from shared.errors import Damaged, NotFound, Refused, Unreachable
from shared.storage import s3
from shared.storage.below import BelowStorage
from shared.storage.folder import FolderStorage
from shared.storage.memory import MemoryStorage
from shared.storage.metered import MeteredStorage
from shared.storage.mirror import FELL_BACK, MirrorStorage
from shared.storage.s3 import S3Storage
from tests.contract import s3_servers
from tests.contract.s3_servers import BUCKET, S3Server

BODY = os.urandom(50_000)
DIGEST = hashlib.sha256(BODY).hexdigest()
KEY = "orders/chunks/3f/3f9a"


@pytest.fixture
def bucket(seaweedfs: S3Server, prefix: str) -> S3Storage:
    return seaweedfs.storage(prefix)


@pytest.fixture
def mirror(folder: FolderStorage, bucket: S3Storage) -> MirrorStorage:
    return MirrorStorage(first=folder, second=bucket)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "snapshots" / KEY


@pytest.fixture
def unreachable() -> S3Storage:
    """A bucket on a port where nobody listens."""
    (port,) = ports.free(1)
    return s3.connect(
        bucket=BUCKET,
        endpoint_url=f"http://127.0.0.1:{port}",
        session=s3_servers.session(),
        attempts=1,
    )


def flip_a_bit(file: Path) -> None:
    damaged = bytearray(file.read_bytes())
    damaged[25_000] ^= 1
    file.write_bytes(damaged)


def test_a_put_is_in_both(mirror: MirrorStorage, folder: FolderStorage, bucket: S3Storage) -> None:
    mirror.put(KEY, BODY)
    assert folder.get(KEY) == bucket.get(KEY) == BODY


def test_a_read_needs_only_the_folder(folder: FolderStorage, unreachable: S3Storage) -> None:
    folder.put(KEY, BODY)
    assert MirrorStorage(first=folder, second=unreachable).get(KEY, sha256=DIGEST) == BODY


@pytest.mark.parametrize("harm", [Path.unlink, flip_a_bit, lambda file: os.truncate(file, 7)])
def test_what_the_folder_lost_or_damaged_is_read_from_s3_and_logged(
    mirror: MirrorStorage, folder: FolderStorage, file: Path, harm: object
) -> None:
    mirror.put(KEY, BODY)
    harm(file)  # type: ignore[operator]  # three callables whose common type says less than this line
    with structlog.testing.capture_logs() as events:
        assert mirror.get(KEY, sha256=DIGEST) == BODY
    assert [(event["event"], event["key"], event["location"]) for event in events] == [
        (FELL_BACK, KEY, folder.location)
    ]


def test_a_range_of_a_missing_file_is_read_from_s3(mirror: MirrorStorage, file: Path) -> None:
    mirror.put(KEY, BODY)
    file.unlink()
    assert mirror.get(KEY, start=10, length=5) == BODY[10:15]


def test_what_is_damaged_in_both_is_damaged(mirror: MirrorStorage, bucket: S3Storage, file: Path) -> None:
    mirror.put(KEY, BODY)
    flip_a_bit(file)
    bucket.put(KEY, b"something else")
    with pytest.raises(Damaged) as raised:
        mirror.get(KEY, sha256=DIGEST)
    assert raised.value.code == "object_damaged"


def test_what_is_damaged_here_and_missing_there_is_damaged(
    mirror: MirrorStorage, bucket: S3Storage, file: Path
) -> None:
    mirror.put(KEY, BODY)
    flip_a_bit(file)
    bucket.delete(KEY)
    with pytest.raises(Damaged, match="file://"):
        mirror.get(KEY, sha256=DIGEST)


def test_what_is_missing_here_and_out_of_reach_there_is_not_called_missing(
    folder: FolderStorage, unreachable: S3Storage
) -> None:
    """Missing would be final; unreachable is worth another try."""
    with pytest.raises(Unreachable):
        MirrorStorage(first=folder, second=unreachable).get(KEY)


def test_head_names_the_side_that_lacks_it_and_a_put_mends(
    mirror: MirrorStorage, bucket: S3Storage, file: Path
) -> None:
    mirror.put(KEY, BODY)
    file.unlink()
    with pytest.raises(NotFound, match="file://"):
        mirror.head(KEY)
    mirror.put(KEY, BODY)
    bucket.delete(KEY)
    with pytest.raises(NotFound, match="s3://"):
        mirror.head(KEY)
    mirror.put(KEY, BODY)
    assert mirror.head(KEY).sha256 == DIGEST


def test_head_calls_two_versions_damaged_and_a_put_mends(mirror: MirrorStorage, file: Path) -> None:
    mirror.put(KEY, BODY)
    flip_a_bit(file)
    with pytest.raises(Damaged) as raised:
        mirror.head(KEY)
    assert raised.value.code == "object_damaged"
    mirror.put(KEY, BODY)
    assert mirror.head(KEY).sha256 == DIGEST


def test_a_create_cut_off_between_the_two_is_finished_by_its_repetition(
    mirror: MirrorStorage, folder: FolderStorage, bucket: S3Storage
) -> None:
    """The first try reached S3 and died. The second is refused, as it must be, and both have it."""
    bucket.put(KEY, BODY, create_only=True)
    with pytest.raises(Refused) as raised:
        mirror.put(KEY, BODY, create_only=True)
    assert raised.value.code == "object_exists"
    assert folder.get(KEY) == BODY
    assert mirror.head(KEY).sha256 == DIGEST


def test_a_create_of_what_only_the_folder_has_copies_it_to_s3(
    mirror: MirrorStorage, folder: FolderStorage, bucket: S3Storage
) -> None:
    """As when a bucket is added to a folder that was the repository before."""
    folder.put(KEY, BODY)
    with pytest.raises(Refused) as raised:
        mirror.put(KEY, b"another", create_only=True)
    assert raised.value.code == "object_exists"
    assert bucket.get(KEY) == BODY


def test_a_put_that_s3_refused_is_not_in_the_folder_alone(
    folder: FolderStorage, unreachable: S3Storage
) -> None:
    for create_only in (False, True):
        with pytest.raises(Unreachable):
            MirrorStorage(first=folder, second=unreachable).put(KEY, BODY, create_only=create_only)
    assert list(folder.list("")) == []


def test_a_list_is_the_union(mirror: MirrorStorage, folder: FolderStorage, bucket: S3Storage) -> None:
    mirror.put("b", b"both")
    folder.put("a", b"here")
    folder.put("b-1", b"here")
    bucket.put("b/c-only-there", b"there")
    bucket.put("c", b"there")
    assert [stat.key for stat in mirror.list("")] == ["a", "b", "b-1", "b/c-only-there", "c"]


def test_its_sides_are_told_apart_through_what_wraps_it(folder: FolderStorage) -> None:
    memory = MemoryStorage()
    within = MirrorStorage(
        first=MeteredStorage(folder, place="folder", meters=NoMeters()),
        second=MirrorStorage(first=memory, second=MemoryStorage()),
    )
    whole = BelowStorage(MeteredStorage(within, place="all", meters=NoMeters()), "a/part")
    whole.put(KEY, BODY)
    memory.delete(f"a/part/{KEY}")
    assert [stat.key for stat in whole.list("")] == [KEY]
    assert [[stat.key for stat in side.list("")] for side in whole.sides()] == [[KEY], [], [KEY]]


def test_a_check_fails_if_either_side_does(folder: FolderStorage, unreachable: S3Storage) -> None:
    with pytest.raises(Unreachable):
        MirrorStorage(first=folder, second=unreachable).check()
    with pytest.raises(Unreachable):
        MirrorStorage(first=unreachable, second=folder).check()


def test_a_check_reports_the_weakness_of_the_bucket(
    folder: FolderStorage, rclone: S3Server, prefix: str
) -> None:
    able = MirrorStorage(first=folder, second=rclone.storage(prefix)).check()
    assert not able.create_only
    assert able.warning is not None
