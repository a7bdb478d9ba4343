"""Other servers to restore into: every variable of this form holds the URL of one, and is called by its name."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import SecretStr, TypeAdapter, ValidationError

from shared.errors import Misconfigured
from shared.settings.environment import A_DSN
from shared.settings.fields import secret_fault
from shared.settings.values import Dsn

FORM = "SNAPFLEET_TARGET_<NAME>_URL"
MEANING = (
    "Another server to restore into: `snapfleet restore --to NAME --target-url-env` takes the name of this"
    " variable. Only the name travels, so every worker needs it too."
)

NAMED = re.compile(r"SNAPFLEET_TARGET_[A-Z0-9_]+_URL")
URL: TypeAdapter[SecretStr] = TypeAdapter(Dsn)


def read(environ: Mapping[str, str], problems: list[Misconfigured]) -> dict[str, SecretStr]:
    """The URLs by the names of their variables; adds to `problems` those that are none."""
    found: dict[str, SecretStr] = {}
    for name in sorted(filter(NAMED.fullmatch, environ)):
        text = environ[name].strip()
        if not text:
            continue
        try:
            found[name] = URL.validate_python(text)
        except ValidationError as exc:
            problems.append(Misconfigured(f"{name}: {secret_fault(exc)}", hint=f"give {A_DSN}"))
    return found
