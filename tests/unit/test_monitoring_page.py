"""The page about monitoring names what there is."""

from __future__ import annotations

import re
from pathlib import Path

from shared.domain.job import JobKind, JobState
from shared.domain.notice import DEFAULT, NOTABLE

PAGE = (Path(__file__).parents[2] / "docs" / "monitoring.md").read_text()


def test_every_event_that_a_hook_can_be_told_of_is_named() -> None:
    section = PAGE.split("## Notifications")[1]
    named = set(re.findall(r"`([a-z_]+\.[a-z_]+)`", section))
    ends = [state for state in JobState if state.is_final]
    by_rule = {f"{kind}.{state}" for kind in JobKind for state in ends}
    table = section.split("| --- | --- |")[1].split("\n\n")[0]
    assert set(re.findall(r"`([a-z_]+\.[a-z_]+)`", table)) == set(DEFAULT)
    assert NOTABLE - by_rule - named == set()
    assert named - NOTABLE == set()
    assert all(f"`{kind}`" in section for kind in JobKind)
