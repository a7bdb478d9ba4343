"""The text of a page of metrics: byte for byte what the client library writes, for a fraction of its time.

The library escapes each name and label of each line anew, and with OpenMetrics letter by letter. Here the labels of a
database are written once for all its lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.utils import floatToGoString

END = "# EOF\n"
RENAMING = ("escaping=dots", "escaping=values")
"""Forms in which every name is another one."""


class Collects(Protocol):
    def collect(self) -> Iterable[Family]: ...


Encoder = Callable[[Collects], bytes]


@dataclass(frozen=True, slots=True)
class One:
    family: Family

    def collect(self) -> Iterator[Family]:
        yield self.family


def choose(accept: str) -> tuple[Encoder, str]:
    """What writes the form that is asked for, and its content type."""
    theirs, content_type = choose_encoder(accept)
    if content_type.endswith(RENAMING):
        return theirs, content_type
    return lambda registry: written(registry, theirs), content_type


def written(registry: Collects, theirs: Encoder) -> bytes:
    texts, known = list[str](), dict[tuple[tuple[str, str], ...], str]()
    ends = theirs(One(Family("nothing", "", "gauge"))).decode().endswith(END)
    for family in registry.collect():
        is_plain = family.type == "gauge" and all(each.timestamp is None for each in family.samples)
        # The library writes all that is not the same line again and again, first of all what stands above them.
        above = Family(family.name, family.documentation, "gauge") if is_plain else family
        texts.append(theirs(One(above)).decode().removesuffix(END))
        if is_plain:
            texts.extend(lines(family, known))
    return "".join((*texts, END if ends else "")).encode()


def lines(family: Family, known: dict[tuple[tuple[str, str], ...], str]) -> Iterator[str]:
    for each in family.samples:
        pairs = tuple(each.labels.items())
        labels = known.get(pairs)
        if labels is None:
            labels = known[pairs] = label_text(each.labels)
        value: str = floatToGoString(each.value)  # type: ignore[no-untyped-call]  # the library has no types there
        yield f"{each.name}{labels} {value}\n"


def label_text(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{escaped(value)}"' for name, value in sorted(labels.items())) + "}"


def escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
