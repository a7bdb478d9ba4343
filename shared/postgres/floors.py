"""The oldest minor releases that are good enough for us, by what the later ones have closed.

    refused below   a server can run code in the pg_dump that reads it (CVE-2026-6477: large objects)
    told of below   what whoever may create objects writes there can break a pg_dump (CVE-2026-19385), or be run
                    by whoever restores it (CVE-2026-15741, in the server)

Only dumping is refused, never restoring: on a bad day an old tool is better than none. Known holes that need
psql or a plain dump are none of ours: neither is ever used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from shared.errors import Refused
from shared.postgres import tools
from shared.postgres.tools import Tools


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """Minor releases of one major."""

    refused_below: int
    told_of_below: int


FLOORS: Final[Mapping[int, Floor]] = {
    14: Floor(refused_below=23, told_of_below=24),
    15: Floor(refused_below=18, told_of_below=19),
    16: Floor(refused_below=14, told_of_below=15),
    17: Floor(refused_below=10, told_of_below=11),
    18: Floor(refused_below=4, told_of_below=6),
}

_RELEASE: Final = re.compile(r"(\d+)(?:\.(\d+))?")


def is_unsafe(tool_version: str) -> bool:
    """Whether a server could run code in this pg_dump."""
    release = _release(tool_version)
    return release is not None and release[1] < release[0].refused_below


def choose(candidates: Sequence[Tools], *, server_major: int, tls_required: bool, allow_old: bool) -> Tools:
    """As `tools.choose`, but none that is unsafe, unless that is allowed. Raises Refused(`client_unsafe`) too."""
    chosen = tools.choose(candidates, server_major=server_major, tls_required=tls_required)
    if allow_old or not is_unsafe(chosen.version):
        return chosen
    safe = [each for each in candidates if not is_unsafe(each.version)]
    try:
        return tools.choose(safe, server_major=server_major, tls_required=tls_required)
    except Refused:
        floor = FLOORS[chosen.major].refused_below
        raise Refused(
            f"pg_dump {chosen.version} in {chosen.bin_dir} lets a server run code in it (CVE-2026-6477)",
            code="client_unsafe",
            hint=f"install {chosen.major}.{floor} or later; where every server is trusted, set ALLOW_OLD_TOOLS=true",
        ) from None


def warnings(*, tool_version: str, server_version: str) -> tuple[str, ...]:
    """What to update, in words; empty where nothing is known to be wrong."""
    given = (("pg_dump", tool_version), ("the server", server_version))
    return tuple(
        f"{what} is {version}: {version[:2]}.{release[0].told_of_below} closes holes that a dump can be attacked by"
        for what, version in given
        if (release := _release(version)) is not None and release[1] < release[0].told_of_below
    )


def _release(version: str) -> tuple[Floor, int] | None:
    """The floor of its major and its minor; a beta is older than any. None of a major that is not listed."""
    match = _RELEASE.match(version)
    floor = FLOORS.get(int(match[1])) if match else None
    return None if match is None or floor is None else (floor, int(match[2] or -1))
