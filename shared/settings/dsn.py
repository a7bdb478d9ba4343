"""What a connection string names, read by libpq's own rules, so that URI and key=value both do."""

from __future__ import annotations

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

HERE = {"localhost", "127.0.0.1", "::1"}
HIGHEST_PORT = 65_535

Place = tuple[str, int, str]
"""Host, port and database; equal for two strings that lead to one database, whoever logs in."""


def place_of(dsn: str) -> Place:
    """Where it leads. ValueError if to no place, or to several.

    The error never quotes the string, as libpq's own words would, and so keeps no cause.
    """
    try:
        parts = {key: str(value) for key, value in conninfo_to_dict(dsn).items()}
    except ProgrammingError:
        raise ValueError("it cannot be read as a connection string") from None
    host, port, dbname = parts.get("host", ""), parts.get("port", "5432"), parts.get("dbname", "")
    if not host:
        raise ValueError("it names no host")
    if not dbname:
        raise ValueError("it names no database")
    if "," in host:
        raise ValueError("it names several hosts")
    if not (port.isascii() and port.isdecimal() and 1 <= int(port) <= HIGHEST_PORT):
        raise ValueError(f"its port is no number from 1 to {HIGHEST_PORT}")
    return "localhost" if host.lower() in HERE else host.lower(), int(port), dbname
