"""Small disks: file systems in memory, of which a case fills as much as it wants. Only root may mount them.

The runner has a mount namespace of its own, so a mount is seen by nobody else and is gone with it.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.world import World

CLONE_NEWNS = 0x00020000
SIZE_BYTES = 512 * 1024 * 1024
LEFT_BYTES = 64 * 1024


class Disk:
    """A mounted one."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def fill(self) -> None:
        """Leave room for hardly anything."""
        room = os.statvfs(self.place)
        with (self.place / "ballast").open("wb") as ballast:
            os.posix_fallocate(ballast.fileno(), 0, room.f_bavail * room.f_frsize - LEFT_BYTES)

    def empty(self) -> None:
        (self.place / "ballast").unlink(missing_ok=True)


def may_mount() -> bool:
    return os.geteuid() == 0


def keep_mounts_private() -> None:
    """To be called once, by a process that has no threads."""
    if may_mount():
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNS) != 0:
            raise OSError(ctypes.get_errno(), "no mount namespace of our own")
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)


@contextmanager
def mounted(place: Path, *, size_bytes: int) -> Generator[Disk]:
    place.mkdir(exist_ok=True)
    options = ["-t", "tmpfs", "-o", f"size={size_bytes},mode=0777", "none"]
    subprocess.run(["mount", *options, str(place)], check=True)
    try:
        yield Disk(place)
    finally:
        subprocess.run(["umount", str(place)], check=True)


@contextmanager
def under_databases(world: World) -> Generator[Disk]:
    """One that holds all databases of the source, but not its log of changes."""
    base = world.source.data / "base"
    world.source.stop()
    with mounted(world.folder / "small", size_bytes=SIZE_BYTES) as disk:
        moved(base, disk.place / "base")
        base.symlink_to(disk.place / "base")
        world.source.start()
        try:
            yield disk
        finally:
            disk.empty()
            world.source.stop()
            base.unlink()
            moved(disk.place / "base", base)
            world.source.start()


def moved(from_: Path, to: Path) -> None:
    """With owners kept: the server's files are not ours."""
    owner = from_.stat()
    shutil.copytree(from_, to)
    for path in (to, *to.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid)
    shutil.rmtree(from_)
