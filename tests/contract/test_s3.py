"""What only S3 can do to us: broken connections, lost answers, refusals, and servers with habits."""

from __future__ import annotations

import hashlib
import os
import time
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from botocore.config import Config

from shared.errors import Busy, Damaged, Misconfigured, NotFound, Refused, SnapfleetError, Unreachable
from shared.storage import s3
from shared.storage.s3 import S3Storage
from tests.contract import s3_servers
from tests.contract.proxy import Proxy, Way
from tests.contract.s3_servers import BUCKET, READER_KEY, S3Server

if TYPE_CHECKING:
    from types_boto3_s3.type_defs import CompletedPartTypeDef

BODY = os.urandom(1_000_000)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"  # a server's first answer to a put: send the body
DIGEST = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def proxy(seaweedfs: S3Server) -> Iterator[Proxy]:
    with Proxy(seaweedfs.port) as proxy:
        yield proxy


@pytest.fixture
def direct(seaweedfs: S3Server, prefix: str) -> S3Storage:
    return seaweedfs.storage(prefix)


def through(url: str, prefix: str, *, attempts: int = 2, read_timeout_seconds: float = 10) -> S3Storage:
    return s3.connect(
        bucket=BUCKET,
        prefix=prefix,
        endpoint_url=url,
        session=s3_servers.session(),
        attempts=attempts,
        connect_timeout=timedelta(seconds=2),
        read_timeout=timedelta(seconds=read_timeout_seconds),
    )


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("after_bytes", [0, 1_000, 500_000, 1_000_000])
def test_a_download_cut_once_is_asked_for_again(
    proxy: Proxy, direct: S3Storage, prefix: str, after_bytes: int, reset: bool
) -> None:
    direct.put("a", BODY)
    proxy.cut(Way.ANSWERS, after_bytes=after_bytes, times=1, reset=reset)
    assert through(proxy.url, prefix).get("a") == BODY
    assert proxy.connections == 2


def test_a_download_that_always_ends_early_is_truncated(proxy: Proxy, direct: S3Storage, prefix: str) -> None:
    direct.put("a", BODY)
    proxy.cut(Way.ANSWERS, after_bytes=500_000, times=99)
    with pytest.raises(Damaged) as raised:
        through(proxy.url, prefix).get("a")
    assert raised.value.code == "object_truncated"
    assert proxy.connections == 2


def test_a_download_whose_server_goes_away_is_unreachable_not_damaged(
    proxy: Proxy, direct: S3Storage, prefix: str
) -> None:
    direct.put("a", BODY)
    proxy.cut(Way.ANSWERS, after_bytes=500_000, times=99, reset=True)
    with pytest.raises(Unreachable) as raised:
        through(proxy.url, prefix).get("a")
    assert raised.value.code == "storage_unreachable"


@pytest.mark.parametrize("after_bytes", [0, 1_000, 500_000])
def test_an_upload_cut_once_is_repeated(
    proxy: Proxy, direct: S3Storage, prefix: str, after_bytes: int
) -> None:
    proxy.cut(Way.REQUESTS, after_bytes=after_bytes, times=1)
    through(proxy.url, prefix).put("a", BODY)
    assert direct.get("a", sha256=DIGEST) == BODY


def test_an_upload_cut_for_good_is_unreachable_and_leaves_nothing(
    proxy: Proxy, direct: S3Storage, prefix: str
) -> None:
    proxy.cut(Way.REQUESTS, after_bytes=500_000, times=99)
    with pytest.raises(Unreachable):
        through(proxy.url, prefix).put("a", BODY)
    assert list(direct.list("")) == []
    with pytest.raises(NotFound):
        direct.head("a")


def test_a_create_whose_answer_was_lost_is_known_as_our_own(
    proxy: Proxy, direct: S3Storage, prefix: str
) -> None:
    """The server has it, the client never heard. Repeated, it is told 412: by its own object."""
    client = s3_servers.session().client(
        "s3", endpoint_url=proxy.url, config=Config(retries={"mode": "standard", "total_max_attempts": 3})
    )
    sent: list[str] = []
    statuses: list[int | None] = []

    def lose_the_first_answer(**_: object) -> None:
        if not sent:
            proxy.cut(Way.ANSWERS, after_bytes=len(CONTINUE) + 1, times=1)
        sent.append("put")

    client.meta.events.register("before-send.s3.PutObject", lose_the_first_answer)
    client.meta.events.register(
        "response-received.s3.PutObject",
        lambda parsed_response, **_: statuses.append(
            parsed_response and parsed_response["ResponseMetadata"]["HTTPStatusCode"]
        ),
    )
    storage = S3Storage(BUCKET, prefix, client=client)
    storage.put("a", BODY, create_only=True)
    assert statuses == [None, 412]
    assert direct.get("a") == BODY
    with pytest.raises(Refused):
        storage.put("a", BODY, create_only=True)


def test_a_stopped_server_is_unreachable_within_the_budget(proxy: Proxy, prefix: str) -> None:
    storage = through(proxy.url, prefix)
    storage.put("a", b"x")
    proxy.stop()
    begun = time.monotonic()
    for use in (
        lambda: storage.get("a"),
        lambda: storage.head("a"),
        lambda: storage.put("b", b"x"),
        lambda: storage.put("b", b"x", create_only=True),
        lambda: list(storage.list("")),
        lambda: storage.delete("a"),
        storage.check,
    ):
        with pytest.raises(Unreachable) as raised:
            use()
        assert raised.value.code == "storage_unreachable"
        assert raised.value.hint is not None
    assert time.monotonic() - begun < 7 * 3


def test_a_silent_server_is_unreachable_after_the_read_timeout(proxy: Proxy, prefix: str) -> None:
    storage = through(proxy.url, prefix, read_timeout_seconds=0.3)
    proxy.fall_silent()
    begun = time.monotonic()
    with pytest.raises(Unreachable):
        storage.get("a")
    assert 0.6 <= time.monotonic() - begun < 30


def test_a_missing_bucket_is_said_and_not_made(s3_server: S3Server) -> None:
    """SeaweedFS, left to itself, makes a bucket of whatever is put."""
    for _ in range(2):
        storage = s3.connect(
            bucket="no-such-bucket", endpoint_url=s3_server.url, session=s3_servers.session(), attempts=1
        )
        with pytest.raises(NotFound) as raised:
            storage.check()
        assert raised.value.code == "bucket_missing"
        assert raised.value.hint is not None


@pytest.mark.parametrize(
    ("access_key", "secret_key", "code"),
    [
        (READER_KEY, s3_servers.SECRET_KEY, "access_denied"),
        ("unknown-key", s3_servers.SECRET_KEY, "access_key_unknown"),
        (s3_servers.ACCESS_KEY, "wrong-secret", "secret_key_wrong"),
    ],
)
def test_a_put_with_the_wrong_key_is_refused_by_name(
    seaweedfs: S3Server, prefix: str, access_key: str, secret_key: str, code: str
) -> None:
    session = s3_servers.session(access_key=access_key, secret_key=secret_key)
    storage = s3.connect(bucket=BUCKET, prefix=prefix, endpoint_url=seaweedfs.url, session=session)
    with pytest.raises(Refused) as raised:
        storage.put("a", b"x")
    assert raised.value.code == code
    assert raised.value.hint is not None
    assert secret_key not in f"{raised.value} {raised.value.__cause__}"
    with pytest.raises(Refused):
        storage.check()


def test_a_list_goes_over_many_pages(seaweedfs: S3Server, prefix: str) -> None:
    client = s3_servers.session().client("s3", endpoint_url=seaweedfs.url)
    storage = S3Storage(BUCKET, prefix, client=client, list_page_size=7)
    expected = [f"orders/chunks/{number % 16:x}/{number:04}" for number in range(100)]
    for key in expected:
        storage.put(key, b"x")
    assert [stat.key for stat in storage.list("orders/")] == sorted(expected)
    assert [stat.key for stat in storage.list("orders/chunks/a/")] == [
        k for k in sorted(expected) if "/a/" in k
    ]
    assert list(storage.folders("orders/chunks/")) == list("0123456789abcdef")


def test_prefixes_are_kept_apart(seaweedfs: S3Server, prefix: str) -> None:
    outer, inner = seaweedfs.storage(prefix), seaweedfs.storage(f"/{prefix}/inner/")
    inner.put("a", b"inner")
    beside = seaweedfs.storage(f"{prefix}/inner-2")
    beside.put("a", b"beside")
    assert [stat.key for stat in inner.list("")] == ["a"]
    assert [stat.key for stat in outer.list("")] == ["inner-2/a", "inner/a"]
    assert inner.location == f"s3://{BUCKET}/{prefix}/inner"


def test_an_object_of_another_tool_is_digested_by_reading_it(s3_server: S3Server, prefix: str) -> None:
    client = s3_servers.session().client(
        "s3",
        endpoint_url=s3_server.url,
        config=Config(request_checksum_calculation="when_required"),
    )
    client.put_object(Bucket=BUCKET, Key=f"{prefix}/a", Body=BODY)
    assert s3_server.storage(prefix).head("a").sha256 == DIGEST


def test_a_multipart_object_of_another_tool_is_digested_by_reading_it(
    seaweedfs: S3Server, prefix: str
) -> None:
    """Its stored checksum is a digest of its parts' digests."""
    client, key = s3_servers.session().client("s3", endpoint_url=seaweedfs.url), f"{prefix}/a"
    body = os.urandom(6_000_000)
    upload = client.create_multipart_upload(Bucket=BUCKET, Key=key, ChecksumAlgorithm="SHA256")["UploadId"]
    parts: list[CompletedPartTypeDef] = []
    for number, piece in enumerate((body[:5_500_000], body[5_500_000:]), start=1):
        part = client.upload_part(
            Bucket=BUCKET, Key=key, UploadId=upload, PartNumber=number, Body=piece, ChecksumAlgorithm="SHA256"
        )
        parts.append({"PartNumber": number, "ETag": part["ETag"], "ChecksumSHA256": part["ChecksumSHA256"]})
    client.complete_multipart_upload(
        Bucket=BUCKET, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}
    )
    assert seaweedfs.storage(prefix).head("a").sha256 == hashlib.sha256(body).hexdigest()


def test_open_uploads_below_the_prefix_are_seen_and_ended(s3_server: S3Server, prefix: str) -> None:
    client = s3_servers.session().client("s3", endpoint_url=s3_server.url)
    for key in (f"{prefix}/orders/a", f"{prefix}/orders/a", f"{prefix}-2/orders/a"):
        client.create_multipart_upload(Bucket=BUCKET, Key=key)
    storage = s3_server.storage(prefix)
    try:
        found = list(storage.uploads("orders/"))
    except Refused:  # some servers cannot list them, and say so
        return
    assert {upload.key for upload in found} == {"orders/a"}
    assert len({upload.upload_id for upload in found}) == 2
    if s3_server.name != "moto":  # which says of each that it began in 2010
        assert all(abs(datetime.now(UTC) - upload.began_at) < timedelta(minutes=1) for upload in found)
    for upload in [*found, found[0]]:
        storage.abort(upload)
    assert list(storage.uploads("orders/")) == []


def test_a_bytearray_is_sent_and_an_object_is_read_without_a_copy(direct: S3Storage) -> None:
    """Chunks are up to 64 MiB and a worker has 200 MB."""
    body = bytearray(os.urandom(32 << 20))
    direct.put("warm", b"")
    tracemalloc.start()
    try:
        direct.put("a", body)
        sending = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        got = direct.get("a", sha256=hashlib.sha256(body).hexdigest())
        reading = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert got == body
    assert sending < len(body) / 4
    assert reading < len(body) * 1.25


def test_the_endpoint_and_the_key_come_from_the_usual_variables(
    seaweedfs: S3Server, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By name, not by address: a bucket as a host name (bucket.localhost) would not do everywhere."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://localhost:{seaweedfs.port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_servers.ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_servers.SECRET_KEY)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    storage = s3.connect(bucket=BUCKET, prefix=prefix)
    assert storage.check().create_only
    url = storage._client.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "a"})  # noqa: SLF001  # the only way to see the address
    assert url.startswith(f"http://localhost:{seaweedfs.port}/{BUCKET}/a?")


def test_an_endpoint_that_is_no_url_is_misconfigured() -> None:
    with pytest.raises(Misconfigured) as raised:
        s3.connect(bucket=BUCKET, endpoint_url="localhost:8333", session=s3_servers.session())
    assert raised.value.code == "endpoint_invalid"


def test_a_profile_that_does_not_exist_is_misconfigured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(Misconfigured) as raised:
        s3.connect(bucket=BUCKET)
    assert raised.value.code == "profile_unknown"


def test_no_credentials_at_all_are_misconfigured(
    seaweedfs: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    with pytest.raises(Misconfigured) as raised:
        s3.connect(bucket=BUCKET, endpoint_url=seaweedfs.url).put("a", b"x")
    assert raised.value.code == "credentials_missing"


def test_a_bucket_name_that_is_none_is_misconfigured() -> None:
    with pytest.raises(SnapfleetError) as raised:
        s3.connect(
            bucket="not a bucket", endpoint_url="http://127.0.0.1:1", session=s3_servers.session()
        ).check()
    assert raised.value.code == "bucket_name_invalid"
    assert not isinstance(raised.value, Busy)
