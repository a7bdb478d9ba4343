"""Where a database is and how to log in to it: one value, shown without its password, handed on by name.

A database's name is data. `host=evil` and `--file=x` are legal names which libpq and its tools, given
them in the wrong place, take for a connection string and for an option. So a name is never pasted into
a string here: every way out of a `Dsn` carries it as the value of its own parameter.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field, replace
from typing import Final, Self
from urllib.parse import urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from shared.errors import Misconfigured

_SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_NAMES: Final = frozenset({"host", "port", "user", "password", "dbname"})
_NUMBERS: Final = frozenset(
    {"connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"}
)
ALLOWED: Final = _NUMBERS | {
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "channel_binding",
    "gssencmode",
    "target_session_attrs",
}
_PARAMETERS: Final = f"allowed beside host, port, user, password and dbname: {', '.join(sorted(ALLOWED))}"
# Without it libpq waits for an unreachable host as long as TCP does: minutes.
_CONNECT_TIMEOUT_SECONDS: Final = 10
_NAME_BYTES: Final = 63
_FORM: Final = "write postgresql://user:password@host:5432/name, special characters percent-encoded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dsn:
    """One database on one server. `parameters` are the allowed libpq parameters beyond the five.

    One host only: with several, two sessions of one snapshot could meet two different servers.
    """

    host: str
    port: int = 5432
    user: str
    password: str | None = field(default=None, repr=False)
    dbname: str
    parameters: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        # The server cuts a longer name silently, and would answer with another database.
        if not self.dbname or len(self.dbname.encode()) > _NAME_BYTES or "\0" in self.dbname:
            raise Misconfigured(
                f"{self.dbname!r} cannot be a database's name: 1 to {_NAME_BYTES} bytes, none of them zero",
                code="dsn_invalid",
                hint="choose another name",
            )
        # One line of a password file holds one password.
        if self.password is not None and any(c in self.password for c in "\0\r\n"):
            raise Misconfigured(
                f"The password for {self.where} holds a line break or a zero byte", code="dsn_invalid"
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a URI or libpq's `key=value` form.

        Raises Misconfigured for a text that is neither, that names no host, user or database, or that
        uses a parameter outside `ALLOWED`: `dsn_invalid` or `dsn_parameter`. No message holds the text.
        """
        try:
            given = {key: str(value) for key, value in conninfo_to_dict(text).items()}
        except psycopg.ProgrammingError as exc:
            # libpq quotes what it could not read, the password among it: so no cause is kept.
            if "query parameter" in str(exc) or "connection option" in str(exc):
                raise Misconfigured(
                    "The connection string sets a parameter that does not exist",
                    code="dsn_parameter",
                    hint=_PARAMETERS,
                ) from None
            raise Misconfigured(
                "The connection string cannot be read", code="dsn_invalid", hint=_FORM
            ) from None
        missing = [name for name in ("host", "user", "dbname") if not given.get(name)]
        if missing:
            raise Misconfigured(
                f"The connection string lacks {' and '.join(missing)}", code="dsn_invalid", hint=_FORM
            )
        parameters = {key: value for key, value in given.items() if key not in _NAMES}
        for key, value in parameters.items():
            _check(key, value)
        if "," in given["host"]:
            raise Misconfigured("The connection string names several hosts", code="dsn_parameter")
        return cls(
            host=given["host"],
            port=_port(given.get("port") or "5432"),
            user=given["user"],
            password=given.get("password"),
            dbname=given["dbname"],
            parameters=tuple(sorted(parameters.items())),
        )

    def __str__(self) -> str:
        return self.where

    @property
    def where(self) -> str:
        """For messages: the place, without who asks."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}/{self.dbname}"

    @property
    def sslmode(self) -> str:
        given = dict(self.parameters)
        return given.get("sslmode", "verify-full" if given.get("sslrootcert") == "system" else "prefer")

    @property
    def tls_required(self) -> bool:
        """Whether a client without TLS could not connect, whatever the server says."""
        return self.sslmode in {"require", "verify-ca", "verify-full"}

    @property
    def connect_timeout(self) -> int:
        """Seconds, never 0: nobody here waits for ever."""
        return int(dict(self.parameters).get("connect_timeout", "0")) or _CONNECT_TIMEOUT_SECONDS

    @property
    def text(self) -> str:
        """As `parse` reads it back. It holds the password: never log it, never put it in an argument list."""
        return make_conninfo(
            "",
            **dict(self.parameters),
            host=self.host,
            port=self.port,
            user=self.user,
            password=self.password,
            dbname=self.dbname,
        )

    def for_database(self, name: str) -> Self:
        """The same server and login, another database."""
        return replace(self, dbname=name)

    def conninfo(self, application_name: str, **extra: str | int) -> str:
        """For psycopg. It holds the password: never log it, never put it in an argument list.

        Text travels as UTF-8 whatever the database's encoding, as it does with asyncpg: one writes
        what the other reads, and from a SQL_ASCII database names come as text rather than as bytes.
        """
        arguments: dict[str, str | int | None] = {
            **dict(self.parameters),
            "connect_timeout": self.connect_timeout,
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "password": self.password,
            "dbname": self.dbname,
            "application_name": application_name,
            "client_encoding": "UTF8",
            **extra,
        }
        return make_conninfo("", **arguments)

    def asyncpg_arguments(self) -> dict[str, object]:
        """Keyword arguments for `asyncpg.connect`, meaning what they mean to libpq.

        asyncpg knows no channel binding and no GSS encryption: a server or a DSN that insists on
        them is for psycopg, and `gssencmode=require` is refused here rather than ignored.
        """
        given = dict(self.parameters)
        if given.get("gssencmode") == "require":
            raise Misconfigured(
                f"gssencmode=require for {self.where} cannot be kept: page ranges are copied without GSS",
                code="dsn_parameter",
                hint="use TLS: sslmode=verify-full",
            )
        arguments: dict[str, object] = {
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "password": self.password,
            "database": self.dbname,
            "timeout": float(self.connect_timeout),
        }
        if "target_session_attrs" in given:
            arguments["target_session_attrs"] = given["target_session_attrs"]
        if given.get("sslrootcert") == "system":
            arguments["ssl"] = _system_trust(given)
        else:
            # Certificate files are taken only from a URI, so this one holds nothing else.
            files = {k: given[k] for k in ("sslrootcert", "sslcert", "sslkey") if k in given}
            query = urlencode({"sslmode": self.sslmode} | files)
            arguments["dsn"] = f"postgresql://?{query}"
        return arguments


def _system_trust(given: dict[str, str]) -> ssl.SSLContext:
    """What `sslrootcert=system` asks of libpq: the machine's authorities, and the host's name checked."""
    context = ssl.create_default_context()
    if "sslcert" in given:
        context.load_cert_chain(given["sslcert"], given.get("sslkey"))
    return context


def _check(key: str, value: str) -> None:
    if key not in ALLOWED:
        raise Misconfigured(
            f"The connection string sets {key}, which is not taken from users",
            code="dsn_parameter",
            hint=_PARAMETERS,
        )
    if key == "sslmode" and value not in _SSL_MODES:
        raise Misconfigured(
            f"sslmode={value!r} does not exist", code="dsn_parameter", hint=f"one of {', '.join(_SSL_MODES)}"
        )
    if key in _NUMBERS and not (value.isascii() and value.isdigit()):
        raise Misconfigured(f"{key}={value!r} is not a whole number", code="dsn_parameter")


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and 0 < int(text) < 1 << 16:
        return int(text)
    raise Misconfigured(f"{text!r} is not one port, 1 to 65535", code="dsn_parameter")
