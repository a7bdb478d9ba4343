"""Cursors: where a page ended, in a form that nobody should take apart. They are no secret and no right.

A cursor belongs to one list with one filter. It names the last row of a page, so that nothing is told twice
or left out, whatever is added meanwhile.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Annotated

from fastapi import Query

from api.problems import Malformed

MOST = 200
LONGEST = 500
MOST_ROWS = 2**63 - 1
"""What the catalog counts rows with."""

Limit = Annotated[int, Query(ge=1, le=MOST, description="How many at most.", examples=[50])]
Before = Annotated[
    str | None,
    Query(
        max_length=LONGEST,
        description="Go on behind a page: the value of `next` that it ended with.",
    ),
]


def encode(of: str, place: list[str | int]) -> str:
    """The cursor of a place in a list; `of` says which list, with which filter."""
    text = json.dumps([mark(of), *place], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode(cursor: str, of: str, *, kinds: tuple[type, ...]) -> list[str | int]:
    """The place. Malformed where it is no cursor, or one of another list."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        found = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        raise refused() from None
    if not isinstance(found, list) or found[:1] != [mark(of)] or tuple(map(type, found[1:])) != kinds:
        raise refused()
    if any(isinstance(each, int) and not 0 <= each <= MOST_ROWS for each in found[1:]):
        raise refused()
    return found[1:]


def mark(of: str) -> str:
    return hashlib.sha256(of.encode()).hexdigest()[:8]


def refused() -> Malformed:
    return Malformed(
        "that is no cursor of this list",
        code="cursor_invalid",
        hint="take `next` of the page before, with the same filter; or begin anew without it",
    )
