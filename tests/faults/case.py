"""A case: one fault, injected into one world, and what must be true afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.faults.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`kind` is its line in the table, `name` tells it from the others of its kind."""

    kind: str
    name: str
    run: Callable[[World], None]

    @property
    def label(self) -> str:
        return f"{self.kind}: {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a case ended; `trouble` is None where every promise held."""

    kind: str
    name: str
    seconds: float
    struck: tuple[str, ...]
    trouble: str | None
