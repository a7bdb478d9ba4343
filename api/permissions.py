"""Who asks, and whether he may: every route declares the smallest role that may use it, by one dependency.

What a principal may not reach does not exist for it: a foreign name or id is answered exactly as an unknown
one is.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

import structlog
from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api import context, query_parameters
from api.context import Context
from api.problems import Forbidden, Unauthenticated
from shared.domain.access import Actor, Principal, Role
from shared.domain.database import Database, is_name
from shared.domain.job import Job
from shared.domain.snapshot import Snapshot
from shared.errors import NotFound, Refused

log = structlog.get_logger(__name__)

SNAPSHOT_ID = r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}"
JOB_ID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
LONGEST_TOKEN = 512
BROUGHT = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
"""By these headers a proxy is known that adds any."""

BEARER = HTTPBearer(
    auto_error=False,
    scheme_name="token",
    description="A token that `snapfleet token create` has shown: `Authorization: Bearer …`.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whoever asks, and all that he can reach."""

    principal: Principal
    origin: str
    here: Context

    @property
    def actor(self) -> Actor:
        return Actor(name=self.principal.name, origin=self.origin)

    def reaches(self, database: str) -> bool:
        return self.principal.may(Role.READ, database)

    def databases(self) -> list[str]:
        """The names of those that are configured."""
        return sorted(name for name in self.here.fleet.databases if self.reaches(name))

    def database(self, name: str) -> Database:
        if not is_name(name) or not self.reaches(name) or name not in self.here.fleet.databases:
            raise NotFound("there is no such database", code="database_unknown")
        return self.here.fleet.databases[name]

    def snapshot(self, snapshot_id: str) -> Snapshot:
        found = None
        if re.fullmatch(SNAPSHOT_ID, snapshot_id, re.ASCII):
            with self.here.fleet.catalog.transaction() as tx:
                found = tx.snapshots.get(snapshot_id)
        if found is None or not self.reaches(found.database):
            raise NotFound("there is no such snapshot", code="snapshot_unknown")
        return found

    def job(self, job_id: str) -> Job:
        found = None
        if re.fullmatch(JOB_ID, job_id, re.ASCII):
            with self.here.fleet.catalog.transaction() as tx:
                found = tx.jobs.get(job_id)
        if found is None or not self.reaches(found.database):
            raise NotFound("there is no such job", code="job_unknown")
        return found

    def refuse_below(self, role: Role) -> None:
        """Forbidden unless this is within his role; whether anything exists is not told before."""
        if not self.principal.may(role):
            raise Forbidden(
                f"the role {self.principal.role} may not do this",
                hint=f"it takes the role {role}: snapfleet token create NAME --role {role}",
            )


class Public:
    """Declares that anybody may use a route: it tells nothing of anybody's databases."""

    async def __call__(self, request: Request) -> None:
        # In no thread: that all of them wait for something is what whoever asks wants to hear.
        query_parameters.refuse_unknown(request)


class Needs:
    """Declares the smallest role that may use a route, and finds out who asks."""

    def __init__(self, role: Role) -> None:
        self.role = role

    def __call__(
        self,
        request: Request,
        _documented: Annotated[HTTPAuthorizationCredentials | None, Security(BEARER)],
    ) -> Caller:
        here = context.of(request)
        address = request.client.host if request.client else "unknown"
        principal = principal_of(request, here, address=address)
        caller = Caller(principal=principal, origin=f"api:{address}", here=here)
        caller.refuse_below(self.role)
        query_parameters.refuse_unknown(request)
        return caller


def principal_of(request: Request, here: Context, *, address: str) -> Principal:
    given = request.headers.getlist("authorization")
    if not given and here.anonymous is not None:
        refuse_other_host(request)
        refuse_brought(request)
        here.rates.spend(here.anonymous.name)
        return here.anonymous
    if len(given) != 1:
        raise unauthenticated("a token is needed" if not given else "one token is needed, and not several")
    scheme, _, secret = given[0].partition(" ")
    if scheme.lower() != "bearer" or not 0 < len(secret) <= LONGEST_TOKEN:
        raise unauthenticated("a token is needed, as a bearer")
    try:
        return here.rates.authenticated(here.authenticate, secret, address=address)
    except Refused as exc:
        log.info("token_refused", code=exc.code, client=address)
        raise unauthenticated(exc.message) from exc


def refuse_other_host(request: Request) -> None:
    """A page in a browser may have a name of its own point at this machine, or send something here: such a request
    names another host, as the one that it asks or as the one that it comes from.
    """
    origins = [host_of(each) for each in request.headers.getlist("origin")]
    if not all(is_loopback(host) for host in (host_of(str(request.url)), *origins)):
        raise unauthenticated("without a token only this machine is answered, under a name of its own")


def refuse_brought(request: Request) -> None:
    """What a proxy on this machine passes on comes from this machine too, and may be anybody's."""
    if any(name in request.headers for name in BROUGHT):
        raise unauthenticated("without a token only this machine is answered, and no proxy")


def host_of(url: str) -> str:
    """Empty where it names none."""
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def unauthenticated(message: str) -> Unauthenticated:
    return Unauthenticated(message, hint="send a header Authorization: Bearer TOKEN")


PUBLIC = Public()
Reader = Annotated[Caller, Depends(Needs(Role.READ))]
Operator = Annotated[Caller, Depends(Needs(Role.OPERATE))]
Restorer = Annotated[Caller, Depends(Needs(Role.RESTORE))]
Administrator = Annotated[Caller, Depends(Needs(Role.ADMIN))]
