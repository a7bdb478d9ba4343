"""The settings that come from `snapfleet.toml`. No secret stands in it: it names where they are."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from shared.domain.notice import DEFAULT as DEFAULT_NOTABLE
from shared.errors import Misconfigured
from shared.settings.environment import A_DSN
from shared.settings.fields import Declared, setting
from shared.settings.protection import DeclaredEncryption, DeclaredSigning
from shared.settings.serving import DeclaredApi
from shared.settings.values import (
    Bucket,
    Duration,
    Interval,
    Name,
    Notable,
    Prefix,
    SecretFile,
    Size,
    Variable,
    Whole,
)

DEFAULT_NAME = "snapfleet.toml"
A_VARIABLE = "the name of an environment variable that holds it: letters, digits and _"
A_FILE = "the path of a file that holds nothing else"


class Keep(Declared):
    """What retention keeps."""

    last: Whole = setting(
        10,
        meaning="How many of the newest to keep: verified ones, or sealed ones where `verify` is never.",
        right="a whole number from 1 to 100000",
        ge=1,
        le=100_000,
    )
    daily: Whole = setting(
        0,
        meaning="Of how many days that have one to keep the newest too. Days, weeks and months are UTC's.",
        right="a whole number from 0 to 100000",
        ge=0,
        le=100_000,
    )
    weekly: Whole = setting(
        0,
        meaning="Likewise of how many weeks, which begin on Monday.",
        right="a whole number from 0 to 100000",
        ge=0,
        le=100_000,
    )
    monthly: Whole = setting(
        0,
        meaning="Likewise of how many months.",
        right="a whole number from 0 to 100000",
        ge=0,
        le=100_000,
    )
    within: Duration | None = setting(
        None,
        meaning="To keep all that are at most so much older than the newest too.",
        right="a number and a unit s, m, h or d: 14d",
    )


class DeclaredDatabase(Declared):
    """One `[[databases]]`."""

    name: Name = setting(
        ...,
        meaning="What it is called here: in commands, in the repository, in the catalog.",
        right="a name of a-z, 0-9, - and _, at most 63, the first a letter or a digit",
    )
    url_env: Variable | None = setting(
        None,
        meaning=f"The environment variable that holds its connection string: {A_DSN}.",
        right=A_VARIABLE,
        otherwise="required, or `url_file`",
        secret=True,
    )
    url_file: SecretFile | None = setting(
        None,
        meaning="The file that holds its connection string. A relative path starts at the configuration file.",
        right=A_FILE,
        otherwise="required, or `url_env`",
        secret=True,
    )
    every: Interval | None = setting(
        None,
        meaning="The time between two snapshots. Databases of one interval are spread over it by their names.",
        right="a number and a unit s, m, h or d, at least 1m: 6h",
        otherwise="6h, if there is no `cron`",
    )
    cron: str | None = setting(
        None,
        meaning="When to take snapshots, in place of `every`.",
        right="minute hour day-of-month month day-of-week: 30 2 * * *",
    )
    zone: str | None = setting(
        None,
        meaning="The time zone that `cron` is read in. What falls into an hour that is skipped or repeated runs once.",
        right="an IANA name: Europe/Berlin",
        otherwise="UTC",
    )
    keep: Keep = setting(
        Keep(),
        meaning="What retention keeps: whatever one of its rules keeps, and never less than a day of everything.",
        right='a table: { last = 10, daily = 7, weekly = 4, monthly = 6, within = "14d" }',
    )
    verify: Literal["always", "daily", "never"] | None = setting(
        None,
        meaning="After which snapshots one is restored into a scratch database and compared with what was recorded.",
        right="always, daily or never",
        otherwise="`VERIFY`",
    )
    verify_url_env: Variable | None = setting(
        None,
        meaning="The environment variable that holds the connection string of the server to prove its snapshots on.",
        right=A_VARIABLE,
        otherwise="`VERIFY_DATABASE_URL`",
        secret=True,
    )
    verify_url_file: SecretFile | None = setting(
        None,
        meaning="The file that holds the same.",
        right=A_FILE,
        otherwise="`VERIFY_DATABASE_URL`",
        secret=True,
    )
    warm: bool = setting(
        False,
        meaning="Whether what the newest proof has restored stays on the server, ready to be swapped in: [restore.md](restore.md#the-warm-copy). It takes the room of the database once more, and is dropped where that gets short.",
        right="true or false",
    )
    digests: Literal["all", "sample", "none"] = setting(
        "sample",
        meaning="Of which rows a snapshot records digests of their content, for its proofs to compare: of all, of those of tables up to 64 MiB and of a sixteenth of what is larger, or of none.",
        right="all, sample or none",
    )
    assertions: tuple[str, ...] = setting(
        (),
        meaning="Files with one query each, run in what was restored before it counts: the first column of each must be true in some row. A relative path starts at the configuration file.",
        right='a list of paths: ["checks/balances.sql"]',
    )
    check: Literal["daily", "never"] = setting(
        "daily",
        meaning="Whether the database, its snapshots and what jobs left behind are looked over once a day: `snapfleet check`.",
        right="daily or never",
    )
    restore_objective: Duration = setting(
        "5m",
        meaning="How long a restore of it may take: an alert tells where restores have shown that it takes longer.",
        right="a number and a unit s, m, h or d: 5m",
    )
    part_size: Size = setting(
        "64MiB",
        meaning="How much of a large table is one unit of work.",
        right="KiB, MiB or GiB from 1MiB to 1GiB, a multiple of 8KiB: 64MiB",
    )
    incremental: bool = setting(
        True,
        meaning="Whether parts that a server of 17 or later calls unchanged are taken over from an earlier snapshot unread, where it keeps summaries of its log and the role may ask for a checkpoint: [incremental.md](incremental.md).",
        right="true or false",
    )
    base_wait: Duration = setting(
        "5s",
        meaning="How long a snapshot waits for transactions that have written, so that the next one can be built on it, and how long for the summaries to reach it.",
        right="a number and a unit s, m, h or d: 5s",
    )
    verify_incremental: Whole = setting(
        100,
        meaning="After how many snapshots in a row that took parts over one reads those parts all the same, and compares. 1: each; 0: none.",
        right="a whole number from 0 to 100000",
        ge=0,
        le=100_000,
    )
    compression_level: Whole = setting(
        1, meaning="zstd's level.", right="a whole number from 1 to 19", ge=1, le=19
    )
    parallelism: Whole = setting(
        2,
        meaning="How many workers copy or load one snapshot together.",
        right="a whole number from 1 to 64",
        ge=1,
        le=64,
    )
    undo_window: Duration | None = setting(
        None,
        meaning="How long after a restore the database it replaced is kept.",
        right="a number and a unit s, m, h or d: 24h",
        otherwise="`UNDO_WINDOW`",
    )


class Bus(Declared):
    """The event bus."""

    allow: tuple[Literal["snapshot", "restore", "undo", "verify", "check"], ...] = setting(
        ("snapshot", "verify"),
        meaning="What may be asked for over the event bus. What is not in here only the command line can do.",
        right='a list of some of snapshot, restore, undo, verify, check: ["snapshot", "verify"]',
    )
    keep_events: Whole = setting(
        100_000,
        meaning="How many of the newest events stay in Redis, whoever has read them; older ones stay until every consumer group has.",
        right="a whole number from 1000 to 1000000",
        ge=1_000,
        le=1_000_000,
    )


class DeclaredHook(Declared):
    """One `[[notify]]`."""

    name: Name = setting(
        ...,
        meaning="What it is called in logs.",
        right="a name of a-z, 0-9, - and _, at most 63, the first a letter or a digit",
    )
    url_env: Variable | None = setting(
        None,
        meaning="The environment variable that holds its URL, as Apprise has them: json://host/path for a webhook, mailtos://user:password@host for e-mail.",
        right=A_VARIABLE,
        otherwise="required, or `url_file`",
        secret=True,
    )
    url_file: SecretFile | None = setting(
        None,
        meaning="The file that holds the same.",
        right=A_FILE,
        otherwise="required, or `url_env`",
        secret=True,
    )
    events: tuple[Notable, ...] = setting(
        DEFAULT_NOTABLE,
        meaning="What it is told of.",
        right='a list of some of the names in [monitoring.md](monitoring.md#notifications): ["snapshot.failed"]',
    )


class File(Declared):
    """The whole file."""

    catalog_url_env: Variable | None = setting(
        None,
        meaning="The environment variable that holds the catalog's connection string.",
        right=A_VARIABLE,
        secret=True,
    )
    catalog_url_file: SecretFile | None = setting(
        None, meaning="The file that holds the catalog's connection string.", right=A_FILE, secret=True
    )
    redis_url_env: Variable | None = setting(
        None, meaning="The environment variable that holds Redis's URL.", right=A_VARIABLE, secret=True
    )
    redis_url_file: SecretFile | None = setting(
        None, meaning="The file that holds Redis's URL.", right=A_FILE, secret=True
    )
    bucket: Bucket | None = setting(
        None, meaning="As `S3_BUCKET`.", right="the name of a bucket: 3 to 63 of a-z, 0-9, . and -"
    )
    prefix: Prefix | None = setting(
        None,
        meaning="As `S3_PREFIX`.",
        right="segments of letters, digits and !_.*'()- with / between them",
        otherwise="nothing",
    )
    folder: str | None = setting(
        None,
        meaning="As `SNAPSHOT_DIR`. A relative path starts at the configuration file.",
        right="the path of a folder",
    )
    notify: tuple[DeclaredHook, ...] = setting(
        (),
        meaning="Whom to tell what happened, each by one URL of Apprise: [monitoring.md](monitoring.md#notifications).",
        right="[[notify]] tables",
    )
    bus: Bus = setting(
        Bus(),
        meaning="What the event bus allows and keeps.",
        right='a table: { allow = ["snapshot", "verify"] }',
    )
    encryption: DeclaredEncryption = setting(
        DeclaredEncryption(),
        meaning="For whom snapshots are encrypted, and with what they are opened: [encryption.md](encryption.md).",
        right='a table: { recipients = ["age1…"], name_key_file = "secrets/name.key" }',
    )
    signing: DeclaredSigning = setting(
        DeclaredSigning(),
        meaning="With what manifests are signed, and whose signatures count.",
        right='a table: { key_file = "secrets/signing.pem", required = true }',
    )
    api: DeclaredApi = setting(
        DeclaredApi(),
        meaning="Where the REST API listens, and how often one may ask.",
        right='a table: { host = "127.0.0.1", port = 8400 }',
    )
    databases: tuple[DeclaredDatabase, ...] = setting(
        (),
        meaning="The databases to protect; `DATABASE_URL` is then none of them.",
        right="[[databases]] tables",
    )


def read(cwd: Path, named: str | None) -> tuple[dict[str, Any], Path]:
    """The file's tables as they stand, and the folder that its paths start at.

    Misconfigured if it was named and is not there, or is no TOML.
    """
    path = cwd / (named or DEFAULT_NAME)
    if named is None and not path.exists():
        return {}, cwd
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")), path.parent
    except OSError as exc:
        raise Misconfigured(
            f"SNAPFLEET_CONFIG: {str(path)!r} cannot be read: {exc.strerror}",
            hint="give the path of a TOML file",
        ) from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        where = f": {exc}" if isinstance(exc, tomllib.TOMLDecodeError) else ""
        raise Misconfigured(
            f"{path.name} is no TOML{where}", hint="correct that line, see docs/configuration.md"
        ) from exc


def secret(
    table: Declared, key: str, *, label: str, environ: Mapping[str, str], folder: Path
) -> tuple[str, str] | None:
    """What `<key>_env` or `<key>_file` leads to, and the name of the one that did; None if neither is set."""
    variable: str | None = getattr(table, f"{key}_env")
    path: str | None = getattr(table, f"{key}_file")
    if variable is not None and path is not None:
        raise Misconfigured(f"{label}_env: {label}_file is set too", hint="keep one of the two")
    if variable is not None:
        if not environ.get(variable, "").strip():
            raise Misconfigured(
                f"{label}_env: {variable!r} is not set in the environment",
                hint=f"set {variable}, or name another",
            )
        return environ[variable].strip(), f"{label}_env"
    if path is None:
        return None
    try:
        text = (folder / path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not text"
        raise Misconfigured(
            f"{label}_file: {path!r} cannot be read: {reason}", hint=f"give {A_FILE}"
        ) from exc
    if not text:
        raise Misconfigured(f"{label}_file: {path!r} is empty", hint=f"give {A_FILE}")
    return text, f"{label}_file"
