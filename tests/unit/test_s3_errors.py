"""One row for each thing that S3 or botocore may say."""

from __future__ import annotations

from typing import Any

import pytest
from botocore import exceptions as boto
from botocore.exceptions import BotoCoreError, ClientError

from shared.errors import (
    Busy,
    Damaged,
    Misconfigured,
    NotFound,
    Refused,
    SnapfleetError,
    Transient,
    Unreachable,
)
from shared.storage import s3_errors

SAID = [
    ("NoSuchKey", 404, NotFound, "object_missing"),
    ("NotFound", 404, NotFound, "object_missing"),
    ("404", 404, NotFound, "object_missing"),
    ("NoSuchUpload", 404, NotFound, "upload_missing"),
    ("NoSuchBucket", 404, NotFound, "bucket_missing"),
    ("InvalidBucketName", 400, Misconfigured, "bucket_name_invalid"),
    ("AccessDenied", 403, Refused, "access_denied"),
    ("AllAccessDisabled", 403, Refused, "access_denied"),
    ("403", 403, Refused, "access_denied"),
    ("InvalidAccessKeyId", 403, Refused, "access_key_unknown"),
    ("SignatureDoesNotMatch", 403, Refused, "secret_key_wrong"),
    ("RequestTimeTooSkewed", 403, Transient, "clock_skewed"),
    ("ExpiredToken", 400, Transient, "credentials_expired"),
    ("ExpiredTokenException", 400, Transient, "credentials_expired"),
    ("TokenRefreshRequired", 400, Transient, "credentials_expired"),
    ("InvalidToken", 400, Refused, "session_token_wrong"),
    ("PermanentRedirect", 301, Misconfigured, "wrong_region"),
    ("301", 301, Misconfigured, "wrong_region"),
    ("AuthorizationHeaderMalformed", 400, Misconfigured, "wrong_region"),
    ("IllegalLocationConstraintException", 400, Misconfigured, "wrong_region"),
    ("PreconditionFailed", 412, Refused, "object_exists"),
    ("412", 412, Refused, "object_exists"),
    ("ConditionalRequestConflict", 409, Busy, "storage_conflict"),
    ("OperationAborted", 409, Busy, "storage_conflict"),
    ("SlowDown", 503, Busy, "storage_busy"),
    ("Throttling", 400, Busy, "storage_busy"),
    ("ThrottlingException", 400, Busy, "storage_busy"),
    ("TooManyRequests", 429, Busy, "storage_busy"),
    ("RequestLimitExceeded", 503, Busy, "storage_busy"),
    ("ServiceUnavailable", 503, Busy, "storage_busy"),
    ("429", 429, Busy, "storage_busy"),
    ("503", 503, Busy, "storage_busy"),
    ("InternalError", 500, Unreachable, "storage_unreachable"),
    ("RequestTimeout", 400, Unreachable, "storage_unreachable"),
    ("BadDigest", 400, Transient, "upload_corrupted"),
    ("XAmzContentSHA256Mismatch", 400, Transient, "upload_corrupted"),
    ("IncompleteBody", 400, Transient, "upload_corrupted"),
    ("EntityTooLarge", 400, Refused, "object_too_large"),
    ("KeyTooLongError", 400, Refused, "bad_key"),
    ("QuotaExceeded", 403, Refused, "storage_full"),
    ("XMinioStorageFull", 507, Refused, "storage_full"),
    ("507", 507, Refused, "storage_full"),
    ("NotImplemented", 501, Refused, "storage_lacks_feature"),
    ("501", 501, Refused, "storage_lacks_feature"),
    ("InvalidObjectState", 403, Refused, "object_archived"),
]
NOT_IN_THE_TABLE = [
    ("NewKindOfTrouble", 500, Unreachable, "storage_unreachable"),
    ("502", 502, Unreachable, "storage_unreachable"),
    ("NewKindOfRule", 400, Refused, "storage_refused"),
    ("", 418, Refused, "storage_refused"),
]
WHERE: dict[str, Any] = {"endpoint_url": "http://127.0.0.1:1", "error": OSError("told in a test")}
RAISED: list[tuple[BotoCoreError, type[SnapfleetError], str]] = [
    (boto.NoCredentialsError(), Misconfigured, "credentials_missing"),
    (boto.PartialCredentialsError(provider="env", cred_var="x"), Misconfigured, "credentials_missing"),
    (boto.CredentialRetrievalError(provider="sso", error_msg="x"), Misconfigured, "credentials_missing"),
    (boto.ProfileNotFound(profile="nobody"), Misconfigured, "profile_unknown"),
    (boto.NoRegionError(), Misconfigured, "wrong_region"),
    (boto.SSLError(**WHERE), Unreachable, "storage_tls_failed"),
    (boto.ParamValidationError(report="x"), Misconfigured, "bucket_name_invalid"),
    (boto.IncompleteReadError(actual_bytes=1, expected_bytes=2), Damaged, "object_truncated"),
    (boto.ResponseStreamingError(error="reset"), Unreachable, "storage_unreachable"),
    (boto.EndpointConnectionError(**WHERE), Unreachable, "storage_unreachable"),
    (boto.ConnectTimeoutError(**WHERE), Unreachable, "storage_unreachable"),
    (boto.ReadTimeoutError(**WHERE), Unreachable, "storage_unreachable"),
    (boto.ConnectionClosedError(**WHERE), Unreachable, "storage_unreachable"),
    (boto.ProxyConnectionError(proxy_url="x", error="x"), Unreachable, "storage_unreachable"),
    (boto.HTTPClientError(error="x"), Unreachable, "storage_unreachable"),
]


def client_error(said: str, status: int) -> ClientError:
    answer = {
        "Error": {"Code": said, "Message": "in the server's words"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(answer, "GetObject")  # type: ignore[arg-type]  # an answer as short as servers give


@pytest.mark.parametrize(("said", "status", "error", "code"), SAID + NOT_IN_THE_TABLE)
def test_a_code_of_the_server_becomes_ours(
    said: str, status: int, error: type[SnapfleetError], code: str
) -> None:
    cause = client_error(said, status)
    with (
        pytest.raises(SnapfleetError, match="s3://bucket/key") as raised,
        s3_errors.translated("s3://bucket/key"),
    ):
        raise cause
    assert (type(raised.value), raised.value.code) == (error, code)
    assert raised.value.__cause__ is cause


@pytest.mark.parametrize(("cause", "error", "code"), RAISED, ids=lambda it: type(it).__name__)
def test_an_exception_of_botocore_becomes_ours(
    cause: BotoCoreError, error: type[SnapfleetError], code: str
) -> None:
    with pytest.raises(SnapfleetError) as raised, s3_errors.translated("s3://bucket/key"):
        raise cause
    assert (type(raised.value), raised.value.code) == (error, code)
    assert raised.value.__cause__ is cause


def test_every_row_of_the_tables_is_tested_here() -> None:
    assert {said for said, *_ in SAID} == set(s3_errors.SAID_BY_SERVER)
    assert {kind for kind, _ in s3_errors.RAISED_BY_BOTOCORE} <= {
        BotoCoreError,
        *(type(it) for it, *_ in RAISED),
    }


@pytest.mark.parametrize("said", sorted(s3_errors.SAID_BY_SERVER))
def test_what_an_operator_can_change_has_a_hint(said: str) -> None:
    failure = s3_errors.SAID_BY_SERVER[said]
    if issubclass(failure.error, Misconfigured) or failure.code in {"access_denied", "bucket_missing"}:
        assert failure.hint
