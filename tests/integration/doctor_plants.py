"""What is spoiled for the doctor to find, each with the examination that finds it and the code it tells."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import psycopg
import redis

from embedded import ports
from embedded.valkey import Valkey
from tests.integration.doctor_site import Environ, Site

Plant = Callable[[Site], AbstractContextManager[Environ]]
"""Spoils something, and mends it afterwards."""


def closed() -> int:
    return ports.free(1)[0]


# What can be said in settings alone: the examination that finds it, the code, the variables.
SETTINGS: dict[str, tuple[str, str, Callable[[Site], dict[str, str | None]]]] = {
    "a setting that is missing": ("settings", "misconfigured", lambda _: {"CATALOG_URL": None}),
    "a setting with a typing error": ("settings", "misconfigured", lambda _: {"LEASE_SECONDS": "soon"}),
    "a secret's file that is not there": (
        "settings",
        "misconfigured",
        lambda _: {"REDIS_URL": None, "REDIS_URL_FILE": "/nowhere"},
    ),
    "faults that were left armed": ("settings", "failpoints_set", lambda _: {"SNAPFLEET_FAILPOINTS": "x"}),
    "a catalog in the protected database": (
        "settings",
        "catalog_in_protected_database",
        lambda s: {"CATALOG_URL": s.url(s.shop)},
    ),
    "a catalog that is away": (
        "catalog",
        "catalog_unreachable",
        lambda _: {"CATALOG_URL": f"postgresql://u:p@127.0.0.1:{closed()}/x"},
    ),
    "a wrong password for the catalog": (
        "catalog",
        "catalog_wrong_password",
        lambda s: {"CATALOG_URL": s.url(s.catalog, password="wrong")},
    ),
    "a catalog that does not exist": (
        "catalog",
        "catalog_missing",
        lambda s: {"CATALOG_URL": s.url("nothing_of_that_name")},
    ),
    "a Redis that is away": (
        "redis",
        "redis_unreachable",
        lambda _: {"REDIS_URL": f"redis://127.0.0.1:{closed()}/0"},
    ),
    "a wrong password for Redis": (
        "redis",
        "redis_wrong_password",
        lambda s: {"REDIS_URL": f"redis://:wrong@127.0.0.1:{s.valkey.port}/0"},
    ),
    "a bucket that does not exist": (
        "repository",
        "bucket_missing",
        lambda _: {"S3_BUCKET": "nothing-of-that-name"},
    ),
    "a key that S3 does not know": (
        "repository",
        "access_denied",
        lambda _: {"AWS_SECRET_ACCESS_KEY": "wrong"},
    ),
    "an S3 server that is away": (
        "repository",
        "storage_unreachable",
        lambda _: {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{closed()}"},
    ),
    "a folder that nobody can write to": (
        "repository",
        "access_denied",
        lambda _: {"S3_BUCKET": None, "SNAPSHOT_DIR": "/sys/snapshots"},
    ),
    "tools that are not there": ("tools", "bin_dir", lambda s: {"PG_BIN_DIR": str(s.folder)}),
    "a database that is away": (
        "database",
        "source_unreachable",
        lambda _: {"DATABASE_URL": f"postgresql://u:p@127.0.0.1:{closed()}/x"},
    ),
    "a wrong password for the database": (
        "database",
        "wrong_password",
        lambda s: {"DATABASE_URL": s.url(s.shop, password="wrong")},
    ),
    "a database that does not exist": (
        "database",
        "database_missing",
        lambda s: {"DATABASE_URL": s.url("nothing_of_that_name")},
    ),
    "a superuser's URL": (
        "database",
        "superuser_restore",
        lambda s: {"DATABASE_URL": s.postgres.dsn(s.shop)},
    ),
    "a superuser for the catalog": (
        "catalog",
        "catalog_superuser",
        lambda s: {"CATALOG_URL": s.postgres.dsn(s.catalog)},
    ),
    "a server for proofs that is away": (
        "proofs",
        "source_unreachable",
        lambda _: {"VERIFY_DATABASE_URL": f"postgresql://u:p@127.0.0.1:{closed()}/x"},
    ),
    "no worker at all": ("workers", "no_worker", lambda _: {}),
    "a beat that nobody started": ("canary", "canary_silent", lambda _: {}),
    "a database that beat has not seen": ("backups", "backup_late", lambda _: {}),
}


@contextmanager
def not_migrated(made: Site) -> Iterator[Environ]:
    made.admin("create database {} owner {}", f"empty_{made.tag}", made.owner)
    yield {"CATALOG_URL": made.url(f"empty_{made.tag}")}
    made.admin("drop database {} with (force)", f"empty_{made.tag}")


@contextmanager
def tables_taken_away(made: Site) -> Iterator[Environ]:
    made.admin("create role {} login password 'secret'", f"fleet_{made.tag}")
    made.admin(
        "grant select on all tables in schema public to {}", f"fleet_{made.tag}", database=made.catalog
    )
    yield {"CATALOG_URL": made.url(made.catalog, user=f"fleet_{made.tag}")}
    made.admin("drop owned by {}", f"fleet_{made.tag}", database=made.catalog)
    made.admin("drop role {}", f"fleet_{made.tag}")


@contextmanager
def an_evicting_redis(made: Site) -> Iterator[Environ]:
    with made.valkey_with("maxmemory-policy", "allkeys-lru", "noeviction"):
        yield {}


@contextmanager
def a_forgetting_redis(made: Site) -> Iterator[Environ]:
    with made.valkey_with("appendonly", "no", "yes"):
        yield {}


@contextmanager
def a_full_redis(made: Site) -> Iterator[Environ]:
    with made.valkey_with("maxmemory", "1000", "0"):
        yield {}


@contextmanager
def a_redis_user_without_rights(made: Site) -> Iterator[Environ]:
    with redis.Redis.from_url(made.valkey.url) as client:
        client.execute_command("acl", "setuser", "dumb", "on", ">secret", "~snap:*", "&*", "+@all", "-lpush")
    yield {"REDIS_URL": f"redis://dumb:secret@127.0.0.1:{made.valkey.port}/0"}


@contextmanager
def a_replica(made: Site) -> Iterator[Environ]:
    replica = Valkey(made.folder / "replica")
    replica.start()
    with redis.Redis.from_url(replica.url) as client:
        client.config_set("masterauth", made.valkey.password)
        client.replicaof("127.0.0.1", str(made.valkey.port))
    yield {"REDIS_URL": replica.url}
    replica.stop()


@contextmanager
def a_role_that_may_make_no_databases(made: Site) -> Iterator[Environ]:
    made.admin("alter role {} nocreatedb", made.owner)
    yield {}
    made.admin("alter role {} createdb", made.owner)


@contextmanager
def a_role_that_owns_nothing(made: Site) -> Iterator[Environ]:
    made.admin("create role {} login createdb password 'secret'", f"guest_{made.tag}")
    made.admin("grant pg_read_all_data to {}", f"guest_{made.tag}")
    yield {"DATABASE_URL": made.url(made.shop, user=f"guest_{made.tag}")}
    made.admin("drop role {}", f"guest_{made.tag}")


@contextmanager
def a_table_that_may_not_be_read(made: Site) -> Iterator[Environ]:
    made.admin("create table hidden ()", database=made.shop)
    yield {}
    made.admin("drop table hidden", database=made.shop)


@contextmanager
def a_superuser_at_work(made: Site) -> Iterator[Environ]:
    with psycopg.connect(made.postgres.dsn(made.shop)):
        yield {}


@contextmanager
def a_blocked_database(made: Site) -> Iterator[Environ]:
    block = "insert into database (name, blocked_at, blocked_why) values ('shop', now(), 'it was emptied')"
    made.admin(block, database=made.catalog)
    yield {}
    made.admin("delete from database where name = 'shop'", database=made.catalog)


WORLD: dict[Plant, tuple[str, str]] = {
    not_migrated: ("catalog", "catalog_not_migrated"),
    tables_taken_away: ("catalog", "catalog_rights"),
    an_evicting_redis: ("redis", "redis_evicts"),
    a_forgetting_redis: ("redis", "redis_forgets"),
    a_full_redis: ("redis", "redis_scarce"),
    a_redis_user_without_rights: ("redis", "redis_rights"),
    a_replica: ("redis", "redis_read_only"),
    a_role_that_may_make_no_databases: ("database", "insufficient_rights"),
    a_role_that_owns_nothing: ("database", "not_the_owner"),
    a_table_that_may_not_be_read: ("database", "not_readable"),
    a_superuser_at_work: ("database", "sessions_out_of_reach"),
    a_blocked_database: ("backups", "backup_blocked"),
}
