"""The keys that settings lead to. All that is secret stands in files; a relative path starts where it is named."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.domain.keys import Keys
from shared.errors import Misconfigured
from shared.settings.environment import Environment
from shared.settings.file import File

A_NAME_KEY = "give the path of a file of 64 hex digits, as `snapfleet keys create` writes it"
AN_IDENTITY = "give the path of a file as `snapfleet keys create` or age-keygen writes it"
A_SIGNING_KEY = "give the path of an Ed25519 private key in PEM, as `snapfleet keys create` writes it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A file that a setting names, and how that setting is called."""

    label: str
    path: Path


def read(said: Environment, file: File, *, cwd: Path, folder: Path) -> Keys:
    """What both amount to; a variable that is set wins. Misconfigured names the setting, never what is secret."""
    declared, signing = file.encryption, file.signing
    recipients = declared.recipients if said.encryption_recipients is None else said.encryption_recipients
    name_key = one(
        "encryption_name_key_file", said.encryption_name_key_file, declared.name_key_file, cwd, folder
    )
    identities = several(
        "encryption_identity_files", said.encryption_identity_files, declared.identity_files, cwd, folder
    )
    signing_key = one("signing_key_file", said.signing_key_file, signing.key_file, cwd, folder)
    public = signing.public_keys if said.signing_public_keys is None else said.signing_public_keys
    required = signing.required if said.signing_required is None else said.signing_required
    if recipients and name_key is None:
        raise Misconfigured(
            "encryption.name_key_file: is required where encryption.recipients names any", hint=A_NAME_KEY
        )
    if required and not public and signing_key is None:
        raise Misconfigured(
            "signing.required: no key is known that could have signed anything",
            hint="give signing.public_keys, or signing.key_file",
        )
    return Keys(
        recipients=recipients,
        name_key=None if name_key is None else hex_digits(name_key),
        identities=tuple(line for place in identities for line in identity_lines(place)),
        signing_key=None if signing_key is None else pem(signing_key),
        public_keys=public,
        signing_required=required,
    )


def one(variable: str, said: str | None, declared: str | None, cwd: Path, folder: Path) -> Place | None:
    if said is not None:
        return Place(label=variable.upper(), path=cwd / said)
    return None if declared is None else Place(label=dotted(variable), path=folder / declared)


def several(
    variable: str, said: Sequence[str] | None, declared: Sequence[str], cwd: Path, folder: Path
) -> list[Place]:
    if said is not None:
        return [Place(label=variable.upper(), path=cwd / each) for each in said]
    return [Place(label=dotted(variable), path=folder / each) for each in declared]


def dotted(variable: str) -> str:
    return variable.replace("_", ".", 1)


def text_of(place: Place, hint: str) -> str:
    try:
        text = place.path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not text"
        raise Misconfigured(
            f"{place.label}: {str(place.path)!r} cannot be read: {reason}", hint=hint
        ) from None
    if not text:
        raise Misconfigured(f"{place.label}: {str(place.path)!r} is empty", hint=hint)
    return text


def hex_digits(place: Place) -> str:
    text = text_of(place, A_NAME_KEY)
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise Misconfigured(
            f"{place.label}: {str(place.path)!r} does not hold 64 hex digits", hint=A_NAME_KEY
        )
    return text


def identity_lines(place: Place) -> list[str]:
    text = text_of(place, AN_IDENTITY)
    if text.startswith(("age-encryption.org/", "-----BEGIN AGE ENCRYPTED FILE-----")):
        raise Misconfigured(
            f"{place.label}: {str(place.path)!r} is protected by a passphrase, which nobody is there to type",
            hint="give it decrypted, where only the user of this process can read it",
        )
    lines = [line.strip() for line in text.splitlines()]
    found = [line for line in lines if line and not line.startswith("#")]
    if not found or not all(re.fullmatch(r"AGE-SECRET-KEY-1[0-9A-Z]+", line) for line in found):
        raise Misconfigured(
            f"{place.label}: {str(place.path)!r} holds something else than age identities", hint=AN_IDENTITY
        )
    return found


def pem(place: Place) -> str:
    text = text_of(place, A_SIGNING_KEY)
    if not text.startswith("-----BEGIN PRIVATE KEY-----"):
        raise Misconfigured(
            f"{place.label}: {str(place.path)!r} holds no private key in PEM without a passphrase",
            hint=A_SIGNING_KEY,
        )
    return text + "\n"
