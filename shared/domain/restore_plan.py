"""What a look before a restore found out: remarks on it, and the id by which it can be recognised again.

An id is one group of digits for each aspect of what was seen, so that of two ids it can be said in which
aspects the world has changed in between. Nothing is kept anywhere: who looks again computes it again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DIGITS = 6

ASPECTS = {
    "asked": "what is asked for",
    "snapshot": "the snapshot",
    "server": "the server",
    "live": "the database under the live name",
    "jobs": "what other jobs have done to it",
    "remarks": "what there is to say about it",
}
"""In the order of the groups, each in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """Something to know before a restore that does not stand against it."""

    code: str
    message: str

    def facts(self) -> dict[str, str]:
        return {"code": self.code, "message": self.message}


def plan_id(seen: Mapping[str, Any]) -> str:
    """The id of what was seen: a JSON value for each of `ASPECTS`."""
    return "-".join(digest(seen[aspect]) for aspect in ASPECTS)


def digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:DIGITS]


def changed(before: str, after: str) -> tuple[str, ...]:
    """In words, in which aspects two ids differ. All of them where `before` is no id at all."""
    groups = before.strip().lower().split("-")
    if len(groups) != len(ASPECTS):
        return tuple(ASPECTS.values())
    return tuple(
        words
        for words, old, new in zip(ASPECTS.values(), groups, after.split("-"), strict=True)
        if old != new
    )
