"""Settings that lead to keys: what they come to, and what is said of wrong ones without telling a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.domain.keys import NO_KEYS, Keys
from shared.errors import Misconfigured
from shared.operations.composition import compose
from tests.unit.given_keys import (
    ESCROW,
    FLEETS,
    NAME_KEY,
    OTHER_PUBLIC_KEY,
    PUBLIC_KEY,
    SIGNING_KEY,
)
from tests.unit.given_settings import TOML, load

POSTGRES = "postgresql://snap@db.example/catalog"
FILES = {
    "name.key": f"{NAME_KEY}\n",
    "identity.txt": f"# created: today\n# public key: {FLEETS.recipient}\n{FLEETS.identity}\n\n",
    "two.txt": f"{FLEETS.identity}\n{ESCROW.identity}\n",
    "signing.pem": SIGNING_KEY,
}
ALL = f"""
{TOML}
[encryption]
recipients = ["{FLEETS.recipient}", "{ESCROW.recipient}"]
name_key_file = "name.key"
identity_files = ["identity.txt"]

[signing]
key_file = "signing.pem"
public_keys = ["{OTHER_PUBLIC_KEY}"]
required = true
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_without_any_nothing_is_encrypted_or_signed(tmp_path: Path) -> None:
    assert load(tmp_path).keys == NO_KEYS


def test_the_file_leads_to_all_of_them(folder: Path) -> None:
    settings = load(folder, ALL)
    assert (
        settings.keys
        == settings.values()["keys"]
        == Keys(
            recipients=(FLEETS.recipient, ESCROW.recipient),
            name_key=NAME_KEY,
            identities=(FLEETS.identity,),
            signing_key=SIGNING_KEY,
            public_keys=(OTHER_PUBLIC_KEY,),
            signing_required=True,
        )
    )


def test_a_fleet_is_composed_with_them(folder: Path) -> None:
    repository = compose(**load(folder, ALL, CATALOG_URL=POSTGRES).values()).repository
    assert repository.encryption.keys == tuple(sorted((FLEETS.id, ESCROW.id)))
    assert repository.encryption.held == (FLEETS.id,)
    assert (repository.signing.can_sign, repository.signing.required) == (True, True)
    assert len(repository.signing.known) == 2


def test_a_mistyped_recipient_is_found_when_the_fleet_is_composed(folder: Path) -> None:
    mistyped = FLEETS.recipient[:-1] + ("q" if FLEETS.recipient[-1] != "q" else "p")
    settings = load(folder, ALL, ENCRYPTION_RECIPIENTS=mistyped, CATALOG_URL=POSTGRES)
    with pytest.raises(Misconfigured, match="is no age public key"):
        compose(**settings.values())


def test_variables_win_over_the_file_that_all_hosts_share(folder: Path) -> None:
    keys = load(
        folder,
        ALL,
        ENCRYPTION_RECIPIENTS=f" {ESCROW.recipient} , ",
        ENCRYPTION_NAME_KEY_FILE=str(folder / "name.key"),
        ENCRYPTION_IDENTITY_FILES="two.txt, identity.txt",
        SIGNING_KEY_FILE="signing.pem",
        SIGNING_PUBLIC_KEYS=f"{PUBLIC_KEY},{OTHER_PUBLIC_KEY}",
        SIGNING_REQUIRED="false",
    ).keys
    assert keys.recipients == (ESCROW.recipient,)
    assert keys.identities == (FLEETS.identity, ESCROW.identity, FLEETS.identity)
    assert keys.public_keys == (PUBLIC_KEY, OTHER_PUBLIC_KEY)
    assert keys.signing_required is False


def test_nothing_secret_shows_in_a_repr(folder: Path) -> None:
    told = repr(load(folder, ALL))
    assert FLEETS.recipient in told
    assert not any(secret in told for secret in (NAME_KEY, FLEETS.identity, SIGNING_KEY[40:70]))


WRONG = {
    "recipients, and no key for names": (
        {"ENCRYPTION_RECIPIENTS": FLEETS.recipient},
        "encryption.name_key_file",
    ),
    "a recipient cut short": ({"ENCRYPTION_RECIPIENTS": FLEETS.recipient[:-1]}, "ENCRYPTION_RECIPIENTS"),
    "an identity for a recipient": ({"ENCRYPTION_RECIPIENTS": FLEETS.identity}, "ENCRYPTION_RECIPIENTS"),
    "a file that is not there": ({"ENCRYPTION_IDENTITY_FILES": "gone.txt"}, "ENCRYPTION_IDENTITY_FILES"),
    "a folder": ({"ENCRYPTION_IDENTITY_FILES": "."}, "ENCRYPTION_IDENTITY_FILES"),
    "an identity file with something else": (
        {"ENCRYPTION_IDENTITY_FILES": "signing.pem"},
        "ENCRYPTION_IDENTITY_FILES",
    ),
    "an identity under a passphrase": (
        {"ENCRYPTION_IDENTITY_FILES": "locked.txt"},
        "ENCRYPTION_IDENTITY_FILES",
    ),
    "an empty identity file": ({"ENCRYPTION_IDENTITY_FILES": "empty"}, "ENCRYPTION_IDENTITY_FILES"),
    "a key for names that is none": (
        {"ENCRYPTION_NAME_KEY_FILE": "identity.txt"},
        "ENCRYPTION_NAME_KEY_FILE",
    ),
    "a signing key that is none": ({"SIGNING_KEY_FILE": "identity.txt"}, "SIGNING_KEY_FILE"),
    "a public key that is none": ({"SIGNING_PUBLIC_KEYS": PUBLIC_KEY[:-2]}, "SIGNING_PUBLIC_KEYS"),
    "a private key for a public one": ({"SIGNING_PUBLIC_KEYS": SIGNING_KEY}, "SIGNING_PUBLIC_KEYS"),
    "signatures required of nobody": ({"SIGNING_REQUIRED": "true"}, "signing.required"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_named_and_no_secret_is_told(folder: Path, what: str) -> None:
    (folder / "locked.txt").write_text("age-encryption.org/v1\n-> scrypt abc 18\n")
    (folder / "empty").write_text("\n")
    changes, named = WRONG[what]
    with pytest.raises(Misconfigured) as refused:
        load(folder, **changes)
    assert refused.value.message.startswith(named)
    assert refused.value.hint
    told = f"{refused.value} {refused.value.hint} {refused.value.__cause__!r} {refused.value.__context__!r}"
    secrets = (NAME_KEY, FLEETS.identity, FLEETS.identity[20:40], SIGNING_KEY.splitlines()[1])
    assert not any(secret in told for secret in secrets)
