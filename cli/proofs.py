"""What a proof has shown, as people read it."""

from __future__ import annotations

from cli import formats
from shared.catalog.readings import Reading
from shared.catalog.verifications import Verification

THINGS = {
    "rows": "row",
    "tables": "table",
    "digests": "digest",
    "sequences": "sequence",
    "large_objects": "large object",
    "objects": "other object",
    "assertions": "assertion",
}


def facts(found: Verification) -> list[str]:
    """What a proof has looked at, and how long that took."""
    compared = found.compared
    looked = [
        formats.counted(compared[name], thing)
        for name, thing in THINGS.items()
        if compared.get(name) or name == "rows"
    ]
    return [
        f"compared: {', '.join(looked)}",
        f"restored in {formats.seconds(found.restore_seconds)}, compared in {formats.seconds(found.prove_seconds)}",
        *(f"note: {each}" for each in compared.get("notes", ())),
    ]


def verdict(found: Reading) -> str:
    """What reading everything that is stored has come to."""
    objects = formats.counted(found.objects, "object")
    if not found.differences:
        return f"all {objects} as they were stored"
    return f"{len(found.differences):,} of {objects} not as stored"
