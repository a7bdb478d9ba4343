"""Settings: one clear refusal for each way to get them wrong."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

import pytest

from shared.errors import Misconfigured
from tests.unit.given_settings import SECRET, TOML, load


def refusal(folder: Path, toml: str | None = None, **changes: str | None) -> Misconfigured:
    """The error of such settings, which tells no secret, not even to who reads the traceback."""
    with pytest.raises(Misconfigured) as caught:
        load(folder, toml, **changes)
    error = caught.value
    told = "".join(traceback.format_exception(error)) + str(error.hint)
    assert SECRET not in told
    assert error.hint
    return error


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("DATABASE_URL", None, "DATABASE_URL: is required, as no file declares a database"),
        ("DATABASE_URL", f"postgresql://app:{SECRET}@/orders", "DATABASE_URL: it names no host"),
        ("DATABASE_URL", f"postgresql://app:{SECRET}@h", "DATABASE_URL: it names no database"),
        ("DATABASE_URL", f"host=h password={SECRET}", "DATABASE_URL: it names no database"),
        ("DATABASE_URL", f"password={SECRET} {SECRET}", "DATABASE_URL: it cannot be read"),
        ("DATABASE_URL", f"mysql://app:{SECRET}@h/orders", "DATABASE_URL: it cannot be read"),
        ("DATABASE_URL", f"postgresql://app:{SECRET}@h1,h2/orders", "DATABASE_URL: it names several hosts"),
        ("DATABASE_URL", f"postgresql://app:{SECRET}@h:99999/orders", "DATABASE_URL: its port"),
        ("DATABASE_NAME", "Orders", "DATABASE_NAME: 'Orders' is no name"),
        ("DATABASE_NAME", "-orders", "DATABASE_NAME: '-orders' is no name"),
        ("DATABASE_NAME", "o" * 64, f"DATABASE_NAME: '{'o' * 64}' is no name"),
        ("CATALOG_URL", None, "CATALOG_URL: is required"),
        ("CATALOG_URL", f"postgresql://{SECRET}", "CATALOG_URL: it names no database"),
        ("REDIS_URL", None, "REDIS_URL: is required"),
        ("REDIS_URL", f"http://:{SECRET}@h", "REDIS_URL: it is no URL of a Redis database"),
        ("REDIS_URL", f"redis://:{SECRET}", "REDIS_URL: it is no URL of a Redis database"),
        ("REDIS_URL", f"redis://:x@h:{SECRET}", "REDIS_URL: it is no URL of a Redis database"),
        ("REDIS_URL", f"redis://:{SECRET}@h/queue", "REDIS_URL: it is no URL of a Redis database"),
        ("REDIS_URL", f"redis://[{SECRET}", "REDIS_URL: it is no URL of a Redis database"),
        ("REDIS_URL", "unix://", "REDIS_URL: it is no URL of a Redis database"),
        ("S3_BUCKET", None, "S3_BUCKET: neither it nor SNAPSHOT_DIR is set"),
        ("S3_BUCKET", "s3://snapshots", "S3_BUCKET: 's3://snapshots' is no name of a bucket"),
        ("S3_PREFIX", "a/../b", "S3_PREFIX: 'a/../b' is no prefix"),
        ("S3_PREFIX", "a//b", "S3_PREFIX: 'a//b' is no prefix"),
        ("SNAPSHOT_DIR", "a-file", "SNAPSHOT_DIR: "),
        ("PG_BIN_DIR", "a-file", "PG_BIN_DIR: "),
        ("PG_BIN_DIR", "nowhere", "PG_BIN_DIR: "),
        ("LEASE_SECONDS", "2", "LEASE_SECONDS: '2' should be greater than or equal to 3"),
        ("LEASE_SECONDS", "3601", "LEASE_SECONDS: '3601' should be less than or equal to 3600"),
        ("LEASE_SECONDS", "1m", "LEASE_SECONDS: '1m' should be a valid integer"),
        ("WORKER_CONCURRENCY", "0", "WORKER_CONCURRENCY: '0' should be greater than or equal to 1"),
        ("LOG_LEVEL", "loud", "LOG_LEVEL: 'loud' should be 'debug'"),
        ("LOG_FORMAT", "xml", "LOG_FORMAT: 'xml' should be 'auto'"),
        ("RESTORE_AS_SUPERUSER", "maybe", "RESTORE_AS_SUPERUSER: 'maybe' should be a valid boolean"),
        ("UNDO_WINDOW", "a day", "UNDO_WINDOW: 'a day' is no duration"),
        ("UNDO_WINDOW", "9999d", "UNDO_WINDOW: '9999d' is longer than 366 days"),
        ("SNAPFLEET_CONFIG", "nowhere.toml", "SNAPFLEET_CONFIG: "),
    ],
)
def test_a_wrong_variable_is_refused_by_name(
    tmp_path: Path, variable: str, value: str | None, message: str
) -> None:
    (tmp_path / "a-file").write_text("")
    error = refusal(tmp_path, **{variable: value})
    assert error.message.startswith(message)
    assert "\n" not in error.message


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('every = "5x"', "databases.orders.every: '5x' is no duration"),
        ('every = "59s"', "databases.orders.every: '59s' is shorter than a minute"),
        ("every = 6", "databases.orders.every: 6 is no duration"),
        ('every = "1h"\ncron = "0 0 * * *"', "databases.orders.cron: '0 0 * * *' stands beside every"),
        ('cron = "61 * * * *"', "databases.orders.cron: '61 * * * *' is no cron expression"),
        ('cron = "0 0 * * *"\nzone = "Berlin"', "databases.orders.cron: 'Berlin' is no time zone"),
        ('zone = "Europe/Berlin"', "databases.orders.zone: 'Europe/Berlin' says nothing without cron"),
        ("keep = { last = 0 }", "databases.orders.keep.last: 0 should be greater than or equal to 1"),
        ("keep = { last = true }", "databases.orders.keep.last: it is no number"),
        ("keep = { hourly = 7 }", "databases.orders.keep.hourly: there is no such setting"),
        ("keep = { daily = -1 }", "databases.orders.keep.daily: -1 should be greater than or equal to 0"),
        ('keep = { within = "14" }', "databases.orders.keep.within: '14' is no duration"),
        ("keep = 10", "databases.orders.keep: 10 should be a table"),
        ('part_size = "64"', "databases.orders.part_size: '64' is no size"),
        ("part_size = 64", "databases.orders.part_size: 64 is no size"),
        ('part_size = "1023KiB"', "databases.orders.part_size: '1023KiB' is not between 1MiB and 1GiB"),
        ('part_size = "2GiB"', "databases.orders.part_size: '2GiB' is not between 1MiB and 1GiB"),
        ('part_size = "1025KiB"', "databases.orders.part_size: '1025KiB' is not a multiple of 8KiB"),
        ("compression_level = 0", "databases.orders.compression_level: 0 should be greater"),
        ("compression_level = 20", "databases.orders.compression_level: 20 should be less"),
        ("parallelism = 0", "databases.orders.parallelism: 0 should be greater"),
        ("parallelism = 65", "databases.orders.parallelism: 65 should be less"),
        ("verify_incremental = -1", "databases.orders.verify_incremental: -1 should be greater"),
        ('base_wait = "0s"', "databases.orders.base_wait: '0s' is no duration"),
        ('undo_window = "0s"', "databases.orders.undo_window: '0s' is no duration"),
        ("paralelism = 3", "databases.orders.paralelism: there is no such setting"),
        (f'password = "{SECRET}"', "databases.orders.password: there is no such setting"),
        (f'url = "postgresql://app:{SECRET}@h/o"', "databases.orders.url: a URL must not stand in the file"),
        ('url_file = "f"', "databases.orders.url_env: databases.orders.url_file is set too"),
    ],
)
def test_a_wrong_setting_of_a_database_is_refused_by_name(tmp_path: Path, lines: str, message: str) -> None:
    assert refusal(tmp_path, f"{TOML}{lines}").message.startswith(message)


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("databases = [", "snapfleet.toml is no TOML: "),
        ("[[databases]]\nurl_env = 'ORDERS_URL'", "databases.1.name: is required"),
        (
            "[[databases]]\nname = 'Orders'\nurl_env = 'ORDERS_URL'",
            "databases.Orders.name: 'Orders' is no name",
        ),
        ("[[databases]]\nname = 'a'", "databases.a.url_env: neither it nor url_file is set"),
        (
            "[[databases]]\nname = 'a'\nurl_env = 'NONE'",
            "databases.a.url_env: 'NONE' is not set in the environment",
        ),
        (
            f"[[databases]]\nname = 'a'\nurl_env = 'postgresql://a:{SECRET}@h/o'",
            "databases.a.url_env: it is no name",
        ),
        (
            f"[[databases]]\nname = 'a'\nurl_file = 'postgresql://a:{SECRET}@h/o'",
            "databases.a.url_file: it is no name",
        ),
        (
            f"[[databases]]\nname = 'a'\nurl_file = ['{SECRET}']",
            "databases.a.url_file: what is given should be",
        ),
        (
            "[[databases]]\nname = 'a'\nurl_file = 'none'",
            "databases.a.url_file: 'none' cannot be read: No such file",
        ),
        ("[[databases]]\nname = 'a'\nurl_file = 'empty'", "databases.a.url_file: 'empty' is empty"),
        (
            "[[databases]]\nname = 'a'\nurl_file = 'binary'",
            "databases.a.url_file: 'binary' cannot be read: it is not",
        ),
        (
            "[[databases]]\nname = 'a'\nurl_env = 'HOSTLESS'",
            "databases.a.url_env: what it leads to is wrong: it names",
        ),
        (f"{TOML}{TOML}", "databases.name: 'orders' stands there twice"),
        (
            f"{TOML}[[databases]]\nname = 'copy'\nurl_env = 'SAME_URL'",
            "databases.copy: it is the same database as 'orders'",
        ),
        (f"bucket = 'X'\n{TOML}", "bucket: 'X' is no name of a bucket"),
        (f"prefix = '..'\n{TOML}", "prefix: '..' is no prefix"),
        (f"folder = 'empty'\n{TOML}", "folder: "),
        (f"buckets = 'b'\n{TOML}", "buckets: there is no such setting"),
        ("databases = 'orders'", "databases: 'orders' should be an array of tables"),
        ("databases = ['orders']", "databases.1: 'orders' should be a table"),
        (
            f"catalog_url = 'postgresql://a:{SECRET}@h/c'\n{TOML}",
            "catalog_url: a URL must not stand in the file",
        ),
        (f"redis_url = 'redis://:{SECRET}@h'\n{TOML}", "redis_url: a URL must not stand in the file"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, toml: str, message: str) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    changes = {
        "HOSTLESS": f"password={SECRET} dbname=o",
        "SAME_URL": f"host=DB.example port=5432 user=other password={SECRET} dbname=orders",
    }
    assert refusal(tmp_path, toml, **changes).message.startswith(message)


@pytest.mark.parametrize(
    ("key", "url", "message"),
    [
        ("catalog_url", "host=h", "catalog_url_env: what it leads to is wrong: it names no database"),
        ("redis_url", "http://h", "redis_url_env: what it leads to is wrong: it is no URL"),
    ],
)
def test_what_the_files_urls_lead_to_is_checked(tmp_path: Path, key: str, url: str, message: str) -> None:
    unset = {key.upper(): None}
    error = refusal(tmp_path, f"{key}_env = 'LED_TO'\n{TOML}", **unset, LED_TO=url)
    assert error.message.startswith(message)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "snapfleet.toml").write_bytes(b"\xff")
    assert refusal(tmp_path).message == "snapfleet.toml is no TOML"


@pytest.mark.parametrize(
    ("catalog", "database"),
    [
        ("postgresql://snap@db.example/orders", "postgresql://app@db.example:5432/orders"),
        ("host=DB.example dbname=orders user=snap", "postgresql://app@db.example/orders"),
        ("postgresql://localhost:6000/orders", "host=127.0.0.1 port=6000 dbname=orders"),
        ("postgresql://%2Frun%2Fpg/orders", "host=/run/pg dbname=orders"),
    ],
)
def test_a_catalog_inside_a_protected_database_is_refused(
    tmp_path: Path, catalog: str, database: str
) -> None:
    error = refusal(tmp_path, CATALOG_URL=catalog, DATABASE_URL=database)
    assert error.code == "catalog_in_protected_database"
    assert error.message.startswith("CATALOG_URL: it is the database 'orders'")


@pytest.mark.parametrize(
    "catalog",
    [
        "postgresql://h/catalog",
        "postgresql://h:5433/orders",
        "postgresql://h2/orders",
    ],
)
def test_a_catalog_beside_it_is_not(tmp_path: Path, catalog: str) -> None:
    assert load(tmp_path, CATALOG_URL=catalog, DATABASE_URL="postgresql://h/orders").databases


def test_of_several_the_first_is_told_and_the_others_counted(tmp_path: Path) -> None:
    error = refusal(tmp_path, LEASE_SECONDS="1", LOG_LEVEL="loud")
    assert re.fullmatch(r"LEASE_SECONDS: .* \(and 1 more setting is wrong\)", error.message)
    error = refusal(tmp_path, f"parallel = 1\n{TOML}parallelism = 0", LEASE_SECONDS="1")
    assert re.fullmatch(r"databases.orders.parallelism: .* \(and 2 more settings are wrong\)", error.message)
    (tmp_path / "snapfleet.toml").unlink()
    error = refusal(tmp_path, CATALOG_URL=None, REDIS_URL=None, S3_BUCKET=None)
    assert re.fullmatch(r"CATALOG_URL: .* \(and 2 more settings are wrong\)", error.message)


def test_a_misspelt_setting_is_answered_with_the_right_one(tmp_path: Path) -> None:
    error = refusal(tmp_path, f"{TOML}paralelism = 3")
    assert (error.code, error.hint) == ("unknown_setting", "did you mean parallelism?")


def test_every_hint_says_what_would_be_right(tmp_path: Path) -> None:
    assert refusal(tmp_path, LEASE_SECONDS="1").hint == "give a whole number from 3 to 3600"
    assert refusal(tmp_path, CATALOG_URL=None).hint == refusal(tmp_path, CATALOG_URL="x").hint
