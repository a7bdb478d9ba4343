"""Secrets in files: where `<NAME>` would hold a secret, `<NAME>_FILE` may name the file that does.

That is how containers and systemd hand secrets over: what stands in a process's environment is inherited by
all that it starts, and shown by more tools than one thinks of.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from shared.errors import Misconfigured
from shared.settings import targets
from shared.settings.environment import Environment
from shared.settings.fields import fields_of
from shared.settings.file import A_FILE

SUFFIX = "_FILE"


def resolved(environ: Mapping[str, str], cwd: Path) -> Mapping[str, str]:
    """The same variables, each secret out of its file in its place. A relative path starts at `cwd`.

    Misconfigured where a file cannot be read or holds nothing, and where both ways are taken.
    """
    found = dict(environ)
    for name, path in environ.items():
        secret = name.removesuffix(SUFFIX)
        if secret == name or not path.strip() or not is_secret(secret):
            continue
        if environ.get(secret, "").strip():
            raise Misconfigured(f"{name}: {secret} is set too", hint="keep one of the two")
        found[secret] = content(name, cwd / path.strip())
    return found


def is_secret(name: str) -> bool:
    """Whether a variable of this name is ours and holds a secret."""
    return name in {field.name for field, _ in fields_of(Environment) if field.secret} or bool(
        targets.NAMED.fullmatch(name)
    )


def content(name: str, path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not text"
        raise Misconfigured(f"{name}: {str(path)!r} cannot be read: {reason}", hint=f"give {A_FILE}") from exc
    if not text:
        raise Misconfigured(f"{name}: {str(path)!r} is empty", hint=f"give {A_FILE}")
    return text
