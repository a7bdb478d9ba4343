"""What work tells of itself while it goes on: to whoever counts, and nobody has to."""

from __future__ import annotations

from typing import Protocol


class Meters(Protocol):
    """Counts what happened. Never raises, and takes no time worth speaking of; any thread may call."""

    def part_done(self, step: str, *, raw_bytes: int, seconds: float) -> None: ...

    def step_ended(self, kind: str, step: str, *, outcome: str, seconds: float) -> None:
        """`outcome`: done, retried, failed or superseded."""
        ...

    def lease_renewed(self, outcome: str, *, seconds: float) -> None:
        """`outcome`: renewed, failed (nobody heard) or lost."""
        ...

    def storage_called(
        self, place: str, operation: str, *, seconds: float, put_bytes: int, got_bytes: int, code: str | None
    ) -> None:
        """`code` is the error's, None where it went well."""
        ...

    def storage_retried(self, operation: str) -> None: ...


class NoMeters:
    """Nobody counts."""

    def part_done(self, step: str, *, raw_bytes: int, seconds: float) -> None:
        pass

    def step_ended(self, kind: str, step: str, *, outcome: str, seconds: float) -> None:
        pass

    def lease_renewed(self, outcome: str, *, seconds: float) -> None:
        pass

    def storage_called(
        self, place: str, operation: str, *, seconds: float, put_bytes: int, got_bytes: int, code: str | None
    ) -> None:
        pass

    def storage_retried(self, operation: str) -> None:
        pass


NO_METERS: Meters = NoMeters()
