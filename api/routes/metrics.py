"""The state of the fleet for Prometheus: the same numbers as `snapfleet exporter` gives."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from api import context
from api.permissions import Reader
from shared.metrics import exposition

router = APIRouter(tags=["health"])


@router.get("/metrics", response_class=PlainTextResponse, operation_id="getMetrics")
def get_metrics(request: Request, caller: Reader) -> Response:
    """The state of the fleet in Prometheus's text format, at most 15 seconds old. docs/metrics.md lists it.

    A token that is bound to some databases is told of these, and of nothing that counts others in.
    """
    bound = caller.principal.databases is not None
    page = exposition.page(
        context.of(request).state,
        accept=request.headers.get("accept", ""),
        reaches=caller.reaches if bound else None,
    )
    return Response(page.body, media_type=page.content_type, headers={"Cache-Control": "private, no-store"})
