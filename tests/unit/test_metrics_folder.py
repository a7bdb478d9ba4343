"""The folder of what a worker counts: its own while it lives, and left behind by nobody for long."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from shared.metrics.folder import LOCK, PREFIX, own_folder, sweep


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_it_is_empty_its_own_and_gone_afterwards(here: Path) -> None:
    with own_folder() as one, own_folder() as other:
        assert one != other
        assert {path.name for path in one.iterdir()} == {LOCK}
        (one / "counter_0.db").write_bytes(b"x")
    assert list(here.iterdir()) == []


def test_one_in_use_is_left_alone_and_one_of_the_dead_is_not(here: Path) -> None:
    dead = here / f"{PREFIX}dead"
    dead.mkdir()
    (dead / LOCK).touch()
    (dead / "counter_0.db").write_bytes(b"x")
    with own_folder() as living:
        assert not dead.exists()
        sweep(here)
        assert living.exists()


def test_nothing_else_is_swept(here: Path) -> None:
    elsewhere = here / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / LOCK).touch()
    (here / f"{PREFIX}link").symlink_to(elsewhere)
    (here / f"{PREFIX}being-made").mkdir()
    sweep(here)
    assert (elsewhere / LOCK).exists()
    assert (here / f"{PREFIX}being-made").exists()


def test_a_child_that_ends_leaves_it_to_its_parent(here: Path) -> None:
    with own_folder() as folder:
        pid = os.fork()
        if pid == 0:
            try:
                sweep(here)
            finally:
                os._exit(0)
        os.waitpid(pid, 0)
        assert folder.exists()
