"""What two snapshots of a database have in common, so that a copy of the one need not be loaded anew for the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from shared.domain.manifest import Manifest, Part
from shared.domain.parts import Key

WHOLE_EVERY = timedelta(hours=20)
"""How old the last proof may be that has loaded everything, when another one loads only what changed. Less than a
day, so that one that is due once a day always loads everything.
"""


def is_alike(then: Manifest, now: Manifest) -> bool:
    """Whether a database that was made for the one would be made the same way for the other."""
    return frame(then) == frame(now)


def frame(manifest: Manifest) -> tuple[object, ...]:
    source = manifest.source
    return (
        source.encoding,
        source.locale_provider,
        source.collate,
        source.ctype,
        source.locale,
        source.icu_rules,
        source.tablespace,
        manifest.properties.owner,
        manifest.extensions,
    )


def taken_over(then: Manifest, now: Manifest, brought_by: Mapping[int, str]) -> dict[int, str]:
    """The parts, by number, of tables whose every part is stored as the same bytes in both; and by what their rows
    are known in a copy of `then`, where `brought_by` says it of all of a table's former parts.
    """
    former, present = by_table(then), by_table(now)
    return {
        new.spec.number: brought_by[old.spec.number]
        for key, parts in present.items()
        if content(parts) == content(former.get(key, ()))
        and all(part.spec.number in brought_by for part in former[key])
        for old, new in zip(former[key], parts, strict=True)
    }


def by_table(manifest: Manifest) -> Mapping[Key, Sequence[Part]]:
    found = dict[Key, list[Part]]()
    for part in manifest.parts:
        found.setdefault(part.spec.key, []).append(part)
    return found


def content(parts: Sequence[Part]) -> Any:
    """What is loaded of a table, whatever its parts are numbered."""
    return [(replace(part.spec, number=0), part.row_count, part.chunks) for part in parts]
