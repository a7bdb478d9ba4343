"""All settings of a process, read once, valid, and of plain values that travel down without them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Literal, Self, TypedDict

from pydantic import SecretStr

from shared.domain.database import Database
from shared.domain.events import Ask
from shared.domain.keys import NO_KEYS, Keys
from shared.domain.notice import Hook
from shared.errors import Misconfigured
from shared.settings import files, serving, targets
from shared.settings.fields import first_of
from shared.settings.serving import ApiSettings
from shared.settings.sources import Sources


class Values(TypedDict):
    """The settings that a fleet is composed of, as plain values, secrets unwrapped: for no other eyes."""

    databases: tuple[Database, ...]
    catalog_url: str
    redis_url: str
    bucket: str | None
    prefix: str
    folder: Path | None
    bin_dir: Path | None
    lease: timedelta
    restore_as_superuser: bool
    allow_old_tools: bool
    targets: Mapping[str, str]
    keys: Keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a process was told. `repr` shows no secret. At least one of `bucket` and `folder` is set."""

    databases: tuple[Database, ...]
    catalog_url: SecretStr
    redis_url: SecretStr
    bucket: str | None
    prefix: str
    """What every key begins with, without a / at either end; empty for nothing."""
    folder: Path | None
    pg_bin_dir: Path | None
    lease: timedelta
    worker_concurrency: int
    log_level: Literal["debug", "info", "warning", "error"]
    log_format: Literal["auto", "json", "console"]
    metrics_host: str
    flower_password: SecretStr | None = None
    """What Flower asks for."""
    restore_as_superuser: bool
    allow_old_tools: bool = False
    targets: Mapping[str, SecretStr] = field(default_factory=dict)
    """URLs of other servers to restore into, by the names of the variables that hold them."""
    keys: Keys = NO_KEYS
    bus_allow: frozenset[Ask]
    """What may be asked for over the event bus."""
    bus_keep_events: int
    hooks: tuple[Hook, ...] = ()
    """Whom to tell what happened."""
    api: ApiSettings
    heartbeat_file: Path | None = None
    """What a process touches while it is well."""
    failpoints: Path | None = None
    """Where fault tests say what is to fail; None unless the process was started for them."""

    @classmethod
    def from_environment(cls, *, for_faults: bool = False) -> Self:
        """The settings of this process; `for_faults` only where its command line says so."""
        return cls.load(os.environ, Path.cwd(), for_faults=for_faults)  # noqa: TID251 -- the one place that reads it

    @classmethod
    def load(cls, environ: Mapping[str, str], cwd: Path, *, for_faults: bool = False) -> Self:
        """The settings that these variables, and the file that they or `cwd` lead to, amount to.

        Misconfigured names the first setting that is wrong, its value unless secret, and in the hint
        what would be right.
        """
        environ = files.resolved(environ, cwd)
        sources = Sources.read(environ, cwd)
        said = sources.environment
        if said.snapfleet_failpoints is not None and not for_faults:
            raise Misconfigured(
                "SNAPFLEET_FAILPOINTS: it is set, and this process was not started to be broken by tests",
                code="failpoints_set",
                hint="unset it: it is for fault tests only",
            )
        databases = sources.databases()
        catalog_url, redis_url = sources.catalog_url(databases), sources.redis_url()
        hooks = sources.hooks()
        folder, pg_bin_dir = sources.snapshot_folder(), sources.pg_bin_dir()
        other_servers = targets.read(environ, sources.problems)
        found_keys = sources.keys()
        if sources.problems or catalog_url is None or redis_url is None:
            raise first_of(sources.problems)
        return cls(
            databases=databases,
            catalog_url=catalog_url,
            redis_url=redis_url,
            bucket=sources.bucket(),
            prefix=sources.prefix(),
            folder=folder,
            pg_bin_dir=pg_bin_dir,
            lease=timedelta(seconds=said.lease_seconds),
            worker_concurrency=said.worker_concurrency,
            log_level=said.log_level,
            log_format=said.log_format,
            metrics_host=said.metrics_host,
            flower_password=said.flower_password,
            restore_as_superuser=said.restore_as_superuser,
            hooks=hooks,
            bus_allow=sources.bus_allow(),
            bus_keep_events=sources.file.bus.keep_events,
            api=serving.merged(said, sources.file.api),
            allow_old_tools=said.allow_old_tools,
            targets=other_servers,
            keys=found_keys,
            heartbeat_file=None if said.heartbeat_file is None else cwd / said.heartbeat_file,
            failpoints=None if said.snapfleet_failpoints is None else cwd / said.snapfleet_failpoints,
        )

    def values(self) -> Values:
        """What `shared.operations.composition.compose` takes."""
        return Values(
            databases=self.databases,
            catalog_url=self.catalog_url.get_secret_value(),
            redis_url=self.redis_url.get_secret_value(),
            bucket=self.bucket,
            prefix=self.prefix,
            folder=self.folder,
            bin_dir=self.pg_bin_dir,
            lease=self.lease,
            restore_as_superuser=self.restore_as_superuser,
            allow_old_tools=self.allow_old_tools,
            targets={name: url.get_secret_value() for name, url in self.targets.items()},
            keys=self.keys,
        )
