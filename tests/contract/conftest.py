from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from shared.domain.meters import NoMeters
from shared.storage.base import Storage
from shared.storage.below import BelowStorage
from shared.storage.folder import FolderStorage
from shared.storage.memory import MemoryStorage
from shared.storage.metered import MeteredStorage
from shared.storage.mirror import MirrorStorage
from tests.contract import s3_servers
from tests.contract.s3_servers import S3Server

S3_SERVERS = ("seaweedfs", "moto", "rclone")
STORAGES = ("memory", "folder", *S3_SERVERS, "folder+memory", "folder+seaweedfs", "below", "metered")


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_servers.seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_servers.moto(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="session")
def rclone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_servers.rclone(tmp_path_factory.mktemp("rclone")) as server:
        yield server


@pytest.fixture(params=STORAGES)
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """Each place in turn, empty."""
    parts = [_place(name, request, tmp_path) for name in request.param.split("+")]
    return parts[0] if len(parts) == 1 else MirrorStorage(first=parts[0], second=parts[1])


@pytest.fixture(params=S3_SERVERS)
def s3_server(request: pytest.FixtureRequest) -> S3Server:
    server: S3Server = request.getfixturevalue(request.param)
    return server


@pytest.fixture
def folder(tmp_path: Path) -> FolderStorage:
    return FolderStorage(tmp_path / "snapshots")


@pytest.fixture
def prefix() -> str:
    """A part of the shared bucket for one test alone."""
    return f"test-{uuid4().hex}"


def _place(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if name == "memory":
        return MemoryStorage()
    if name == "below":
        return BelowStorage(MemoryStorage(), "a/part")
    if name == "metered":
        return MeteredStorage(MemoryStorage(), place="memory", meters=NoMeters())
    if name == "folder":
        return FolderStorage(tmp_path / "snapshots")
    server: S3Server = request.getfixturevalue(name)
    return server.storage(request.getfixturevalue("prefix"))
