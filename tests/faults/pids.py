"""What the kernel says of a process, by its number."""

from __future__ import annotations

from pathlib import Path


def stopped(pid: int) -> bool:
    """Whether a process stands still."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def pid_of(owner: str) -> int:
    """The process behind the owner of a lease: `<where>:<process>:<claim>`."""
    return int(owner.split(":")[-2])


def is_gone(pid: int) -> bool:
    """Whether a process is dead, waited for or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True
