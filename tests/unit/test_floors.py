from __future__ import annotations

from pathlib import Path

import pytest

from shared.errors import Refused
from shared.postgres import floors
from shared.postgres.tools import Tools


@pytest.mark.parametrize(
    ("version", "unsafe", "told"),
    [
        ("14.22", True, True),
        ("15.17", True, True),
        ("15.18", False, True),
        ("15.19", False, False),
        ("16.14", False, True),
        ("17.10", False, True),
        ("17.11", False, False),
        ("18beta2", True, True),
        ("18.3", True, True),
        ("18.4", False, True),
        ("18.6", False, False),
        ("18.10", False, False),
        ("19.0", False, False),
        ("19devel", False, False),
    ],
)
def test_a_minor_release_is_refused_told_of_or_neither(version: str, unsafe: bool, told: bool) -> None:
    assert floors.is_unsafe(version) is unsafe
    assert bool(floors.warnings(tool_version=version, server_version="18.6")) is told
    assert bool(floors.warnings(tool_version="18.6", server_version=version)) is told


def test_a_warning_says_what_to_update_to() -> None:
    tool, server = floors.warnings(tool_version="15.17", server_version="14.9")
    assert "pg_dump is 15.17: 15.19 closes" in tool
    assert "the server is 14.9: 14.24 closes" in server


def some(version: str) -> Tools:
    return Tools(bin_dir=Path("/", version), major=int(version[:2]), version=version, tls=True)


def chosen(*versions: str, allow_old: bool = False) -> str:
    candidates = [some(version) for version in versions]
    return floors.choose(candidates, server_major=15, tls_required=True, allow_old=allow_old).version


def test_an_unsafe_pg_dump_is_passed_over_for_a_safe_one() -> None:
    assert chosen("15.17", "15.18") == "15.18"
    assert chosen("15.17", "16.15") == "16.15"


def test_where_there_is_no_safe_one_it_is_refused_unless_that_is_allowed() -> None:
    with pytest.raises(Refused, match=r"15\.17 in /15\.17") as refused:
        chosen("15.17", "16.13", "18.6")
    assert refused.value.code == "client_unsafe"
    assert "15.18 or later" in str(refused.value.hint)
    assert chosen("15.17", "16.13", allow_old=True) == "15.17"


def test_where_none_fits_at_all_that_is_said() -> None:
    with pytest.raises(Refused) as refused:
        chosen("14.20")
    assert refused.value.code == "no_client_tools"
