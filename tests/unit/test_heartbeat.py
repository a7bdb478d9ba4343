"""A process that is well touches its file, now and then; one that is not lets it grow old."""

from __future__ import annotations

import os
from pathlib import Path

from shared.heartbeat import Heartbeat


def test_it_touches_its_file_at_most_once_a_second(tmp_path: Path) -> None:
    now = 100.0
    file = tmp_path / "alive"
    heart = Heartbeat(file, clock=lambda: now)
    heart.beat()
    os.utime(file, (0, 0))
    now += 0.5
    heart.beat()
    assert file.stat().st_mtime == 0
    now += 0.5
    heart.beat("whoever sends it", body=None)
    assert file.stat().st_mtime > 0


def test_a_file_that_cannot_be_touched_ends_nothing(tmp_path: Path) -> None:
    Heartbeat(tmp_path / "missing" / "alive").beat()
    Heartbeat(None).beat()
