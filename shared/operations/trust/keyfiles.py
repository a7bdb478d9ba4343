"""Files of new keys: each made once, readable by its owner alone, and never written over."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from shared.domain.keys import id_of
from shared.errors import Refused
from shared.storage import encryption
from shared.storage.ed25519 import PrivateKey

NAME_KEY = "name.key"
IDENTITIES, SIGNING_KEYS = "identity-*.txt", "signing-*.pem"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFile:
    """A file with a secret in it; `public` is what others may know, and need."""

    path: Path
    id: str
    public: str


def new_identity(folder: Path, *, now: datetime) -> KeyFile:
    secret, recipient = encryption.new_identity()
    made = id_of(recipient.encode())
    path = folder / IDENTITIES.replace("*", made)
    write(path, f"# created: {now:%Y-%m-%dT%H:%M:%SZ}\n# public key: {recipient}\n{secret}\n")
    return KeyFile(path=path, id=made, public=recipient)


def new_signing_key(folder: Path) -> KeyFile:
    made = PrivateKey.new()
    path = folder / SIGNING_KEYS.replace("*", made.public.id)
    write(path, made.pem())
    return KeyFile(path=path, id=made.public.id, public=made.public.line)


def new_name_key(folder: Path, *, secret: bytes) -> Path:
    path = folder / NAME_KEY
    write(path, f"{secret.hex()}\n")
    return path


def identities(folder: Path) -> list[Path]:
    """The files of identities that were made there, the oldest first."""
    return sorted(folder.glob(IDENTITIES), key=lambda path: (path.stat().st_mtime_ns, path.name))


def refuse_present(folder: Path) -> None:
    """Refused where there are keys already."""
    there = [*folder.glob(IDENTITIES), *folder.glob(SIGNING_KEYS), *folder.glob(NAME_KEY)]
    if there:
        raise Refused(
            f"{str(folder)!r} holds keys already: {min(there).name}",
            code="keys_exist",
            hint="`snapfleet keys rotate` makes new ones beside them; or name another folder",
        )


def make_folder(folder: Path) -> None:
    """For its owner alone, where it is made here."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise unwritable(folder, exc) from exc


def write(path: Path, text: str) -> None:
    """Whole and on the disk, or not there. Refused(keys_exist) where there is such a file."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as exc:
        raise Refused(f"{str(path)!r} exists, and is not written over", code="keys_exist") from exc
    except OSError as exc:
        raise unwritable(path, exc) from exc
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as exc:
        path.unlink()
        raise unwritable(path, exc) from exc


def unwritable(path: Path, exc: OSError) -> Refused:
    return Refused(
        f"{str(path)!r} cannot be written: {exc.strerror}",
        code="keys_not_written",
        hint="name a folder that this user may write to",
    )
