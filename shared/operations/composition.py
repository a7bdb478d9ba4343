"""Make a fleet's collaborators from plain values: what every entry point does once, after any fork."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path

from shared.broker.app import make_app
from shared.broker.doorbell import CeleryDoorbell, Doorbell, RestingDoorbell
from shared.catalog import catalog
from shared.domain.database import Database
from shared.domain.keys import NO_KEYS, Keys
from shared.domain.meters import NO_METERS, Meters
from shared.errors import Misconfigured
from shared.locks.redis import RedisLocks
from shared.operations.fleet import Fleet
from shared.postgres.dsn import Dsn
from shared.storage import s3
from shared.storage.base import Storage
from shared.storage.encryption import Encryption
from shared.storage.folder import FolderStorage
from shared.storage.metered import MeteredStorage
from shared.storage.mirror import MirrorStorage
from shared.storage.repository import Repository
from shared.storage.signing import Signing

REST = timedelta(seconds=5)
"""How long a Redis that did not answer is left alone by who cannot wait for it."""


def compose(
    *,
    databases: Iterable[Database],
    catalog_url: str,
    redis_url: str,
    bucket: str | None,
    prefix: str,
    folder: Path | None,
    bin_dir: Path | None,
    lease: timedelta,
    restore_as_superuser: bool,
    allow_old_tools: bool,
    targets: Mapping[str, str],
    keys: Keys = NO_KEYS,
    catalog_connections: int = 2,
    meters: Meters = NO_METERS,
    redis_patience: timedelta | None = None,
) -> Fleet:
    """Everything that operations need. Connects to nothing yet.

    With `redis_patience` a Redis that does not answer holds nobody up for longer, and is left alone for a while then.

    Raises Misconfigured for a database URL, or a key, that cannot be used.
    """
    configured = {database.name: database for database in databases}
    for database in configured.values():
        Dsn.parse(database.url)
        if database.verify_url is not None:
            Dsn.parse(database.verify_url)
    for url in targets.values():
        Dsn.parse(url)
    return Fleet(
        catalog=catalog.connect(catalog_url, connections=catalog_connections),
        repository=Repository(
            open_storage(bucket=bucket, prefix=prefix, folder=folder, meters=meters),
            encryption=Encryption.of(keys),
            signing=Signing.of(keys),
        ),
        locks=RedisLocks.connect(redis_url),
        doorbell=make_doorbell(redis_url, patience=redis_patience),
        databases=configured,
        bin_dir=bin_dir,
        lease=lease,
        restore_as_superuser=restore_as_superuser,
        allow_old_tools=allow_old_tools,
        targets=targets,
        owner=f"{socket.gethostname()}:{os.getpid()}",
        meters=meters,
    )


def make_doorbell(redis_url: str, *, patience: timedelta | None) -> Doorbell:
    doorbell = CeleryDoorbell(make_app(redis_url, patience=patience))
    if patience is None:
        return doorbell
    return RestingDoorbell(doorbell, rest=REST, clock=time.monotonic)


def open_storage(
    *, bucket: str | None, prefix: str, folder: Path | None, meters: Meters = NO_METERS
) -> Storage:
    """The folder, the bucket, or both as a mirror that reads from the folder first."""
    in_folder = in_bucket = None
    if folder is not None:
        in_folder = MeteredStorage(FolderStorage(folder), place="folder", meters=meters)
    if bucket is not None:
        there = s3.connect(bucket=bucket, prefix=prefix, on_retry=meters.storage_retried)
        in_bucket = MeteredStorage(there, place="s3", meters=meters)
    if in_folder is not None and in_bucket is not None:
        return MirrorStorage(first=in_folder, second=in_bucket)
    storage = in_folder or in_bucket
    if storage is None:
        raise Misconfigured(
            "neither S3_BUCKET nor SNAPSHOT_DIR is set: there is nowhere to keep snapshots",
            code="no_repository",
        )
    return storage


def open_repository(location: str, *, like: Repository) -> Repository:
    """The repository of another installation: `s3://bucket/prefix` or `file:///folder`, read with the keys of ours.

    Misconfigured where it is neither.
    """
    scheme, _, rest = location.partition("://")
    if scheme == "s3" and rest.strip("/"):
        bucket, _, prefix = rest.partition("/")
        return like.elsewhere(open_storage(bucket=bucket, prefix=prefix, folder=None))
    if scheme == "file" and rest.startswith("/"):
        return like.elsewhere(open_storage(bucket=None, prefix="", folder=Path(rest)))
    raise Misconfigured(
        f"{location!r} is no repository",
        code="repository_invalid",
        hint="give s3://BUCKET/PREFIX or file:///FOLDER",
    )
