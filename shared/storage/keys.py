"""Which keys are keys: the same in every storage, so that what one takes the others take too."""

from __future__ import annotations

from unicodedata import category

from shared.errors import Refused

MAX_KEY_BYTES = 900  # S3 allows 1,024 with the prefix
MAX_SEGMENT_BYTES = 255  # a file name's limit
UNWRITABLE = {"Cc", "Cs"}  # controls, and surrogates that stand alone
SCRATCH = ".snapfleet-tmp"  # the folder storage keeps unfinished files here
PROBES = ".snapfleet-probe"


def checked(key: str) -> str:
    """The key itself; Refused(bad_key) if it could leave its folder or not be stored everywhere."""
    flaw = _flaw(key)
    if flaw is not None:
        raise Refused(f"{key!r} is no object key: {flaw}", code="bad_key")
    return key


def _flaw(key: str) -> str | None:
    segments = key.split("/")
    sizes = [len(segment.encode(errors="surrogatepass")) for segment in segments]
    if not all(sizes):
        return "a segment is empty"
    if any(segment in {".", ".."} for segment in segments):
        return "a segment is a dot or two"
    if segments[0] == SCRATCH:
        return f"{SCRATCH} is reserved"
    if any(category(character) in UNWRITABLE for character in key):
        return "it holds a control character or half of one"
    if max(sizes) > MAX_SEGMENT_BYTES or sum(sizes) + len(sizes) - 1 > MAX_KEY_BYTES:
        return "it is too long"
    return None
