"""The application: routes, limits and problem documents, put together around one context."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from importlib.metadata import version

import anyio
import anyio.to_thread
from fastapi import APIRouter, FastAPI

from api import openapi, problems
from api.context import Context
from api.limits import ANSWER_WITHIN, READ_WITHIN, Limits
from api.routes import audit, databases, events, health, jobs, metrics, restores, snapshots, upkeep

THREADS = 16
"""Requests worked on at once; the others wait in order. Each needs one connection to the catalog at a time."""

ROUTERS: tuple[APIRouter, ...] = (
    databases.router,
    snapshots.router,
    restores.router,
    upkeep.router,
    jobs.router,
    events.router,
    audit.router,
    health.router,
    metrics.router,
)


def create_app(
    context: Context, *, read_within: timedelta = READ_WITHIN, answer_within: timedelta = ANSWER_WITHIN
) -> FastAPI:
    app = bare()
    app.state.context = context
    app.add_middleware(Limits, read_within=read_within, answer_within=answer_within)
    return app


def bare() -> FastAPI:
    """Without a context: enough to describe it."""
    app = FastAPI(
        title="Snapfleet",
        summary="Consistent PostgreSQL snapshots, proven by restoring them, brought back in minutes.",
        description=openapi.ABOUT,
        version=version("snapfleet"),
        lifespan=in_few_threads,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    for router in ROUTERS:
        app.include_router(router)
    problems.install(app)
    openapi.serve(app)
    return app


@asynccontextmanager
async def in_few_threads(app: FastAPI) -> AsyncGenerator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    app.state.probing = anyio.CapacityLimiter(health.PROBES)
    yield
