"""What a server's folder remembers between starts: its ports and its passwords.

    <folder>/remembered.json     0600   {"ports": {"server": 21734}, "secrets": {"password": "…"}}

So a server that is started again has the URL it had before.
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

from embedded import ports


class Remembered:
    """The memory of one folder, which it creates for its owner alone. One process at a time uses it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = folder / "remembered.json"
        self._ports: dict[str, int] = {}
        self._secrets: dict[str, str] = {}
        if self._file.exists():
            content = json.loads(self._file.read_text())
            self._ports, self._secrets = content["ports"], content["secrets"]

    def secret(self, name: str) -> str:
        """A random secret, the same at every start."""
        if name not in self._secrets:
            self._secrets[name] = secrets.token_urlsafe(24)
            self._save()
        return self._secrets[name]

    def ports(self, *names: str, wanted: int | None = None) -> tuple[int, ...]:
        """A port for each name: the ones of last time where all of them are still free, else new ones.

        `wanted` fixes the first, whether it is free or not.
        """
        known = tuple(self._ports.get(name, 0) for name in names)
        chosen = known if all(ports.is_free(port) for port in known) else ports.free(len(names))
        if wanted is not None:
            chosen = (wanted, *chosen[1:])
        if chosen != known:
            self._ports.update(zip(names, chosen, strict=True))
            self._save()
        return chosen

    def _save(self) -> None:
        fresh = self._file.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump({"ports": self._ports, "secrets": self._secrets}, file, indent=2)
        fresh.replace(self._file)
