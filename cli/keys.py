"""`snapfleet keys …`: make the keys that snapshots are encrypted and signed with, and see which ones are used."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from cli import output
from cli.options import Json
from shared.errors import Refused
from shared.operations.trust import keyfiles
from shared.operations.trust.keyfiles import KeyFile
from shared.settings import Settings
from shared.storage.encryption import Encryption
from shared.storage.signing import Signing

NAME_KEY_BYTES = 32

app = typer.Typer(help="Make the keys that snapshots are encrypted and signed with, and see which are used.")

Folder = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="Where the files go; made where it is not there.")
]


@app.command()
def create(folder: Folder, as_json: Json = False) -> None:
    """Make an identity, a key for names and a signing key, each in a file that only you can read.

    Nothing is written over, and no secret is shown. What is printed is what the configuration needs.
    """
    folder = folder.absolute()
    keyfiles.make_folder(folder)
    keyfiles.refuse_present(folder)
    identity = keyfiles.new_identity(folder, now=datetime.now(UTC))
    name_key = keyfiles.new_name_key(folder, secret=secrets.token_bytes(NAME_KEY_BYTES))
    signing = keyfiles.new_signing_key(folder)
    if as_json:
        made = {"identity": record(identity), "signing_key": record(signing), "name_key_file": str(name_key)}
        output.as_json(made)
        return
    section(
        "encryption",
        recipients=[identity.public],
        name_key_file=str(name_key),
        identity_files=[str(identity.path)],
    )
    output.say()
    section("signing", key_file=str(signing.path), public_keys=[signing.public], required=True)
    output.note(f"who has lost {identity.path.name} has lost every snapshot: keep a copy far from here, or")
    output.note("make a second identity there, and add its recipient")
    output.note("leave identity_files out where nothing is restored, and key_file where nothing is written")


@app.command()
def rotate(
    folder: Folder,
    signing: Annotated[
        bool, typer.Option("--signing", help="A new signing key, not a new identity.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a new key beside the old one, which stays: what was encrypted for it still needs it."""
    folder = folder.absolute()
    former = keyfiles.identities(folder)
    if not former:
        raise Refused(
            f"{str(folder)!r} holds no keys to rotate",
            code="keys_unknown",
            hint="`snapfleet keys create` makes the first ones",
        )
    made = (
        keyfiles.new_signing_key(folder) if signing else keyfiles.new_identity(folder, now=datetime.now(UTC))
    )
    if as_json:
        output.as_json({"signing_key" if signing else "identity": record(made)})
    elif signing:
        section("signing", key_file=str(made.path), public_keys=[made.public])
        output.note("keep the former public keys in public_keys: what they have signed stays right")
    else:
        files = [str(path) for path in [*former, made.path]]
        section("encryption", recipients=[made.public], identity_files=files)
        output.note(
            "keep the recipients of your other places beside the new one; the next snapshot stores all anew"
        )
        output.note("`snapfleet check` tells which snapshots still need which key")


@app.command()
def show(as_json: Json = False) -> None:
    """Show which keys this machine's settings hold, by their ids and public halves."""
    given = Settings.from_environment().keys
    encryption, signing = Encryption.of(given), Signing.of(given)
    if as_json:
        output.as_json(
            {
                "encrypts_for": list(encryption.keys),
                "recipients": list(given.recipients),
                "opens": list(encryption.held),
                "name_key": given.name_key is not None,
                "signs_with": signing.key,
                "knows": list(signing.known),
                "signing_required": signing.required,
            }
        )
        return
    output.facts(
        {
            "encrypts for": ", ".join(encryption.keys) or "nobody: snapshots are stored as they are",
            "opens": ", ".join(encryption.held) or "nothing that is encrypted",
            "name key": "set" if given.name_key is not None else "none",
            "signs with": signing.key or "nothing",
            "knows signatures of": ", ".join(signing.known) or "nobody",
            "signing required": "yes" if signing.required else "no",
        }
    )


def record(file: KeyFile) -> Mapping[str, str]:
    return {"id": file.id, "file": str(file.path), "public": file.public}


def section(title: str, **settings: str | bool | Sequence[str]) -> None:
    """Of the configuration file, as it stands there."""
    output.say(f"[{title}]")
    for name, value in settings.items():
        output.say(f"{name} = {json.dumps(value, ensure_ascii=False)}")
