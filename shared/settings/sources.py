"""Environment and file put together. What is wrong is collected, so that it can be counted."""

from __future__ import annotations

from collections.abc import Collection, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import SecretStr, TypeAdapter, ValidationError

from shared.domain.database import Database
from shared.domain.events import Ask
from shared.domain.keys import NO_KEYS, Keys
from shared.domain.notice import Hook
from shared.domain.proof import Assertion, Digests, VerifyPolicy
from shared.domain.retention import Policy
from shared.domain.schedule import DEFAULT_EVERY, Cron, Every, Schedule, phase_of
from shared.errors import Misconfigured
from shared.settings import dsn, environment, file, keys
from shared.settings.environment import A_DSN, A_REDIS_URL, Environment
from shared.settings.fields import first_of, misconfigurations, secret_fault
from shared.settings.file import DeclaredDatabase, DeclaredHook, File, Keep
from shared.settings.values import Dsn, Name, RedisUrl

DSN: TypeAdapter[SecretStr] = TypeAdapter(Dsn)
REDIS_URL: TypeAdapter[SecretStr] = TypeAdapter(RedisUrl)
NAME: TypeAdapter[str] = TypeAdapter(Name)
FALLBACK_NAME = "main"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Both, each valid in itself. A method adds to `problems` what is wrong with the two together."""

    environment: Environment
    file: File
    environ: Mapping[str, str]
    cwd: Path
    folder: Path
    """Where the paths in the file start."""
    problems: list[Misconfigured]

    @classmethod
    def read(cls, environ: Mapping[str, str], cwd: Path) -> Self:
        """Misconfigured if either is wrong in itself."""
        problems: list[Misconfigured] = []
        given = environment.given(environ)
        tables, folder = file.read(cwd, given.get("SNAPFLEET_CONFIG"))
        declared, said = File(), Environment()
        try:
            declared = File.model_validate(tables)
        except ValidationError as exc:
            problems += misconfigurations(exc, File, tables)
        try:
            said = Environment.model_validate(given)
        except ValidationError as exc:
            problems += misconfigurations(exc, Environment, given)
        if problems:
            raise first_of(problems)  # outside the handlers: pydantic's error holds what was given
        return cls(
            environment=said, file=declared, environ=environ, cwd=cwd, folder=folder, problems=problems
        )

    def databases(self) -> tuple[Database, ...]:
        """Those of the file, else the one of the environment."""
        found: list[Database] = []
        for declared in self.file.databases:
            with self._collected():
                found.append(self._declared(declared))
        if not self.file.databases:
            with self._collected():
                found.append(self._single())
        with self._collected():
            _require_apart(found)
        return tuple(found)

    def catalog_url(self, databases: tuple[Database, ...]) -> SecretStr | None:
        """The catalog's; None if there is a problem with it."""
        with self._collected():
            url = self._url("catalog_url", self.environment.catalog_url, DSN, A_DSN)
            place = dsn.place_of(url.get_secret_value())
            for database in databases:
                if dsn.place_of(database.url) == place:
                    raise Misconfigured(
                        f"CATALOG_URL: it is the database {database.name!r}, which is protected:"
                        " a restore would take the record of itself back",
                        code="catalog_in_protected_database",
                        hint="create a database of its own for the catalog, on the same server if you like",
                    )
            return url
        return None

    def redis_url(self) -> SecretStr | None:
        """Redis's; None if there is a problem with it."""
        with self._collected():
            return self._url("redis_url", self.environment.redis_url, REDIS_URL, A_REDIS_URL)
        return None

    def bucket(self) -> str | None:
        return self.environment.s3_bucket or self.file.bucket

    def prefix(self) -> str:
        found = self.environment.s3_prefix
        return (self.file.prefix if found is None else found) or ""

    def hooks(self) -> tuple[Hook, ...]:
        """Whom to tell; a problem for each that cannot be."""
        found: list[Hook] = []
        for declared in self.file.notify:
            with self._collected():
                found.append(self._hook(declared, taken={hook.name for hook in found}))
        return tuple(found)

    def _hook(self, declared: DeclaredHook, *, taken: Collection[str]) -> Hook:
        label = f"notify.{declared.name}.url"
        if declared.name in taken:
            raise Misconfigured(
                f"notify.name: {declared.name!r} stands there twice", hint="give each its own"
            )
        url = file.secret(declared, "url", label=label, environ=self.environ, folder=self.folder)
        if url is None:
            raise Misconfigured(
                f"{label}_env: neither it nor url_file is set",
                hint="name the environment variable, or the file, that holds the URL",
            )
        return Hook(name=declared.name, url=url[0], events=frozenset(declared.events))

    def bus_allow(self) -> frozenset[Ask]:
        said = self.environment.bus_allow
        return frozenset(Ask(each) for each in (self.file.bus.allow if said is None else said))

    def keys(self) -> Keys:
        """None of them, and a problem, where one cannot be read."""
        with self._collected():
            return keys.read(self.environment, self.file, cwd=self.cwd, folder=self.folder)
        return NO_KEYS

    def snapshot_folder(self) -> Path | None:
        """Absolute, and no file; it need not exist yet."""
        found: Path | None = None
        label = "folder" if self.environment.snapshot_dir is None else "SNAPSHOT_DIR"
        if self.environment.snapshot_dir is not None:
            found = self.cwd / self.environment.snapshot_dir
        elif self.file.folder is not None:
            found = self.folder / self.file.folder
        if found is not None and found.exists() and not found.is_dir():
            self.problems.append(
                Misconfigured(f"{label}: {str(found)!r} is no folder", hint="give the path of a folder")
            )
        if found is None and self.bucket() is None:
            self.problems.append(
                Misconfigured(
                    "S3_BUCKET: neither it nor SNAPSHOT_DIR is set",
                    hint="give a bucket, a folder, or both: snapshots must be kept somewhere",
                )
            )
        return found

    def pg_bin_dir(self) -> Path | None:
        if self.environment.pg_bin_dir is None:
            return None
        found = self.cwd / self.environment.pg_bin_dir
        if not found.is_dir():
            self.problems.append(
                Misconfigured(
                    f"PG_BIN_DIR: {str(found)!r} is no folder", hint="give the folder that pg_dump is in"
                )
            )
        return found

    @contextmanager
    def _collected(self) -> Generator[None]:
        try:
            yield
        except Misconfigured as problem:
            self.problems.append(problem)

    def _url(self, key: str, said: SecretStr | None, kind: TypeAdapter[SecretStr], right: str) -> SecretStr:
        if said is not None:
            return said
        found = file.secret(self.file, key, label=key, environ=self.environ, folder=self.folder)
        if found is None:
            raise Misconfigured(f"{key.upper()}: is required", hint=f"give {right}")
        return _checked(found, kind, right)

    def _single(self) -> Database:
        url = self.environment.database_url
        if url is None:
            raise Misconfigured(
                "DATABASE_URL: is required, as no file declares a database", hint=f"give {A_DSN}"
            )
        name = self.environment.database_name
        if name is None:
            name = _name_of(url.get_secret_value())
        return self._database(DeclaredDatabase(name=name), url)

    def _declared(self, declared: DeclaredDatabase) -> Database:
        label = f"databases.{declared.name}.url"
        found = file.secret(declared, "url", label=label, environ=self.environ, folder=self.folder)
        if found is None:
            raise Misconfigured(
                f"{label}_env: neither it nor url_file is set",
                hint="name the environment variable, or the file, that holds the connection string",
            )
        return self._database(declared, _checked(found, DSN, A_DSN))

    def _database(self, declared: DeclaredDatabase, url: SecretStr) -> Database:
        return Database(
            name=declared.name,
            url=url.get_secret_value(),
            schedule=_schedule(declared),
            policy=_policy(declared.keep),
            part_bytes=declared.part_size,
            compression_level=declared.compression_level,
            parallelism=declared.parallelism,
            undo_window=declared.undo_window or self.environment.undo_window,
            verify=VerifyPolicy(declared.verify or self.environment.verify or VerifyPolicy.SIZE),
            verify_url=self._verify_url(declared),
            digests=Digests(declared.digests),
            assertions=tuple(self._assertion(declared, path) for path in declared.assertions),
            checked_daily=declared.check == "daily",
            restore_objective=declared.restore_objective,
            incremental=declared.incremental,
            base_wait=declared.base_wait,
            verify_incremental=declared.verify_incremental,
            warm=self._is_warm(declared, url),
        )

    def _is_warm(self, declared: DeclaredDatabase, url: SecretStr) -> bool:
        """Refused where its proofs leave nothing on the database's own server."""
        if declared.warm and (declared.verify or self.environment.verify) == "never":
            raise Misconfigured(
                f"databases.{declared.name}.warm: nothing is proven here, so nothing can be kept",
                hint='set verify = "always" or "daily", or warm = false',
            )
        if declared.warm and self._verify_url(declared) not in (None, url.get_secret_value()):
            raise Misconfigured(
                f"databases.{declared.name}.warm: its proofs run on another server, or as another role",
                hint="take the URL for its proofs away, or set warm = false",
            )
        return declared.warm

    def _verify_url(self, declared: DeclaredDatabase) -> str | None:
        """The server for its proofs; None where they run on its own."""
        label = f"databases.{declared.name}.verify_url"
        found = file.secret(declared, "verify_url", label=label, environ=self.environ, folder=self.folder)
        url = _checked(found, DSN, A_DSN) if found else self.environment.verify_database_url
        return None if url is None else url.get_secret_value()

    def _assertion(self, declared: DeclaredDatabase, path: str) -> Assertion:
        label = f"databases.{declared.name}.assertions"
        try:
            text = (self.folder / path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else "it is not text"
            raise Misconfigured(
                f"{label}: {path!r} cannot be read: {reason}", hint="give the path of a file with one query"
            ) from exc
        if not text.strip():
            raise Misconfigured(f"{label}: {path!r} is empty", hint="give the path of a file with one query")
        return Assertion(name=path, sql=text)


def _policy(keep: Keep) -> Policy:
    return Policy(
        last=keep.last, daily=keep.daily, weekly=keep.weekly, monthly=keep.monthly, within=keep.within
    )


def _checked(found: tuple[str, str], kind: TypeAdapter[SecretStr], right: str) -> SecretStr:
    text, label = found
    try:
        return kind.validate_python(text)
    except ValidationError as exc:
        fault = secret_fault(exc)
    raise Misconfigured(f"{label}: what it leads to is wrong: {fault}", hint=f"give {right}")


def _name_of(url: str) -> str:
    try:
        return NAME.validate_python(dsn.place_of(url)[2])
    except ValidationError:
        return FALLBACK_NAME


def _schedule(declared: DeclaredDatabase) -> Schedule:
    label = f"databases.{declared.name}"
    if declared.cron is None:
        if declared.zone is not None:
            raise Misconfigured(
                f"{label}.zone: {declared.zone!r} says nothing without cron", hint="remove it, or give cron"
            )
        every = declared.every or DEFAULT_EVERY
        return Every(every=every, phase=phase_of(declared.name, every))
    if declared.every is not None:
        raise Misconfigured(
            f"{label}.cron: {declared.cron!r} stands beside every", hint="keep one of the two"
        )
    try:
        return Cron(expression=declared.cron, zone=declared.zone or "UTC")
    except Misconfigured as exc:
        raise Misconfigured(f"{label}.cron: {exc.message}", hint=exc.hint) from exc


def _require_apart(databases: list[Database]) -> None:
    """One name and one entry for each: what keeps two jobs apart is kept by the name."""
    names, places = set[str](), dict[dsn.Place, str]()
    for each in databases:
        if each.name in names:
            raise Misconfigured(
                f"databases.name: {each.name!r} stands there twice",
                hint="give each database a name of its own",
            )
        names.add(each.name)
        first = places.setdefault(dsn.place_of(each.url), each.name)
        if first != each.name:
            raise Misconfigured(
                f"databases.{each.name}: it is the same database as {first!r}",
                hint="remove one of the two",
            )
