"""The settings that come from environment variables, named as the fields in capitals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import ConfigDict, SecretStr

from shared.settings.fields import Declared, about, setting
from shared.settings.values import (
    Addresses,
    Asks,
    Bucket,
    Dsn,
    Duration,
    Host,
    LogFormat,
    LogLevel,
    Name,
    Paths,
    Prefix,
    PublicKeys,
    Recipients,
    RedisUrl,
    Whole,
)

A_DSN = "postgresql://user:password@host:5432/dbname, or host=… dbname=…"
A_RECIPIENT = "age1… as `snapfleet keys create` or age-keygen prints it"
A_PUBLIC_KEY = (
    "MCowBQYDK2VwAyEA… as `snapfleet keys create` prints it: the line of an Ed25519 public key in PEM"
)
A_HOST = "an address or a name of this machine: 127.0.0.1"
A_PORT = "a whole number from 0 to 65535; 0 takes a free one"
A_PROXY = "addresses of reverse proxies"
A_RATE = "a whole number from 1 to 1000000"
MOST_RATE = 1_000_000
A_REDIS_URL = "redis://:password@host:6379/0, rediss://… for TLS or unix://…"


class Environment(Declared):
    """What the environment says. A variable that is empty counts as not set."""

    model_config = ConfigDict(alias_generator=str.upper)

    snapfleet_config: str | None = setting(
        None,
        meaning="The configuration file. Without it `snapfleet.toml` in the working folder is read if it is there.",
        right="the path of a TOML file",
        otherwise="./snapfleet.toml",
    )
    database_url: Dsn | None = setting(
        None,
        meaning="The database to protect, where the file declares none.",
        right=A_DSN,
        secret=True,
    )
    database_name: Name | None = setting(
        None,
        meaning="What the database of `DATABASE_URL` is called here: in commands, in the repository, in the catalog.",
        right="a name of a-z, 0-9, - and _, at most 63, the first a letter or a digit",
        otherwise="the dbname of `DATABASE_URL` if it is such a name, else main",
    )
    catalog_url: Dsn | None = setting(
        None,
        meaning="Snapfleet's own PostgreSQL database. Never one that it protects: a restore would take the record of itself back.",
        right=A_DSN,
        otherwise="required, here or in the file",
        secret=True,
    )
    verify: Literal["always", "daily", "never"] | None = setting(
        None,
        meaning="After which snapshots one is restored into a scratch database and compared, where the file says nothing else of a database.",
        right="always, daily or never",
        otherwise="always up to 5 GB, else daily",
    )
    verify_database_url: Dsn | None = setting(
        None,
        meaning="A server where snapshots are proven: any database on it, as a role that may create others. Scratch databases are made beside that one and dropped again.",
        right=A_DSN,
        otherwise="the server of each database, as its own role",
        secret=True,
    )
    redis_url: RedisUrl | None = setting(
        None,
        meaning="The Redis or Valkey that carries messages and locks.",
        right=A_REDIS_URL,
        otherwise="required, here or in the file",
        secret=True,
    )
    s3_bucket: Bucket | None = setting(
        None,
        meaning="The bucket for snapshots. Where and as whom is said by the usual `AWS_*` variables, `AWS_ENDPOINT_URL_S3` included. It, `SNAPSHOT_DIR` or both must be set; with both each snapshot is stored in both.",
        right="the name of a bucket: 3 to 63 of a-z, 0-9, . and -",
    )
    s3_prefix: Prefix | None = setting(
        None,
        meaning="What every key in the bucket begins with.",
        right="segments of letters, digits and !_.*'()- with / between them",
        otherwise="nothing",
    )
    snapshot_dir: str | None = setting(
        None,
        meaning="The folder for snapshots. A relative path starts at the working folder. Made when first written to.",
        right="the path of a folder",
    )
    pg_bin_dir: str | None = setting(
        None,
        meaning="Where to look first for pg_dump, pg_restore and psql.",
        right="the path of a folder that exists",
        otherwise="the system's, then the wheels'",
    )
    lease_seconds: Whole = setting(
        60,
        meaning="How long a worker that has died keeps its job.",
        right="a whole number from 3 to 3600",
        ge=3,
        le=3600,
    )
    worker_concurrency: Whole = setting(
        2,
        meaning="How many jobs and parts one worker works on at a time.",
        right="a whole number from 1 to 64",
        ge=1,
        le=64,
    )
    log_level: LogLevel = setting(
        "info", meaning="The least that is logged.", right="debug, info, warning or error"
    )
    log_format: LogFormat = setting(
        "auto",
        meaning="One JSON line an event, or lines for people; auto is for people on a terminal.",
        right="auto, json or console",
    )
    flower_password: SecretStr | None = setting(
        None,
        meaning="What `snapfleet flower` asks for, as the password of the user `snapfleet`. It does not start without one.",
        right="a password",
        otherwise="required by `snapfleet flower`",
        secret=True,
    )
    metrics_host: str = setting(
        "127.0.0.1",
        meaning="The address on which `snapfleet exporter`, and workers that were given `--metrics-port`, serve metrics. They hold names of databases and numbers, no secrets.",
        right="an address of this host: 127.0.0.1, or 0.0.0.0 for all",
    )
    restore_as_superuser: bool = setting(
        False,
        meaning="Whether a restore may run as a superuser. The code in a snapshot then runs as one.",
        right="true or false",
    )
    allow_old_tools: bool = setting(
        False,
        meaning="Whether snapshots are taken with a pg_dump so old that a hostile server could run code in it.",
        right="true or false",
    )
    undo_window: Duration = setting(
        "24h",
        meaning="How long after a restore the database it replaced is kept, so that `snapfleet undo` takes seconds.",
        right="a number and a unit s, m, h or d: 24h",
    )
    bus_allow: Asks | None = setting(
        None,
        meaning="As `allow` under `[bus]`, with commas between them.",
        right="some of snapshot, restore, undo, verify, check: snapshot,verify",
        otherwise="`allow` under `[bus]`",
    )
    api_host: Host | None = setting(
        None, meaning="As `host` under `[api]`.", right=A_HOST, otherwise="`host` under `[api]`"
    )
    api_port: Whole | None = setting(
        None,
        meaning="As `port` under `[api]`.",
        right=A_PORT,
        otherwise="`port` under `[api]`",
        ge=0,
        le=65_535,
    )
    api_anonymous: bool = setting(
        False,
        meaning="Whether the REST API grants everything to whoever comes without a token. It then refuses to start anywhere but on loopback: for a machine of one's own.",
        right="true or false",
    )
    api_proxies: Addresses | None = setting(
        None,
        meaning="As `proxies` under `[api]`, with commas between them.",
        right=A_PROXY,
        otherwise="`proxies` under `[api]`",
    )
    api_requests_per_minute: Whole | None = setting(
        None,
        meaning="As `requests_per_minute` under `[api]`.",
        right=A_RATE,
        otherwise="`requests_per_minute` under `[api]`",
        ge=1,
        le=MOST_RATE,
    )
    api_failures_per_minute: Whole | None = setting(
        None,
        meaning="As `failures_per_minute` under `[api]`.",
        right=A_RATE,
        otherwise="`failures_per_minute` under `[api]`",
        ge=1,
        le=MOST_RATE,
    )
    api_waiting_jobs: Whole | None = setting(
        None,
        meaning="As `waiting_jobs` under `[api]`.",
        right=A_RATE,
        otherwise="`waiting_jobs` under `[api]`",
        ge=1,
        le=MOST_RATE,
    )
    encryption_recipients: Recipients | None = setting(
        None,
        meaning="As `recipients` under `[encryption]`, with commas between them.",
        right=A_RECIPIENT,
        otherwise="`recipients` under `[encryption]`",
    )
    encryption_name_key_file: str | None = setting(
        None,
        meaning="As `name_key_file` under `[encryption]`; a relative path starts at the working folder.",
        right="the path of a file",
        otherwise="`name_key_file` under `[encryption]`",
    )
    encryption_identity_files: Paths | None = setting(
        None,
        meaning="As `identity_files` under `[encryption]`, with commas between them: for hosts that restore, beside a file that all share.",
        right="paths of files",
        otherwise="`identity_files` under `[encryption]`",
    )
    signing_key_file: str | None = setting(
        None,
        meaning="As `key_file` under `[signing]`.",
        right="the path of a file",
        otherwise="`key_file` under `[signing]`",
    )
    signing_public_keys: PublicKeys | None = setting(
        None,
        meaning="As `public_keys` under `[signing]`, with commas between them.",
        right=A_PUBLIC_KEY,
        otherwise="`public_keys` under `[signing]`",
    )
    signing_required: bool | None = setting(
        None,
        meaning="As `required` under `[signing]`.",
        right="true or false",
        otherwise="`required` under `[signing]`",
    )
    heartbeat_file: str | None = setting(
        None,
        meaning="A file that this worker, beat or bus touches while it is well, each its own: a healthcheck looks at its age, which costs no process.",
        right="the path of a file in a folder that exists",
    )
    snapfleet_failpoints: str | None = setting(
        None,
        meaning="For fault tests only: the folder that says where a worker started with `--failpoints` dies. Any other process refuses to start while it is set.",
        right="nothing",
    )


def given(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that are ours and not empty."""
    names = (about(name, field).name for name, field in Environment.model_fields.items())
    return {name: environ[name] for name in names if environ.get(name, "").strip()}
