"""The sections of the configuration that say for whom snapshots are encrypted, and who vouches for them."""

from __future__ import annotations

from shared.settings.environment import A_PUBLIC_KEY, A_RECIPIENT
from shared.settings.fields import Declared, setting
from shared.settings.values import Paths, PublicKeys, Recipients, SecretFile


class DeclaredEncryption(Declared):
    """For whom snapshots are encrypted, and with what they are opened."""

    recipients: Recipients = setting(
        (),
        meaning="age public keys. Each alone opens what is stored from now on: name the fleet's own, and one whose identity lies in a safe. Without any, nothing is encrypted.",
        right=f'a list of {A_RECIPIENT}: ["age1…", "age1…"]',
    )
    name_key_file: SecretFile | None = setting(
        None,
        meaning="The file of the key that chunks are named with: what they hold can then not be told, or guessed, from their names. The same for every process that takes snapshots. A relative path starts at the configuration file.",
        right="the path of a file of 64 hex digits",
        otherwise="required with `recipients`",
    )
    identity_files: Paths = setting(
        (),
        meaning="Files of age identities: only for processes that restore, prove or plan it. Those of retired keys too, as long as snapshots need them.",
        right='a list of paths: ["secrets/identity.txt"]',
    )


class DeclaredSigning(Declared):
    """With what manifests are signed, and whose signatures count."""

    key_file: SecretFile | None = setting(
        None,
        meaning="The file of the Ed25519 private key: only for processes that take or prune snapshots.",
        right="the path of a file in PEM, without a passphrase",
    )
    public_keys: PublicKeys = setting(
        (),
        meaning="Ed25519 public keys whose signatures count; that of `key_file` does in any case.",
        right=f"a list of {A_PUBLIC_KEY}",
    )
    required: bool = setting(
        False,
        meaning="Whether a snapshot is refused that nobody known has signed, or named in the signed list beside them.",
        right="true or false",
    )
