"""Three S3 servers as processes, on free ports of 127.0.0.1, that die with whoever started them."""

from __future__ import annotations

import ctypes
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from embedded import ports
from shared.storage import s3
from shared.storage.s3 import S3Storage

BUCKET = "snapshots"
ACCESS_KEY, SECRET_KEY = "fleet-access-key", "fleet-secret-key"
READER_KEY = "reader-access-key"  # may read and list, on SeaweedFS
READY_SECONDS = 30
BIN = Path(sys.executable).parent
PR_SET_PDEATHSIG = 1

WEED_PORTS = (
    "s3.port", "s3.port.grpc", "master.port", "master.port.grpc", "volume.port", "volume.port.grpc",
    "filer.port", "filer.port.grpc", "admin.port", "admin.port.grpc",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Server:
    """A running server with the bucket in it."""

    name: str
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def storage(self, prefix: str) -> S3Storage:
        return s3.connect(bucket=BUCKET, prefix=prefix, endpoint_url=self.url, session=session())


@cache  # reading botocore's models takes longer than most tests
def session(*, access_key: str = ACCESS_KEY, secret_key: str = SECRET_KEY) -> boto3.Session:
    return boto3.Session(
        aws_access_key_id=access_key, aws_secret_access_key=secret_key, region_name="us-east-1"
    )


@contextmanager
def seaweedfs(folder: Path) -> Generator[S3Server]:
    def argv(ports: Sequence[int]) -> list[str | Path]:
        identities = folder / "identities.json"
        rights = {ACCESS_KEY: ["Admin", "Read", "Write", "List", "Tagging"], READER_KEY: ["Read", "List"]}
        known = [
            {"name": key, "credentials": [{"accessKey": key, "secretKey": SECRET_KEY}], "actions": actions}
            for key, actions in rights.items()
        ]
        identities.write_text(json.dumps({"identities": known}))
        (folder / "data").mkdir(exist_ok=True)
        return [
            BIN / "weed", "-logtostderr=true", "mini", f"-dir={folder / 'data'}", "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1", "-master.telemetry=false", "-admin.ui=false", "-webdav=false",
            "-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.config={identities}",
            "-master.volumeSizeLimitMB=64",
            *(f"-{name}={port}" for name, port in zip(WEED_PORTS, ports, strict=True)),
        ]  # fmt: skip

    with _running("seaweedfs", folder, argv, port_count=len(WEED_PORTS)) as server:
        yield server


@contextmanager
def moto(folder: Path) -> Generator[S3Server]:
    def argv(ports: Sequence[int]) -> list[str | Path]:
        return [BIN / "moto_server", "-H", "127.0.0.1", "-p", str(ports[0])]

    with _running("moto", folder, argv) as server:
        yield server


@contextmanager
def rclone(folder: Path) -> Generator[S3Server]:
    def argv(ports: Sequence[int]) -> list[str | Path]:
        (folder / "data").mkdir(exist_ok=True)
        return [
            BIN / "rclone", "serve", "s3", "--addr", f"127.0.0.1:{ports[0]}", "--config", "/dev/null",
            "--auth-key", f"{ACCESS_KEY},{SECRET_KEY}", folder / "data",
        ]  # fmt: skip

    with _running("rclone", folder, argv) as server:
        yield server


@contextmanager
def _running(
    name: str, folder: Path, argv: Callable[[Sequence[int]], list[str | Path]], *, port_count: int = 1
) -> Generator[S3Server]:
    held = ports.free(port_count)
    server = S3Server(name=name, port=held[0])
    log_path = folder / "log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            argv(held),
            stdout=log,
            stderr=subprocess.STDOUT,
            env={"HOME": str(folder), "GOMEMLIMIT": "400MiB"},
            preexec_fn=_die_with_parent,  # noqa: PLW1509  # one call into libc, before any thread of ours
        )
    try:
        _await_bucket(server, process, log_path)
        yield server
    finally:
        process.kill()  # nothing of theirs outlives the folder
        process.wait()


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _await_bucket(server: S3Server, process: subprocess.Popen[bytes], log_path: Path) -> None:
    client = session().client("s3", endpoint_url=server.url)
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            client.create_bucket(Bucket=BUCKET)
            client.put_object(Bucket=BUCKET, Key="ready", Body=b"")
            client.delete_object(Bucket=BUCKET, Key="ready")
        except (BotoCoreError, ClientError):
            time.sleep(0.05)  # between two looks, until the deadline
        else:
            return
    raise RuntimeError(f"{server.name} is not ready:\n{log_path.read_text()[-2000:]}")
