"""The contract of whoever brings a notice to people."""

from __future__ import annotations

from typing import Protocol

from shared.domain.notice import Notice


class Sender(Protocol):
    def send(self, notice: Notice) -> None:
        """Hand it over to whoever delivers it. Raises Unreachable; then it may have arrived all the same."""
        ...
