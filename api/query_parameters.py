"""Query parameters: what is not known, or is given twice, is refused and not passed over in silence."""

from __future__ import annotations

from fastapi import Request
from fastapi.routing import APIRoute

from api.problems import Malformed, printable


def refuse_unknown(request: Request) -> None:
    route = request.scope.get("route")
    known = {field.alias for field in route.dependant.query_params} if isinstance(route, APIRoute) else set()
    given = [name for name, _ in request.query_params.multi_items()]
    wrong = [name for name in given if name not in known or given.count(name) > 1]
    if wrong:
        raise Malformed(
            f"query parameter {printable(wrong[0])!r} is not known here, or given twice",
            code="query_invalid",
            hint=f"known are: {', '.join(sorted(known)) or 'none'}",
        )
