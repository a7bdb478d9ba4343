"""What every route works with, composed once in the process's entry point."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, cast

from fastapi import Request

from api.rates import Rates
from api.watching import Watch
from shared.domain.access import Principal
from shared.metrics.exposition import CollectorRegistry
from shared.operations.fleet import Fleet
from shared.operations.health.readiness import Readiness


class Authenticator(Protocol):
    def __call__(self, secret: str) -> Principal:
        """Whom a secret stands for. Raises Refused, whatever is wrong with it, and Unreachable."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """`anonymous` is who a request without a token comes from; None: from nobody."""

    fleet: Fleet
    authenticate: Authenticator
    anonymous: Principal | None
    watch: Watch
    readiness: Readiness
    clock: Callable[[], datetime]
    new_job_id: Callable[[], str]
    new_snapshot_id: Callable[[datetime], str]
    state: CollectorRegistry
    """What Prometheus is told."""
    is_closing: Callable[[], bool]
    """Whether the process was asked to end: who waits for something is sent away."""
    rates: Rates = field(default_factory=Rates)
    """How often one token may ask, and one address be refused."""
    waiting_jobs: int = 1_000
    """How many jobs of one token may wait for their turn."""


def of(request: Request) -> Context:
    return cast("Context", request.app.state.context)
