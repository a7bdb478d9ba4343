"""What encryption costs: chunks made and read with it and without it, turn by turn in one process.

Processor time, so that whoever else uses the machine hardly matters. Storage is memory: what is compared is what a
worker computes, beside which a real storage costs waiting only. The peak memory is that of a process that has
loaded what a worker loads, and stores and reads chunks that do not compress, in a folder.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

from shared.domain.keys import Keys
from shared.domain.manifest import Chunk
from shared.operations.snapshots.chunking import CHUNK_BYTES
from shared.storage.base import Storage
from shared.storage.encryption import Encryption, new_identity
from shared.storage.folder import FolderStorage
from shared.storage.memory import MemoryStorage
from shared.storage.repository import Repository
from workers import memory, tasks

LEVEL = 1
KINDS = ("plain", "encrypted")
CHUNKS_FOR_PEAK = 8
LOADED = tasks
"""What a worker loads."""
WORDS = "one of these words that stand in many rows of a table and compress as such things do".split()


def rows(size: int, *, seed: int) -> bytes:
    """What a COPY of an ordinary table gives: numbers that grow, words, a few digits of chance."""
    chance = random.Random(seed)  # noqa: S311 - sample data
    lines, made = list[str](), 0
    while made < size:
        words = " ".join(chance.choices(WORDS, k=12))
        lines.append(f"{made}\t{chance.getrandbits(64):x}\t{words}\t2026-11-23 0{made % 10}:00:00+00\n")
        made += len(lines[-1])
    return "".join(lines).encode()[:size]


def spent(act: Callable[[], object]) -> float:
    before = time.process_time()
    act()
    return time.process_time() - before


def repository(kind: str, storage: Storage) -> Repository:
    if kind == "plain":
        return Repository(storage)
    identity, recipient = new_identity()
    _, escrow = new_identity()
    keys = Keys(recipients=(recipient, escrow), name_key="5e" * 32, identities=(identity,))
    return Repository(storage, encryption=Encryption.of(keys))


def stored(place: Repository, raw: bytes) -> Chunk:
    """As a worker does it: hash, name, compress, encrypt, put."""
    sha256 = hashlib.sha256(raw).hexdigest()
    place.encryption.name_of(sha256)
    sealed = place.seal(raw, sha256=sha256, level=LEVEL)
    place.put_chunk("bench", sealed)
    return sealed.chunk


def store_all(place: Repository, raws: list[bytes], made: list[Chunk]) -> None:
    made.extend(stored(place, raw) for raw in raws)


def read(place: Repository, chunks: list[Chunk]) -> None:
    for chunk in chunks:
        for _ in place.read_chunk("bench", chunk):
            pass


def measure(rounds: int, chunks: int) -> dict[str, float]:
    places = {kind: repository(kind, MemoryStorage()) for kind in KINDS}
    raws = [rows(CHUNK_BYTES, seed=number) for number in range(chunks)]
    took: dict[str, list[float]] = {f"{kind}_{way}": [] for way in ("put", "get") for kind in KINDS}
    sizes = dict[str, int]()
    for _ in range(rounds):
        for kind, place in places.items():
            made = list[Chunk]()
            took[f"{kind}_put"].append(spent(partial(store_all, place, raws, made)))
            took[f"{kind}_get"].append(spent(partial(read, place, made)))
            sizes[kind] = sum(chunk.stored_bytes for chunk in made)
    mib = chunks * CHUNK_BYTES / 2**20
    return {
        "raw_mib": mib,
        **{f"{name}_mib_per_cpu_second": round(mib / median(seconds), 1) for name, seconds in took.items()},
        "put_ratio": ratio(took, "put"),
        "get_ratio": ratio(took, "get"),
        "size_ratio": round(sizes["encrypted"] / sizes["plain"], 5),
        **{f"{kind}_peak_rss_mib": peak_of(kind) for kind in KINDS},
    }


def ratio(took: dict[str, list[float]], way: str) -> float:
    """Encrypted by plain, round by round."""
    pairs = zip(took[f"encrypted_{way}"], took[f"plain_{way}"], strict=True)
    return round(median(one / other for one, other in pairs), 3)


def peak(kind: str) -> float:
    """Of this process, which has done nothing else, in MiB."""
    memory.give_back_freed()
    with tempfile.TemporaryDirectory() as folder:
        place = repository(kind, FolderStorage(Path(folder)))
        chunks = [stored(place, os.urandom(CHUNK_BYTES)) for _ in range(CHUNKS_FOR_PEAK)]
        read(place, chunks)
    return high_water_mark()


def high_water_mark() -> float:
    """As the kernel has it: `getrusage` counts in what a process was forked from."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    [kib] = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return round(int(kib) / 1024, 1)


def peak_of(kind: str) -> float:
    argv = [sys.executable, "-m", "benchmarks.encryption", "--peak", kind]
    return float(subprocess.run(argv, capture_output=True, check=True).stdout)


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m benchmarks.encryption", description=__doc__)
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--chunks", type=int, default=4)
    options.add_argument("--peak", choices=KINDS, help="only the peak memory of one kind")
    given = options.parse_args()
    found = peak(given.peak) if given.peak else measure(given.rounds, given.chunks)
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
