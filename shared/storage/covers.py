"""Manifests as bytes and back, with whatever stands around them: a cover, encryption, a signature."""

from __future__ import annotations

from base64 import b64decode, b64encode

from shared.domain import cover as covers
from shared.domain import manifest
from shared.domain.cover import Cover, Link
from shared.domain.manifest import DAMAGED_HINT, Manifest
from shared.errors import Damaged
from shared.storage.encryption import Encryption
from shared.storage.frames import frame_of, raw_of
from shared.storage.signing import Signing

LEVEL = 3
MAX_BYTES = 1024**3
"""Several times the manifest of the largest database: who can encrypt for us could hide a bomb in one."""


def encode(
    sealed: Manifest,
    *,
    previous: Link | None,
    encryption: Encryption,
    signing: Signing,
) -> bytes:
    """As it is stored: with a cover where it is encrypted or signed, else as it always was."""
    if not encryption.is_on and not signing.can_sign:
        return manifest.encode(sealed)
    plain = manifest.encode(sealed)
    made = Cover(
        id=sealed.id,
        database=sealed.database,
        previous=previous,
        keys=encryption.keys,
        contents_id=encryption.contents_id(plain) if encryption.is_on else None,
        contents=b64encode(encryption.encrypt(frame_of(plain, level=LEVEL))).decode()
        if encryption.is_on
        else sealed,
    )
    return signing.sign(covers.encode(made))


def decode(body: bytes, *, sha256: str | None, encryption: Encryption) -> Manifest:
    """Of whom it is, and who has signed it, the caller looks at. Refused(identity_missing) and Damaged."""
    if not covers.has_cover(body):
        return manifest.decode(body, sha256=sha256)
    manifest.refuse_other(body, sha256=sha256)
    manifest.refuse_newer(body, up_to=covers.FORMAT)
    found = covers.decode(body)
    sealed = opened(found, encryption) if isinstance(found.contents, str) else found.contents
    if (sealed.database, sealed.id) != (found.database, found.id):
        raise damaged(f"its cover is of {found.database}/{found.id}, its contents are of another")
    return sealed


def opened(found: Cover, encryption: Encryption) -> Manifest:
    what = f"the manifest of snapshot {found.id}"
    encryption.refuse_unopened(found.keys, f"snapshot {found.id}")
    try:
        stored = b64decode(str(found.contents), validate=True)
        frame = encryption.decrypt(stored, what=what, code="manifest_damaged")
        plain = raw_of(frame, at_most=MAX_BYTES)
    except ValueError as exc:
        raise damaged(f"{what} cannot be read") from exc
    return manifest.decode(plain, sha256=None)


def damaged(why: str) -> Damaged:
    return Damaged(why, code="manifest_damaged", hint=DAMAGED_HINT)
