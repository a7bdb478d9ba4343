"""A registry as a page that Prometheus reads, for those who serve HTTP themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric as Family

from shared.metrics import text

__all__ = ["CollectorRegistry", "Page", "page"]

ABOUT_ITSELF = ("snapfleet_source_", "snapfleet_build_")
"""What tells of no database, not even by its numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    content_type: str
    body: bytes


def page(registry: text.Collects, *, accept: str, reaches: Callable[[str], bool] | None = None) -> Page:
    """What the registry says now. With `reaches`, only what is about databases that it is true of."""
    encode, content_type = text.choose(accept)
    shown = registry if reaches is None else Reached(registry, reaches)
    return Page(content_type=content_type, body=encode(shown))


class Reached:
    def __init__(self, registry: text.Collects, reaches: Callable[[str], bool]) -> None:
        self._registry = registry
        self._reaches = reaches

    def collect(self) -> Iterator[Family]:
        for family in self._registry.collect():
            family.samples = [
                sample
                for sample in family.samples
                if sample.name.startswith(ABOUT_ITSELF)
                or ("database" in sample.labels and self._reaches(sample.labels["database"]))
            ]
            if family.samples:
                yield family
