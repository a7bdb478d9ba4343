"""A real server with the users of deploy/redis/users.acl, each with a password of its own."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from urllib.parse import quote

from embedded.valkey import Valkey

FILE = Path(__file__).parents[2] / "deploy" / "redis" / "users.acl"
USERS = tuple(re.findall(r"^user (\w+) on ", FILE.read_text("utf-8"), re.MULTILINE))


class GuardedValkey(Valkey):
    """The server itself reads the file. `url` is for whoever may do everything, whom the file knows not."""

    def url_of(self, user: str) -> str:
        return f"redis://{user}:{quote(self.secret(user), safe='')}@127.0.0.1:{self.port}/0"

    def _configuration(self) -> str:
        users = self.folder / "users.acl"
        users.touch(mode=0o600)
        users.write_text(self._filled_in())
        lines = [line for line in super()._configuration().splitlines() if "requirepass" not in line]
        return "\n".join([*lines, f"aclfile {users}", ""])

    def _filled_in(self) -> str:
        """As an operator fills it in; but for the default user, whom tests look on through."""
        text = re.sub(
            r"<(\w+)>",
            lambda found: f"#{hashlib.sha256(self.secret(found[1]).encode()).hexdigest()}",
            "\n".join(line for line in FILE.read_text("utf-8").splitlines() if not line.startswith("#")),
        )
        return text.replace("user default off", f"user default on >{self.password} ~* &* +@all") + "\n"
