"""What the event bus may do is said in one place, and nothing that replaces a database unless it is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.domain.events import ALLOWED, KEEP_EVENTS, Ask
from shared.errors import Misconfigured
from tests.unit.given_settings import TOML, load


def test_without_a_word_about_it_nothing_that_replaces_a_database_may_be_asked_for(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert settings.bus_allow == frozenset(ALLOWED) == {Ask.SNAPSHOT, Ask.VERIFY}
    assert settings.bus_keep_events == KEEP_EVENTS


def test_the_file_says_what_may_be_asked_for_and_the_variable_wins(tmp_path: Path) -> None:
    toml = f'[bus]\nallow = ["snapshot", "restore"]\nkeep_events = 5000\n{TOML}'
    settings = load(tmp_path, toml)
    assert (settings.bus_allow, settings.bus_keep_events) == (
        frozenset({Ask.SNAPSHOT, Ask.RESTORE}),
        5000,
    )
    assert load(tmp_path, toml, BUS_ALLOW="check, undo").bus_allow == {Ask.CHECK, Ask.UNDO}
    assert load(tmp_path, f"[bus]\nallow = []\n{TOML}").bus_allow == frozenset()


@pytest.mark.parametrize(
    ("toml", "variable", "named"),
    [
        ('[bus]\nallow = ["everything"]', None, "bus.allow"),
        ('[bus]\nallow = "snapshot"', None, "bus.allow"),
        ("[bus]\nkeep_events = 10", None, "bus.keep_events"),
        ("[bus]\nmaxlen = 10", None, "bus.maxlen"),
        ("", "snapshot,everything", "BUS_ALLOW"),
    ],
)
def test_what_nobody_may_ask_for_is_refused_by_its_name(
    tmp_path: Path, toml: str, variable: str | None, named: str
) -> None:
    with pytest.raises(Misconfigured, match=f"^{named}"):
        load(tmp_path, f"{toml}\n{TOML}", BUS_ALLOW=variable)
