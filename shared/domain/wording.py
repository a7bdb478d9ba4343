"""Numbers, and what somebody typed, in sentences."""

from __future__ import annotations

SHOWN_CHARACTERS = 80


def counted(count: int, thing: str) -> str:
    """`1 row`, `2,000 rows`."""
    return f"{count:,} {thing}" + ("" if count == 1 else "s")


def progress(*, done_parts: int, parts: int, done_bytes: int, expected_bytes: int) -> str:
    """`37 % · 1.2 of 3.4 GB · 3 of 8 parts`; nothing of a step without parts that has moved nothing."""
    known = []
    if expected_bytes:
        known.append(f"{min(99, 100 * done_bytes // expected_bytes)} %")
    if done_bytes or expected_bytes:
        of = f" of {gigabytes(max(done_bytes, expected_bytes))}" if expected_bytes else ""
        known.append(f"{gigabytes(done_bytes)}{of} GB")
    if parts:
        known.append(f"{done_parts:,} of {counted(parts, 'part')}")
    return " · ".join(known)


def gigabytes(count: int) -> str:
    return f"{count / 1e9:.2f}"


def shown(given: str) -> str:
    """Something that was typed as a name or an id, whatever it is: one line, and not a long one."""
    line = "".join(char if char.isprintable() else "?" for char in given[:SHOWN_CHARACTERS])
    return line + ("…" if len(given) > SHOWN_CHARACTERS else "")
