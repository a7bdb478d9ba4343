"""Asked twice, done once: the key of a request, and the digest of all that it asks for.

Both stand in the job's row, written by the transaction that makes it. A key counts for one token only, so
that nobody learns of another one's requests; the digest tells a repetition from another request.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Annotated

from fastapi import Header, Request
from pydantic import BaseModel

from api.permissions import Caller
from shared.domain.job import JobKind
from shared.operations.jobs import requests
from shared.operations.jobs.requests import Accepted

IdempotencyKey = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[!-~]+$",
        description="The same key with the same request is answered the same and makes one job; with another"
        " request it is refused (422). A UUID will do. It counts for the token that sends it.",
        examples=["7f2c0f0e-3a34-4a3f-8a3b-6f3f3a3f9d11"],
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request by what makes it the same one again."""

    caller: Caller
    key: str
    digest: str
    mine: str
    """What every key of the same token begins with, and of no other one."""

    def before(self, *, kind: JobKind, database: str) -> Accepted | None:
        """What it was answered with; None where it is new. Refused(idempotency_key_reused)."""
        return requests.accepted_before(
            self.caller.here.fleet, self.key, kind=kind, database=database, request_digest=self.digest
        )


def asked(request: Request, caller: Caller, key: str, body: BaseModel | None = None) -> Asked:
    name = caller.principal.name
    query = sorted(request.query_params.multi_items())
    # Without defaults: a field that a later release adds leaves the digests of this one as they are.
    said = None if body is None else body.model_dump(mode="json", exclude_defaults=True)
    text = json.dumps([request.method, request.url.path, query, said], sort_keys=True)
    mine = f"api:{len(name)}:{name}:"
    return Asked(
        caller=caller,
        key=f"{mine}{key}",
        digest=hashlib.sha256(text.encode()).hexdigest(),
        mine=mine,
    )
