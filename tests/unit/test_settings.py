"""Settings: what they come to, and the page about them."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from datetime import timedelta
from pathlib import Path

import pytest

from shared.domain.database import Database
from shared.domain.retention import Policy
from shared.domain.schedule import Cron, Every, phase_of
from shared.errors import Misconfigured
from shared.settings import Settings, document
from shared.settings.document import EXAMPLE, render
from tests.unit.given_settings import ENVIRON, FLEET, SECRET, TOML, load

MIB = 1024**2


def test_one_database_needs_five_variables_at_most(tmp_path: Path) -> None:
    settings = load(tmp_path)
    every = timedelta(hours=6)
    assert settings.databases == (
        Database(
            name="orders",
            url=ENVIRON["DATABASE_URL"],
            schedule=Every(every=every, phase=phase_of("orders", every)),
            policy=Policy(last=10),
            part_bytes=64 * MIB,
            compression_level=1,
            parallelism=2,
            undo_window=timedelta(hours=24),
        ),
    )
    assert settings.catalog_url.get_secret_value() == ENVIRON["CATALOG_URL"]
    assert settings.redis_url.get_secret_value() == ENVIRON["REDIS_URL"]
    assert (settings.bucket, settings.prefix, settings.folder) == ("snapshots", "", None)
    assert (settings.lease, settings.worker_concurrency) == (timedelta(seconds=60), 2)
    assert (settings.log_level, settings.log_format) == ("info", "auto")
    assert (settings.pg_bin_dir, settings.restore_as_superuser) == (None, False)
    assert settings.allow_old_tools is False


def test_every_variable_is_heard(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    settings = load(
        tmp_path,
        DATABASE_NAME="main-db",
        S3_PREFIX="/a/b/",
        SNAPSHOT_DIR="snaps",
        PG_BIN_DIR="bin",
        LEASE_SECONDS="3",
        WORKER_CONCURRENCY="4",
        LOG_LEVEL="DEBUG",
        LOG_FORMAT="json",
        RESTORE_AS_SUPERUSER="yes",
        ALLOW_OLD_TOOLS="yes",
        UNDO_WINDOW="90s",
    )
    assert settings.databases[0].name == "main-db"
    assert settings.databases[0].undo_window == timedelta(seconds=90)
    assert (settings.prefix, settings.folder) == ("a/b", tmp_path / "snaps")
    assert (settings.pg_bin_dir, settings.lease) == (tmp_path / "bin", timedelta(seconds=3))
    assert (settings.worker_concurrency, settings.log_level, settings.log_format) == (4, "debug", "json")
    assert settings.restore_as_superuser is True
    assert settings.allow_old_tools is True


@pytest.mark.parametrize(
    ("dbname", "name"), [("orders", "orders"), ("Orders", "main"), ("a%20b", "main"), ("o" * 63, "o" * 63)]
)
def test_a_database_is_called_by_its_dbname_or_main(tmp_path: Path, dbname: str, name: str) -> None:
    assert load(tmp_path, DATABASE_URL=f"postgresql://app@h/{dbname}").databases[0].name == name


def test_every_variable_of_the_form_is_another_server_to_restore_into(tmp_path: Path) -> None:
    url = f"postgresql://app:{SECRET}@staging/postgres"
    settings = load(
        tmp_path, SNAPFLEET_TARGET_STAGING_URL=url, SNAPFLEET_TARGET_NONE_URL=" ", TARGET_OTHER_URL=url
    )
    assert settings.values()["targets"] == {"SNAPFLEET_TARGET_STAGING_URL": url}
    assert SECRET not in repr(settings)
    with pytest.raises(Misconfigured, match="SNAPFLEET_TARGET_STAGING_URL") as wrong:
        load(tmp_path, SNAPFLEET_TARGET_STAGING_URL=f"mysql://app:{SECRET}@staging")
    assert SECRET not in str(wrong.value)


def test_an_empty_variable_counts_as_not_set(tmp_path: Path) -> None:
    settings = load(tmp_path, SNAPSHOT_DIR="", LEASE_SECONDS=" ", DATABASE_NAME="")
    assert (settings.folder, settings.lease) == (None, timedelta(seconds=60))


def test_a_file_declares_many_databases(tmp_path: Path) -> None:
    (tmp_path / "ledger-url").write_text(f"{FLEET['LEDGER_URL']}\n")
    settings = load(
        tmp_path,
        TOML
        + """
        every = "2h"
        [[databases]]
        name = "ledger"
        url_file = "ledger-url"
        cron = "30 2 * * *"
        zone = "Europe/Berlin"
        keep = { last = 3 }
        part_size = "1GiB"
        compression_level = 19
        parallelism = 64
        undo_window = "3d"
        incremental = false
        base_wait = "1m"
        verify_incremental = 0
        """,
        UNDO_WINDOW="1h",
    )
    two_hours = timedelta(hours=2)
    orders, ledger = settings.databases
    assert orders.schedule == Every(every=two_hours, phase=phase_of("orders", two_hours))
    assert orders.undo_window == timedelta(hours=1)
    assert ledger == Database(
        name="ledger",
        url=FLEET["LEDGER_URL"],
        schedule=Cron(expression="30 2 * * *", zone="Europe/Berlin"),
        policy=Policy(last=3),
        part_bytes=1024 * MIB,
        compression_level=19,
        parallelism=64,
        undo_window=timedelta(days=3),
        incremental=False,
        base_wait=timedelta(minutes=1),
        verify_incremental=0,
    )


def test_the_files_databases_win_and_its_other_settings_give_way(tmp_path: Path) -> None:
    toml = (
        'bucket = "elsewhere"\nprefix = "p"\nfolder = "f"\ncatalog_url_env = "OTHER"\nredis_url_env = "NONE"\n'
        + TOML
    )
    settings = load(tmp_path, toml, DATABASE_URL="postgresql://app@h/single", S3_PREFIX="q")
    assert [database.name for database in settings.databases] == ["orders"]
    assert (settings.bucket, settings.prefix, settings.folder) == ("snapshots", "q", tmp_path / "f")
    assert settings.catalog_url.get_secret_value() == ENVIRON["CATALOG_URL"]


def test_a_file_elsewhere_is_named_and_its_paths_start_there(tmp_path: Path) -> None:
    there = tmp_path / "etc"
    there.mkdir()
    (there / "fleet.toml").write_text(f'folder = "snaps"\ncatalog_url_file = "catalog"\n{TOML}')
    (there / "catalog").write_text("postgresql://snap@h/catalog")
    environ = {**FLEET, "SNAPFLEET_CONFIG": "etc/fleet.toml"}
    del environ["CATALOG_URL"]
    settings = Settings.load(environ, tmp_path)
    assert settings.folder == there / "snaps"
    assert settings.catalog_url.get_secret_value() == "postgresql://snap@h/catalog"


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert SECRET not in f"{settings!r} {settings} {settings.databases}"


def test_settings_do_not_change(tmp_path: Path) -> None:
    with pytest.raises(FrozenInstanceError):
        load(tmp_path).bucket = "other"  # type: ignore[misc] # that it cannot be set is the claim


def test_this_processes_environment_is_read_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    assert Settings.from_environment().bucket == "snapshots"


def test_the_page_about_configuration_is_current() -> None:
    page = Path(__file__).parents[2] / "docs" / "configuration.md"
    assert page.read_text(encoding="utf-8") == render(), (
        "run python -m shared.settings > docs/configuration.md"
    )


def test_every_setting_is_documented() -> None:
    documented = document()
    assert {"DATABASE_URL", "UNDO_WINDOW", "catalog_url_file", "part_size", "keep"} <= {
        d.name for d in documented
    }
    assert all(d.default and d.accepts and d.meaning for d in documented)


def test_the_example_of_the_page_is_a_valid_file(tmp_path: Path) -> None:
    toml = EXAMPLE.split("```toml\n")[1].split("```")[0]
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/ledger-url").write_text(FLEET["LEDGER_URL"])
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks/balances.sql").write_text("select true")
    settings = load(tmp_path, toml)
    assert [database.name for database in settings.databases] == ["orders", "ledger"]
