"""What botocore and S3 servers say, in our words: one table for codes, one for exceptions."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.client import IncompleteRead
from typing import NamedTuple

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


class Failure(NamedTuple):
    error: type[SnapfleetError]
    code: str
    hint: str | None = None


_MISSING = Failure(NotFound, "object_missing")
_EXISTS = Failure(Refused, "object_exists")
_DENIED = Failure(
    Refused,
    "access_denied",
    "the key needs s3:GetObject, s3:PutObject, s3:DeleteObject under the prefix and s3:ListBucket",
)
_BUSY = Failure(Busy, "storage_busy")
_CONFLICT = Failure(Busy, "storage_conflict")
_DOWN = Failure(Unreachable, "storage_unreachable", "the server fails by itself: look at its log")
_SILENT = Failure(Unreachable, "storage_unreachable", "check AWS_ENDPOINT_URL_S3 and the network")
_EXPIRED = Failure(Transient, "credentials_expired", "renew the session behind AWS_SESSION_TOKEN")
# A server under load says so too, of a request that it has kept waiting: the next one is signed anew.
_SKEWED = Failure(Transient, "clock_skewed", "set this machine's clock (NTP)")
_NO_KEY = Failure(
    Misconfigured,
    "credentials_missing",
    "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the machine a role",
)
_REGION = Failure(Misconfigured, "wrong_region", "set AWS_DEFAULT_REGION to the bucket's region")
_CORRUPTED = Failure(Transient, "upload_corrupted", "the bytes changed on the way: suspect a proxy")
_FULL = Failure(Refused, "storage_full", "free some space there, or keep fewer snapshots")
_TRUNCATED = Failure(Damaged, "object_truncated")
_LACKING = Failure(Refused, "storage_lacks_feature", "the server does not speak this part of S3")

SAID_BY_SERVER: Mapping[str, Failure] = {
    "NoSuchKey": _MISSING,
    "NotFound": _MISSING,
    "404": _MISSING,  # the answer to HEAD has no body, so no code either
    "NoSuchUpload": Failure(NotFound, "upload_missing"),
    "NoSuchBucket": Failure(NotFound, "bucket_missing", "create the bucket, or correct S3_BUCKET"),
    "InvalidBucketName": Failure(Misconfigured, "bucket_name_invalid", "correct S3_BUCKET"),
    "AccessDenied": _DENIED,
    "AllAccessDisabled": _DENIED,
    "403": _DENIED,
    "InvalidAccessKeyId": Failure(Refused, "access_key_unknown", "correct AWS_ACCESS_KEY_ID"),
    "SignatureDoesNotMatch": Failure(Refused, "secret_key_wrong", "correct AWS_SECRET_ACCESS_KEY"),
    "RequestTimeTooSkewed": _SKEWED,
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "InvalidToken": Failure(Refused, "session_token_wrong", "correct or unset AWS_SESSION_TOKEN"),
    "PermanentRedirect": _REGION,
    "301": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "PreconditionFailed": _EXISTS,
    "412": _EXISTS,
    "ConditionalRequestConflict": _CONFLICT,
    "OperationAborted": _CONFLICT,
    "SlowDown": _BUSY,
    "Throttling": _BUSY,
    "ThrottlingException": _BUSY,
    "TooManyRequests": _BUSY,
    "RequestLimitExceeded": _BUSY,
    "ServiceUnavailable": _BUSY,
    "429": _BUSY,
    "503": _BUSY,
    "InternalError": _DOWN,
    "RequestTimeout": _SILENT,
    "BadDigest": _CORRUPTED,
    "XAmzContentSHA256Mismatch": _CORRUPTED,
    "IncompleteBody": _CORRUPTED,
    "EntityTooLarge": Failure(Refused, "object_too_large"),
    "KeyTooLongError": Failure(Refused, "bad_key"),
    "QuotaExceeded": _FULL,
    "XMinioStorageFull": _FULL,
    "507": _FULL,
    "NotImplemented": _LACKING,
    "501": _LACKING,
    "InvalidObjectState": Failure(Refused, "object_archived", "bring it back from its archive class first"),
}

# The first row that matches, so subclasses stand before their parents.
RAISED_BY_BOTOCORE: tuple[tuple[type[BotoCoreError], Failure], ...] = (
    (boto.NoCredentialsError, _NO_KEY),
    (boto.PartialCredentialsError, _NO_KEY),
    (boto.CredentialRetrievalError, _NO_KEY),
    (boto.ProfileNotFound, Failure(Misconfigured, "profile_unknown", "correct AWS_PROFILE")),
    (boto.NoRegionError, _REGION),
    (
        boto.SSLError,
        Failure(Unreachable, "storage_tls_failed", "check the certificate, AWS_CA_BUNDLE, and https or http"),
    ),
    (boto.ParamValidationError, Failure(Misconfigured, "bucket_name_invalid", "correct S3_BUCKET")),
    (boto.IncompleteReadError, _TRUNCATED),
    (boto.BotoCoreError, _SILENT),
)


def failure_of(exc: ClientError | BotoCoreError) -> Failure:
    if isinstance(exc, boto.ResponseStreamingError) and _ended_early(exc):
        return _TRUNCATED
    if isinstance(exc, BotoCoreError):
        return next(failure for kind, failure in RAISED_BY_BOTOCORE if isinstance(exc, kind))
    code = exc.response.get("Error", {}).get("Code", "")
    if code in SAID_BY_SERVER:
        return SAID_BY_SERVER[code]
    status = exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return _DOWN if status >= HTTPStatus.INTERNAL_SERVER_ERROR else Failure(Refused, "storage_refused")


def _ended_early(exc: boto.ResponseStreamingError) -> bool:
    """Whether the answer ended in good order before its announced length; else the connection broke."""
    protocol_error = exc.__context__
    return protocol_error is not None and isinstance(protocol_error.__cause__, IncompleteRead)


@contextmanager
def translated(where: str) -> Generator[None]:
    """Raise our error for botocore's, the cause kept."""
    try:
        yield
    except ClientError as exc:
        failure = failure_of(exc)
        said = exc.response.get("Error", {}).get("Code", "") or "an error without a code"
        raise failure.error(f"{where}: {said}", code=failure.code, hint=failure.hint) from exc
    except BotoCoreError as exc:
        failure = failure_of(exc)
        raise failure.error(f"{where}: {type(exc).__name__}", code=failure.code, hint=failure.hint) from exc
