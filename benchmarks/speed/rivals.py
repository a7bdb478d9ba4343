"""The other ways, each as good as it gets, in a process of its own that tells what it cost.

    python -m benchmarks.speed.rivals      what to do as JSON on stdin, its Cost as JSON on stdout

Importing is not counted: a tool that runs for long has done it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, cast

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

from benchmarks.speed.measure import Cost, apart, own

TRANSFER = TransferConfig(multipart_threshold=16 << 20, multipart_chunksize=16 << 20, max_concurrency=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """`environment` leads libpq to the database; `folder` is where files may be kept."""

    way: str
    key: str
    bucket: str
    endpoint: str
    folder: str
    environment: Mapping[str, str]
    options: Sequence[str] = ()


def run(asked: Asked, *, environment: Mapping[str, str]) -> Cost:
    return apart("benchmarks.speed.rivals", asdict(asked), what=asked.way, environment=environment)


def dump_streamed(asked: Asked) -> int:
    """pg_dump -Fc, as it is called everywhere, streamed up."""
    return streamed(asked, [["pg_dump", "-Fc"]])


def dump_zstd(asked: Asked) -> int:
    """pg_dump -Fc without compression, compressed by zstd on all cores, streamed up."""
    return streamed(asked, [["pg_dump", "-Fc", "-Z0"], ["zstd", "-q", "-1", "-T0", "-c"]])


def dump_folder(asked: Asked) -> int:
    """pg_dump -Fd with two jobs and its fastest compression, then uploaded, two files at a time."""
    target = Path(asked.folder)
    tool(asked, ["pg_dump", "-Fd", "-j2", *asked.options, "-f", str(target)])
    files = sorted(target.iterdir())
    s3 = client(asked)
    for file in files:
        s3.upload_file(str(file), asked.bucket, f"{asked.key}/{file.name}", Config=TRANSFER)
    return sum(file.stat().st_size for file in files)


def restore_folder(asked: Asked) -> int:
    """pg_restore -j2 from local files: nothing is fetched."""
    tool(
        asked,
        [
            "pg_restore",
            "-j2",
            "-d",
            asked.environment["PGDATABASE"],
            *asked.options,
            asked.folder,
        ],
    )
    return 0


def restore_streamed(asked: Asked) -> int:
    """From S3 through a pipe, which pg_restore reads with one job only."""
    body = client(asked).get_object(Bucket=asked.bucket, Key=asked.key)["Body"]
    argv = ["pg_restore", "-d", asked.environment["PGDATABASE"], *asked.options]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, env=told(asked)) as child:
        if child.stdin is None:
            raise RuntimeError("there is no pipe")
        for piece in body.iter_chunks(1 << 20):
            child.stdin.write(piece)
        child.stdin.close()
    ok(child, argv)
    return 0


def clone(asked: Asked) -> int:
    """From one database straight into another; nothing is kept."""
    jobs = ["--table-jobs", "2", "--index-jobs", "2", "--split-tables-larger-than", "64MB"]
    tool(asked, ["pgcopydb", "clone", *jobs, "--no-owner", *asked.options])
    return 0


WAYS: Mapping[str, Callable[[Asked], int]] = {
    "pg_dump -Fc": dump_streamed,
    "pg_dump -Fc -Z0 | zstd -1 -T0": dump_zstd,
    "pg_dump -Fd -j2": dump_folder,
    "pg_restore -j2, local files": restore_folder,
    "pg_restore, from S3": restore_streamed,
    "pgcopydb clone, 2 jobs": clone,
}


def streamed(asked: Asked, stages: Sequence[Sequence[str]]) -> int:
    with ExitStack() as exits:
        source: IO[bytes] | None = None
        children = []
        for argv in stages:
            child = subprocess.Popen(list(argv), stdin=source, stdout=subprocess.PIPE, env=told(asked))
            exits.enter_context(child)
            if source is not None:
                source.close()
            source = child.stdout
            children.append(child)
        counted = Counted(cast("IO[bytes]", source))
        client(asked).upload_fileobj(counted, asked.bucket, asked.key, Config=TRANSFER)
    for child, argv in zip(children, stages, strict=True):
        ok(child, argv)
    return counted.size


class Counted:
    """A stream that knows how much was read of it."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.size = 0

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self.size += len(data)
        return data


def tool(asked: Asked, argv: Sequence[str]) -> None:
    # What it says is not what this process has to say.
    subprocess.run(list(argv), env=told(asked), stdout=sys.stderr, check=True)


def told(asked: Asked) -> dict[str, str]:
    return {**os.environ, **asked.environment}  # noqa: TID251 - what the harness gave this process


def ok(child: subprocess.Popen[bytes], argv: Sequence[str]) -> None:
    if child.wait() != 0:
        raise RuntimeError(f"{argv[0]} ended with {child.returncode}")


def client(asked: Asked) -> Any:
    config = Config(
        request_checksum_calculation="when_required", response_checksum_validation="when_required"
    )
    return boto3.client("s3", endpoint_url=asked.endpoint, config=config)


def compressions(bin_dir: Path) -> tuple[str, ...]:
    """What pg_dump's fastest good compression is called: zstd where it was built with it, else gzip at 1."""
    for option in ("--compress=zstd:1", "--compress=lz4"):
        with tempfile.TemporaryDirectory() as folder:
            argv = [str(bin_dir / "pg_dump"), "-Fd", option, "-f", f"{folder}/x", "-h", "/nowhere"]
            said = subprocess.run(argv, capture_output=True, text=True, check=False).stderr
        if "nowhere" in said:  # it got as far as to the connection
            return (option,)
    return ("-Z1",)


def main() -> None:
    asked = Asked(**json.load(sys.stdin))
    cost = own(lambda: WAYS[asked.way](asked))
    sys.stdout.write(json.dumps(asdict(cost)))


if __name__ == "__main__":
    main()
