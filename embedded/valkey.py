"""A Valkey server (the Redis protocol) on 127.0.0.1, append-only, which never evicts a key.

Its password stands in a file of ours: argv is open to every user of the machine.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from embedded import binaries
from embedded.process import Child, clean_environment
from embedded.server import Server

_ANSWER_SECONDS = 1.0


class Valkey(Server):
    """One server. `persistent=False` forgets everything when it ends: for fault tests."""

    name = "Valkey"
    scheme = "redis"

    def __init__(self, folder: Path, *, port: int | None = None, persistent: bool = True) -> None:
        super().__init__(folder, port=port)
        self._persistent = persistent

    @property
    def password(self) -> str:
        return self.secret("password")

    @property
    def url(self) -> str:
        """Database 0, the password in it."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def _launch(self) -> Child:
        self.data.mkdir(mode=0o700, exist_ok=True)
        file = self.folder / "valkey.conf"
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as configuration:
            configuration.write(self._configuration())
        return Child(
            "valkey",
            [str(binaries.valkey_server()), str(file)],
            environment=clean_environment(self.folder),
            log=self.log,
            folder=self.data,
            inherit=(self._lock.descriptor,),
        )

    def _configuration(self) -> str:
        return "\n".join(
            (
                "bind 127.0.0.1",
                f"port {self.port}",
                f"requirepass {self.password}",
                f"appendonly {'yes' if self._persistent else 'no'}",
                'save ""',
                "maxmemory-policy noeviction",
                "",
            )
        )

    def _serves(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), _ANSWER_SECONDS) as connection:
                connection.sendall(f"AUTH {self.password}\r\nPING\r\nQUIT\r\n".encode())
                answer = connection.makefile("rb").read()
        except OSError:
            return False
        return b"+PONG" in answer
