"""A signature within the JSON that it signs: the last field, on lines of its own.

    {                                  ┐
     "kind": …,                        │ these bytes are signed, as they are stored
     …                                 ┘
    ,
     "signature": {"key": "…", "ed25519": "…"}
    }

So nobody has to agree on how JSON is written, and a reader needs no JSON to check it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

END = b"\n}\n"
MARK = b',\n "signature": {'
TAIL = re.compile(
    rb',\n "signature": \{"key": "([0-9a-f]{16})", "ed25519": "([A-Za-z0-9+/]{86}==)"\}\n\}\n', re.ASCII
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A document taken apart. `value` is in base64."""

    signed: bytes
    key: str
    value: str


def payload(document: bytes) -> bytes:
    """What of an unsigned document is signed. ValueError where it does not end as ours do."""
    if not document.endswith(END):
        raise ValueError("it is no JSON of ours")
    return document.removesuffix(END)


def join(signed: Signed) -> bytes:
    tail = f',\n "signature": {{"key": "{signed.key}", "ed25519": "{signed.value}"}}\n}}\n'
    return signed.signed + tail.encode()


def split(document: bytes) -> Signed | None:
    """None where there is no signature in the one place where it may stand."""
    start = document.rfind(MARK)
    match = TAIL.fullmatch(document, start) if start >= 0 else None
    if match is None:
        return None
    return Signed(signed=document[:start], key=match[1].decode(), value=match[2].decode())
