"""SeaweedFS on 127.0.0.1: an S3 server with authentication, conditional writes, versioning, object lock.

For development and tests only: its filer port serves every object to every local user without asking.
"""

from __future__ import annotations

import http.client
import json
import os
from datetime import timedelta
from pathlib import Path

from embedded import binaries, ports
from embedded.process import Child, clean_environment
from embedded.remembered import Remembered
from embedded.server import Server

_ANSWER_SECONDS = 1.0
# The second port of a pair is this much higher: the built-in worker looks for the admin there only.
_PAIR_DISTANCE = 10_000
_PORTS = ("s3", "s3.grpc", "filer", "filer.grpc", "master", "master.grpc", "volume", "volume.grpc")


class SeaweedFS(Server):
    """One server with one bucket."""

    name = "SeaweedFS"
    scheme = "http"
    region = "us-east-1"
    access_key = "snapfleet"

    def __init__(self, folder: Path, *, port: int | None = None, bucket: str = "snapshots") -> None:
        super().__init__(folder, port=port)
        self.bucket = bucket
        self._admin = 0

    @property
    def endpoint(self) -> str:
        return self.address

    @property
    def secret_key(self) -> str:
        return self.secret("secret_key")

    @property
    def environment(self) -> dict[str, str]:
        """Its bucket, and the way there, as a fleet is told of them."""
        return {
            "S3_BUCKET": self.bucket,
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": self.region,
        }

    def stop(self) -> None:
        super().stop()
        # It names them by its ports and leaves them. Whoever runs it as another user could not take those ports again.
        for port in (*self._ports, self._admin + _PAIR_DISTANCE):
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # noqa: S108 - where it puts them
                left.unlink(missing_ok=True)

    def _choose_ports(self, remembered: Remembered) -> tuple[int, ...]:
        return remembered.ports(*_PORTS, wanted=self._wanted_port)

    def _launch(self) -> Child:
        self.data.mkdir(mode=0o700, exist_ok=True)
        s3, s3_grpc, filer, filer_grpc, master, master_grpc, volume, volume_grpc = self._ports
        admin = self._admin = _free_pair()
        return Child(
            "weed",
            [
                *(str(binaries.weed()), "-logtostderr=true", "mini", f"-dir={self.data}"),
                *("-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
                *(f"-master.port={master}", f"-master.port.grpc={master_grpc}"),
                *("-master.telemetry=false", "-master.volumeSizeLimitMB=64"),
                *(f"-volume.port={volume}", f"-volume.port.grpc={volume_grpc}"),
                *("-volume.max=0", "-volume.preStopSeconds=0"),
                *(f"-filer.port={filer}", f"-filer.port.grpc={filer_grpc}"),
                *(f"-s3.port={s3}", f"-s3.port.grpc={s3_grpc}"),
                *("-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.config={self._identities()}"),
                # A missing bucket is an error here, as it is with every other S3 server.
                *("-s3.autoCreateBucket=false", "-s3.allowDeleteBucketNotEmpty=false"),
                *(f"-admin.port={admin}", f"-admin.port.grpc={admin + _PAIR_DISTANCE}"),
                *("-admin.ui=false", "-webdav=false", f"-bucket={self.bucket}"),
            ],
            # Go's collector would let it grow to several times that under load.
            environment=clean_environment(self.folder, GOMEMLIMIT="400MiB"),
            log=self.log,
            folder=self.folder,
            # Open connections can keep it from ending for long; it loses nothing when killed.
            patience=timedelta(seconds=2),
            inherit=(self._lock.descriptor,),
        )

    def _identities(self) -> Path:
        file = self.folder / "s3.json"
        credentials = [{"accessKey": self.access_key, "secretKey": self.secret_key}]
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        identity = {"name": "snapfleet", "credentials": credentials, "actions": actions}
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as output:
            json.dump({"identities": [identity]}, output)
        return file

    def _serves(self) -> bool:
        _, _, filer, _, master, *_ = self._ports
        return (
            _answer("HEAD", self.port, "/healthz") is not None
            and _answer("HEAD", filer, f"/buckets/{self.bucket}/") is not None
            # What was stored before is known to the master when the volume server has told it.
            and b'"DataNodes":[{' in (_answer("GET", master, "/dir/status") or b"")
        )


def _free_pair() -> int:
    while True:
        (high,) = ports.free(1)
        if ports.claim(high - _PAIR_DISTANCE):
            return high - _PAIR_DISTANCE


def _answer(method: str, port: int, path: str) -> bytes | None:
    """The body of a good answer; None where there is none."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWER_SECONDS)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.read() if answer.status == http.HTTPStatus.OK else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
