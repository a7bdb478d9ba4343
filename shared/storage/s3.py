"""Objects in an S3 bucket under a prefix, on AWS or any server that speaks its protocol.

Every object is one PutObject with its own SHA-256, so nothing partial is ever visible and no multipart
upload can be left open. The digest also goes into the object's metadata, for servers that store no
checksums:

    x-amz-checksum-sha256   of the body, verified by servers that can
    x-amz-meta-sha256       the same, in hex
    x-amz-meta-put          one call of `put`: tells our own put, repeated after a lost answer, from another's
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, IncompleteReadError, ReadTimeoutError, ResponseStreamingError

from shared.errors import Misconfigured, NotFound, Refused
from shared.storage import keys, verified
from shared.storage.base import Capabilities, Stat, Storage, Upload
from shared.storage.descriptions import make_session
from shared.storage.s3_errors import translated

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client
    from types_boto3_s3.type_defs import (
        GetObjectRequestTypeDef,
        HeadObjectOutputTypeDef,
        PutObjectRequestTypeDef,
    )

BROKEN_OFF = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError)


def connect(
    *,
    bucket: str,
    prefix: str = "",
    endpoint_url: str | None = None,
    session: boto3.Session | None = None,
    connect_timeout: timedelta = timedelta(seconds=5),
    read_timeout: timedelta = timedelta(seconds=30),
    attempts: int = 5,
    on_retry: Callable[[str], None] = lambda _operation: None,
) -> S3Storage:
    """A storage with a client of its own; nothing is sent before its first use.

    Credentials, region and endpoint come from the usual places (AWS_ACCESS_KEY_ID, AWS_PROFILE,
    AWS_ENDPOINT_URL_S3, a role …) where they are not given. An endpoint of one's own is addressed in
    path style. `on_retry` hears the name of each operation whose request is sent again. Raises Misconfigured.
    """
    config = Config(
        connect_timeout=connect_timeout.total_seconds(),
        read_timeout=read_timeout.total_seconds(),
        retries={"mode": "standard", "total_max_attempts": attempts},
        tcp_keepalive=True,
        # Ours is SHA-256 and explicit. Left to itself botocore adds CRC trailers, which some servers store.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    with translated(f"s3://{bucket}"):
        try:
            client = (session or make_session()).client("s3", endpoint_url=endpoint_url, config=config)
        except ValueError as exc:  # botocore's word for an endpoint that is no URL
            raise Misconfigured(
                str(exc), code="endpoint_invalid", hint="correct AWS_ENDPOINT_URL_S3"
            ) from exc

    def tell(request: Any, operation_name: str, **_: object) -> None:
        if request.context.get("retries", {}).get("attempt", 1) > 1:
            on_retry(operation_name)

    client.meta.events.register("request-created.s3", tell)
    return S3Storage(bucket, prefix, client=client, read_attempts=attempts)


class S3Storage:
    """Keeps the contract of `Storage`; `create_only` as far as the server honours If-None-Match.

    A server that ignores it is asked for the key first, which leaves an instant for a second writer:
    `check` says so.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        client: S3Client,
        read_attempts: int = 5,
        list_page_size: int = 1000,
        new_put_id: Callable[[], str] = lambda: uuid4().hex,
    ) -> None:
        self._bucket = bucket
        self._prefix = f"{keys.checked(prefix.strip('/'))}/" if prefix.strip("/") else ""
        self._client = client
        self._read_attempts = read_attempts
        self._list_page_size = list_page_size
        self._new_put_id = new_put_id

    @property
    def location(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def put(self, key: str, body: bytes | bytearray, *, create_only: bool = False) -> None:
        if create_only and self._head(key) is not None:  # saves the upload, and serves where 412 is unknown
            raise Refused(f"{self._where(key)} exists", code="object_exists")
        self._put(key, body, create_only=create_only)

    def get(self, key: str, *, start: int = 0, length: int | None = None, sha256: str | None = None) -> bytes:
        verified.check_range(start, length, sha256)
        request: GetObjectRequestTypeDef = {"Bucket": self._bucket, "Key": self._name(key)}
        if (start, length) != (0, None):
            request["Range"] = _range(start, length)
        with translated(self._where(key)):
            body = self._read(request)
        return verified.matching(body[:length], sha256, where=self._where(key))

    def head(self, key: str) -> Stat:
        """The checksum that the server keeps, else the one from our metadata, else by reading it all."""
        answer = self._head(key)
        if answer is None:
            raise NotFound(f"{self._where(key)} does not exist", code="object_missing")
        sha256 = _stored_checksum(answer) or _metadata(answer).get("sha256")
        if sha256 is None:
            sha256 = hashlib.sha256(self.get(key)).hexdigest()
        return Stat(key=key, size_bytes=answer["ContentLength"], sha256=sha256)

    def list(self, prefix: str) -> Iterator[Stat]:
        """Holds about 250 bytes an object: some servers list folder by folder, so the order is made here."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket,
            Prefix=self._prefix + prefix,
            PaginationConfig={"PageSize": self._list_page_size},
        )
        with translated(f"{self.location}: cannot list {prefix!r}"):
            found = [
                (entry["Key"], entry["Size"], entry["LastModified"])
                for page in pages
                for entry in page.get("Contents", ())
            ]
        for key, size_bytes, modified_at in sorted(found):
            name = key.removeprefix(self._prefix)
            yield Stat(key=name, size_bytes=size_bytes, sha256=None, modified_at=modified_at)

    def folders(self, prefix: str) -> Iterator[str]:
        whole = self._prefix + prefix
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket,
            Prefix=whole,
            Delimiter="/",
            PaginationConfig={"PageSize": self._list_page_size},
        )
        with translated(f"{self.location}: cannot list {prefix!r}"):
            found = {entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", ())}
        yield from sorted(name.removeprefix(whole).rstrip("/") for name in found)

    def delete(self, key: str) -> None:
        with translated(f"{self.location}: cannot delete {key}"):
            self._client.delete_object(Bucket=self._bucket, Key=self._name(key))

    def uploads(self, prefix: str) -> Iterator[Upload]:
        pages = self._client.get_paginator("list_multipart_uploads").paginate(
            Bucket=self._bucket, Prefix=self._prefix + prefix
        )
        try:
            with translated(f"{self.location}: cannot list uploads below {prefix!r}"):
                found = [entry for page in pages for entry in page.get("Uploads", ())]
        except NotFound as exc:
            if exc.code != "upload_missing":  # rclone's word for none at all
                raise
            return
        for entry in found:
            name = entry["Key"].removeprefix(self._prefix)
            yield Upload(key=name, upload_id=entry["UploadId"], began_at=entry["Initiated"])

    def abort(self, upload: Upload) -> None:
        with suppress(NotFound), translated(f"{self.location}: cannot end the upload of {upload.key}"):
            self._client.abort_multipart_upload(
                Bucket=self._bucket, Key=self._name(upload.key), UploadId=upload.upload_id
            )

    def sides(self) -> tuple[Storage, ...]:
        return (self,)

    def check(self, *, probe_id: str | None = None) -> Capabilities:
        with translated(self.location):
            try:
                self._client.head_bucket(Bucket=self._bucket)  # some servers make a bucket by the first put
            except ClientError as exc:
                if exc.response["ResponseMetadata"]["HTTPStatusCode"] != HTTPStatus.NOT_FOUND:
                    raise
                raise NotFound(
                    f"the bucket {self._bucket} does not exist",
                    code="bucket_missing",
                    hint="create it, or correct S3_BUCKET",
                ) from exc
        return verified.round_trip(
            self,
            probe_id or uuid4().hex,
            put_new=lambda key, body: self._put(key, body, create_only=True),
        )

    def _put(self, key: str, body: bytes | bytearray, *, create_only: bool) -> None:
        digest, put_id = hashlib.sha256(body), self._new_put_id()
        request: PutObjectRequestTypeDef = {
            "Bucket": self._bucket,
            "Key": self._name(key),
            "Body": body,  # type: ignore[typeddict-item]  # a bytearray too, and that one uncopied
            "ContentType": "application/octet-stream",
            "ChecksumSHA256": b64encode(digest.digest()).decode(),
            "Metadata": {"sha256": digest.hexdigest(), "put": put_id},
        }
        if create_only:
            request["IfNoneMatch"] = "*"
        with translated(self._where(key)):
            try:
                self._client.put_object(**request)
            except ClientError as exc:
                if not (_was_repeated(exc) and self._is_from(put_id, key)):
                    raise

    def _is_from(self, put_id: str, key: str) -> bool:
        """Whether what is stored is from this very put: its first answer was lost, its second said 412."""
        answer = self._head(key)
        return answer is not None and _metadata(answer).get("put") == put_id

    def _head(self, key: str) -> HeadObjectOutputTypeDef | None:
        with translated(self._where(key)):
            try:
                return self._client.head_object(
                    Bucket=self._bucket, Key=self._name(key), ChecksumMode="ENABLED"
                )
            except ClientError as exc:
                if exc.response["ResponseMetadata"]["HTTPStatusCode"] == HTTPStatus.NOT_FOUND:
                    return None
                raise

    def _read(self, request: GetObjectRequestTypeDef) -> bytes:
        """One answer's whole body. One that breaks off is asked for again: botocore repeats only requests."""
        for attempt in range(1, self._read_attempts + 1):
            try:
                answer = self._client.get_object(**request)
            except ClientError as exc:
                if exc.response["Error"]["Code"] == "InvalidRange":  # it begins behind the last byte
                    return b""
                raise
            try:
                return answer["Body"].read()
            except BROKEN_OFF:
                if attempt == self._read_attempts:
                    raise
        raise AssertionError("no attempt was made")

    def _name(self, key: str) -> str:
        return self._prefix + keys.checked(key)

    def _where(self, key: str) -> str:
        return f"{self.location}/{key}"


def _range(start: int, length: int | None) -> str:
    """S3 knows no empty range: one byte is asked for instead, and not handed on."""
    return f"bytes={start}-" if length is None else f"bytes={start}-{start + max(length, 1) - 1}"


def _metadata(answer: HeadObjectOutputTypeDef) -> dict[str, str]:
    return {name.lower(): value for name, value in answer["Metadata"].items()}  # some change the case


def _stored_checksum(answer: HeadObjectOutputTypeDef) -> str | None:
    """In hex. None for what another tool stored in several parts: that is a digest of digests (`…-3`)."""
    encoded = answer.get("ChecksumSHA256")
    return b64decode(encoded).hex() if encoded and "-" not in encoded else None


def _was_repeated(exc: ClientError) -> bool:
    answer = exc.response["ResponseMetadata"]
    return answer["HTTPStatusCode"] == HTTPStatus.PRECONDITION_FAILED and answer["RetryAttempts"] > 0
