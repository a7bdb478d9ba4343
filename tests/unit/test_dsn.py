from __future__ import annotations

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from shared.errors import Misconfigured
from shared.postgres.dsn import Dsn

HOSTILE_NAMES = (
    "a b", '"', "'", "\\", "host=evil", "--file=x", "-d", "postgresql://evil/x", "a\nb", "$(id)", "%s",
    "ü" * 31 + "x",
)  # fmt: skip
SECRET = "hun:ter\\2'@ %"


def dsn(**given: object) -> Dsn:
    return Dsn(**{"host": "h", "user": "u", "password": SECRET, "dbname": "d"} | given)  # type: ignore[arg-type]  # the fields' types vary


def test_a_uri_and_a_conninfo_of_the_same_place_are_the_same_dsn() -> None:
    uri = Dsn.parse("postgresql://u:p%40ss@h:5433/a%20b?sslmode=require&connect_timeout=3")
    assert uri == Dsn.parse(
        "host=h port=5433 user=u password=p@ss dbname='a b' connect_timeout=3 sslmode=require"
    )
    assert (uri.host, uri.port, uri.user, uri.password, uri.dbname) == ("h", 5433, "u", "p@ss", "a b")
    assert uri.connect_timeout == 3


def test_a_socket_directory_is_a_host() -> None:
    assert Dsn.parse("postgresql://u@/d?host=/run/postgresql").host == "/run/postgresql"
    assert Dsn.parse("postgresql://u@%2Frun%2Fpostgresql/d").host == "/run/postgresql"


def test_no_picture_of_a_dsn_shows_the_password_and_where_shows_no_user() -> None:
    one = dsn(user="somebody", dbname="orders")
    assert SECRET not in f"{one} {one!r} {one.where} {[one]} {vars(Misconfigured(str(one)))}"
    assert str(one) == one.where == "h:5432/orders"
    assert dsn(host="::1").where == "[::1]:5432/d"


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_name_stays_one_value_on_every_way_out(name: str) -> None:
    one = dsn().for_database(name)
    assert conninfo_to_dict(one.conninfo("app", options="-c a=b"))["dbname"] == name
    assert one.asyncpg_arguments()["database"] == name
    assert str(one.asyncpg_arguments()["dsn"]) == "postgresql://?sslmode=prefer"


@given(
    name=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=15),
    password=st.text(st.characters(exclude_characters="\0\r\n", exclude_categories=["Cs"])),
)
def test_what_goes_into_a_conninfo_comes_out_of_it(name: str, password: str) -> None:
    one = dsn(dbname=name, password=password)
    out = conninfo_to_dict(one.conninfo("app"))
    assert (out["dbname"], out["password"], out["application_name"]) == (name, password, "app")


@pytest.mark.parametrize(
    "query",
    [
        *("h&service=x", "h&passfile=/x", "h&options=-cx%3D1", "h&hostaddr=1.2.3.4", "h&application_name=x"),
        *("h&foo=1", "h&sslpassword=x", "h&load_balance_hosts=random", "h&sslmode=on"),
        *("h&connect_timeout=soon", "h&port=1,2", "h&port=0", "a,b"),
    ],
)
def test_what_is_not_allowed_is_refused_without_showing_the_password(query: str) -> None:
    with pytest.raises(Misconfigured) as refused:
        Dsn.parse(f"postgresql://u:hunter2@/d?host={query}")
    assert refused.value.code == "dsn_parameter"
    assert "hunter2" not in f"{refused.value} {refused.value.hint} {refused.value.__cause__}"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "lacks host and user and dbname"),
        ("postgresql://u:hunter2@h", "lacks dbname"),
        ("postgresql:///d", "lacks host and user"),
        ("hunter2", "cannot be read"),
        ("host=h user=u dbname=d password='hunter2", "cannot be read"),
        ("postgresql+psycopg://u:hunter2@h/d", "cannot be read"),
        ("postgresql://u:hunter2@h/d%zz", "cannot be read"),
        (f"postgresql://u:hunter2@h/{'x' * 64}", "cannot be a database's name"),
        ("postgresql://u:hunter2%0Ab@h/d", "line break"),
    ],
)
def test_what_is_no_place_is_refused_without_showing_the_password(text: str, complaint: str) -> None:
    with pytest.raises(Misconfigured, match=complaint) as refused:
        Dsn.parse(text)
    assert refused.value.code == "dsn_invalid"
    assert "hunter2" not in f"{refused.value} {refused.value.hint} {refused.value.__cause__}"


def test_a_timeout_of_zero_which_libpq_takes_for_ever_is_ours() -> None:
    assert dsn().connect_timeout == dsn(parameters=(("connect_timeout", "0"),)).connect_timeout == 10


@pytest.mark.parametrize(
    ("parameters", "mode", "required"),
    [
        ((), "prefer", False),
        ((("sslmode", "disable"),), "disable", False),
        ((("sslmode", "require"),), "require", True),
        ((("sslmode", "verify-ca"),), "verify-ca", True),
        ((("sslmode", "verify-full"),), "verify-full", True),
        ((("sslrootcert", "system"),), "verify-full", True),
    ],
)
def test_tls_is_required_where_libpq_would_insist(
    parameters: tuple[tuple[str, str], ...], mode: str, *, required: bool
) -> None:
    one = dsn(parameters=parameters)
    assert (one.sslmode, one.tls_required) == (mode, required)


def test_asyncpg_gets_the_certificates_and_the_system_s_trust() -> None:
    files = (("sslcert", "/c c"), ("sslkey", "/k"), ("sslmode", "verify-ca"), ("sslrootcert", "/r&x"))
    assert dsn(parameters=files).asyncpg_arguments()["dsn"] == (
        "postgresql://?sslmode=verify-ca&sslrootcert=%2Fr%26x&sslcert=%2Fc+c&sslkey=%2Fk"
    )
    trust = dsn(parameters=(("sslrootcert", "system"),)).asyncpg_arguments()["ssl"]
    assert isinstance(trust, ssl.SSLContext)
    assert trust.check_hostname


def test_asyncpg_does_not_quietly_drop_a_demand_for_gss() -> None:
    with pytest.raises(Misconfigured, match="gssencmode"):
        dsn(parameters=(("gssencmode", "require"),)).asyncpg_arguments()
