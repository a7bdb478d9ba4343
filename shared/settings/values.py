"""What single values may look like. A ValueError here becomes part of a message: it never tells a secret."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr

from shared.domain import schedule
from shared.domain.database import NAME, PAGE_BYTES
from shared.domain.notice import NOTABLE
from shared.errors import Misconfigured
from shared.settings import dsn

KIB, MIB, GIB = 1024, 1024**2, 1024**3


def parse_size(text: object) -> int:
    """`64MiB` in bytes; ValueError unless whole pages of 8 KiB between 1 MiB and 1 GiB."""
    match = re.fullmatch(r"([1-9][0-9]{0,9})(KiB|MiB|GiB)", text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{text!r} is no size")
    size = int(match[1]) * {"KiB": KIB, "MiB": MIB, "GiB": GIB}[match[2]]
    if not MIB <= size <= GIB:
        raise ValueError(f"{text!r} is not between 1MiB and 1GiB")
    if size % PAGE_BYTES:
        raise ValueError(f"{text!r} is not a multiple of 8KiB")
    return size


def _dsn(given: SecretStr) -> SecretStr:
    dsn.place_of(given.get_secret_value())
    return given


def _redis_url(given: SecretStr) -> SecretStr:
    if not _is_redis_url(given.get_secret_value()):
        raise ValueError("it is no URL of a Redis database")
    return given


def _is_redis_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        has_port = parts.port != 0
    except ValueError:
        return False
    if parts.scheme == "unix":
        return bool(parts.path)
    numbered = re.fullmatch(r"/?|/[0-9]{1,4}", parts.path) is not None
    return parts.scheme in {"redis", "rediss"} and bool(parts.hostname) and has_port and numbered


def _matching(pattern: str, fault: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"{text!r} {fault}")
        return text

    return check


def _prefix(text: str) -> str:
    bare = text.strip("/")
    segments = bare.split("/") if bare else []
    if any(not re.fullmatch(r"[A-Za-z0-9!_.*'()-]+", each) or each in {".", ".."} for each in segments):
        raise ValueError(f"{text!r} is no prefix that every S3 server takes")
    return bare


def _variable(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise ValueError("it is no name of an environment variable")  # untold: it may be the URL itself
    return text


def _secret_file(text: str) -> str:
    if "://" in text or "=" in text:
        raise ValueError("it is no name of a file")  # untold: it looks like the URL itself
    return text


def _whole(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("it is no number")  # noqa: TRY004 -- pydantic reports a ValueError, not a TypeError
    return value


def _spoken(parse: Callable[[str], timedelta]) -> Callable[[object], timedelta]:
    """A parser of the domain as pydantic wants it: what is wrong is a ValueError."""

    def check(value: object) -> timedelta:
        if not isinstance(value, str):
            raise ValueError(f"{value!r} is no duration")  # noqa: TRY004 -- pydantic reports a ValueError
        try:
            return parse(value)
        except Misconfigured as exc:
            raise ValueError(exc.message) from exc

    return check


def _notable(name: str) -> str:
    if name not in NOTABLE:
        raise ValueError(f"{name!r} is nothing that one is told of")
    return name


def _asks(value: object) -> object:
    """From a variable, where commas stand between them."""
    return tuple(each.strip() for each in value.split(",")) if isinstance(value, str) else value


def _recipient(text: str) -> str:
    if text.upper().startswith("AGE-SECRET-KEY-"):
        raise ValueError("this is an identity, which is secret: its recipient is wanted")
    if not re.fullmatch(r"age1[02-9ac-hj-np-z]{58}", text):
        raise ValueError(f"{text!r} is no age public key")
    return text


def _public_key(text: str) -> str:
    if "PRIVATE" in text:
        raise ValueError("this is a private key: its public half is wanted")
    if not re.fullmatch(r"MCowBQYDK2VwAyEA[A-Za-z0-9+/]{43}=", text):
        raise ValueError(f"{text!r} is no Ed25519 public key")
    return text


def _listed(value: object) -> object:
    """From a variable, where commas stand between them; empty ones left out."""
    if not isinstance(value, str):
        return value
    return tuple(each.strip() for each in value.split(",") if each.strip())


def _addresses(value: object) -> object:
    """A list, or a variable where commas stand between them."""
    given = [each.strip() for each in value.split(",")] if isinstance(value, str) else value
    if not isinstance(given, list | tuple) or not all(isinstance(each, str) for each in given):
        raise ValueError(f"{value!r} is no list of addresses")
    return tuple(str(ipaddress.ip_address(each)) for each in given if each)


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


Name = Annotated[
    str, AfterValidator(_matching(NAME, "is no name: a-z, 0-9, - and _, at most 63, not - or _ first"))
]
Dsn = Annotated[SecretStr, AfterValidator(_dsn)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]
Bucket = Annotated[
    str, AfterValidator(_matching(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "is no name of a bucket"))
]
Prefix = Annotated[str, AfterValidator(_prefix)]
Variable = Annotated[str, AfterValidator(_variable)]
SecretFile = Annotated[str, AfterValidator(_secret_file)]
Whole = Annotated[int, BeforeValidator(_whole)]
Interval = Annotated[timedelta, BeforeValidator(_spoken(schedule.parse_every))]
Duration = Annotated[timedelta, BeforeValidator(_spoken(schedule.parse_duration))]
Size = Annotated[int, BeforeValidator(parse_size)]
Notable = Annotated[str, AfterValidator(_notable)]
Asks = Annotated[
    tuple[Literal["snapshot", "restore", "undo", "verify", "check"], ...], BeforeValidator(_asks)
]
Recipients = Annotated[tuple[Annotated[str, AfterValidator(_recipient)], ...], BeforeValidator(_listed)]
PublicKeys = Annotated[tuple[Annotated[str, AfterValidator(_public_key)], ...], BeforeValidator(_listed)]
Paths = Annotated[tuple[str, ...], BeforeValidator(_listed)]
Host = Annotated[str, AfterValidator(_matching(r"[A-Za-z0-9.:_-]{1,253}", "is no address and no name"))]
Addresses = Annotated[tuple[str, ...], BeforeValidator(_addresses)]
LogLevel = Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)]
LogFormat = Annotated[Literal["auto", "json", "console"], BeforeValidator(_lower)]
