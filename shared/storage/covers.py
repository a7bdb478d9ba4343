"""Manifests as bytes and back, with whatever stands around them.

Stored is one zstd frame of the text, or the text itself where an earlier release has written it. The text is JSON: the
manifest, or a cover around it where it is encrypted or signed.
"""

from __future__ import annotations

from base64 import b64decode, b64encode

from shared.domain import cover as covers
from shared.domain import manifest
from shared.domain.cover import Cover, Link, Outline
from shared.domain.manifest import DAMAGED_HINT, Manifest
from shared.errors import Damaged, Refused
from shared.storage.encryption import Encryption
from shared.storage.frames import frame_of, is_frame, raw_of
from shared.storage.signing import Signing

LEVEL = 3
MAX_BYTES = 1024**3
"""Several times the manifest of the largest database: who can write to the repository could hide a bomb in one."""


def encode(
    sealed: Manifest,
    *,
    previous: Link | None,
    encryption: Encryption,
    signing: Signing,
) -> bytes:
    """As it is stored. Refused(manifest_too_large) where it could not be read back."""
    plain = manifest.encode(sealed)
    if not encryption.is_on and not signing.can_sign:
        return packed(plain)
    made = Cover(
        id=sealed.id,
        database=sealed.database,
        previous=previous,
        keys=encryption.keys,
        contents_id=encryption.contents_id(plain) if encryption.is_on else None,
        contents=b64encode(encryption.encrypt(packed(plain))).decode() if encryption.is_on else sealed,
    )
    return packed(signing.sign(covers.encode(made)))


def packed(text: bytes, *, at_most: int = MAX_BYTES) -> bytes:
    """In one frame. Refused(manifest_too_large) of what would be taken for a bomb when it is needed."""
    if len(text) > at_most:
        raise Refused(
            f"the manifest has {len(text):,} bytes, and no more than {at_most:,} are ever read",
            code="manifest_too_large",
            hint="divide the database: its parts, with their columns' names, are too many for one",
        )
    return frame_of(text, level=LEVEL)


def unpacked(stored: bytes, *, at_most: int = MAX_BYTES) -> bytes:
    """The text of what is stored; Damaged(manifest_damaged). It need not be that of a manifest."""
    if not is_frame(stored):
        return stored
    try:
        return raw_of(stored, at_most=at_most)
    except ValueError as exc:
        raise damaged(f"the manifest cannot be read: {exc}") from exc


def outline(stored: bytes) -> Outline | None:
    """What anybody can read of it; None of one without a cover. Damaged."""
    return covers.outline(unpacked(stored))


def decode(text: bytes, *, encryption: Encryption) -> Manifest:
    """Of whom it is, and who has signed it, the caller looks at. Refused(identity_missing) and Damaged."""
    if not covers.has_cover(text):
        return manifest.decode(text)
    manifest.refuse_newer(text, up_to=covers.FORMAT)
    found = covers.decode(text)
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
    return manifest.decode(plain)


def damaged(why: str) -> Damaged:
    return Damaged(why, code="manifest_damaged", hint=DAMAGED_HINT)
