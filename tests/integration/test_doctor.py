"""`snapfleet doctor` names what is wrong: one thing after another is spoiled, and each is found by its code."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable, Generator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from cli import doctor, exits
from cli.main import main
from embedded.postgres import Postgres
from embedded.seaweed import SeaweedFS
from embedded.valkey import Valkey
from shared.domain.ids import new_snapshot_id
from shared.errors import SnapfleetError
from shared.operations.composition import compose
from shared.operations.fleet import Fleet
from shared.operations.health import examinations, trial
from shared.operations.health.examining import Examination, Notes, Result, Verdict, examine, worst
from shared.postgres import scratch
from shared.postgres.dsn import Dsn
from shared.settings import Settings
from shared.storage import keys
from tests.integration.doctor_plants import SETTINGS, WORLD, Plant, closed
from tests.integration.doctor_site import Site, site


@pytest.fixture(scope="module")
def healthy(
    postgres: Postgres, seaweed: SeaweedFS, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Site]:
    folder = tmp_path_factory.mktemp("doctor")
    valkey = Valkey(folder / "valkey")
    valkey.start()
    with site(postgres=postgres, valkey=valkey, seaweed=seaweed, folder=folder) as made:
        yield made
    valkey.stop()


@pytest.fixture
def asked(healthy: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., list[Verdict]]:
    """What the command finds in the healthy installation with some variables changed, or unset by None."""
    for name in os.environ:  # noqa: TID251 - the command reads it
        if name.startswith(("AWS_", "PG", "SNAPFLEET_", "S3_", "SNAPSHOT_")) or name.endswith("_URL"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def ask(*only: str, **changes: str | None) -> list[Verdict]:
        for name, value in {**healthy.environ, **changes}.items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)
        return list(doctor.examined(only, with_trial=False))

    return ask


@pytest.mark.parametrize("planted", SETTINGS)
def test_it_names_what_is_wrong_with_a_setting_or_with_what_it_leads_to(
    healthy: Site, asked: Callable[..., list[Verdict]], planted: str
) -> None:
    name, code, changes = SETTINGS[planted]
    found = asked(name, **changes(healthy))
    wrong = [verdict for verdict in found if verdict.code is not None]
    assert [(verdict.name.partition(" ")[0], verdict.code) for verdict in wrong] == [(name, code)]
    assert all(verdict.hint for verdict in wrong)
    assert "secret" not in repr(found).replace("secrets", "")
    assert healthy.valkey.password not in repr(found)


@pytest.mark.parametrize("plant", WORLD, ids=lambda plant: plant.__name__)
def test_it_names_what_is_wrong_with_a_server(
    healthy: Site,
    asked: Callable[..., list[Verdict]],
    plant: Plant,
) -> None:
    name, code = WORLD[plant]
    with plant(healthy) as changes:
        found = asked(name, **changes)
    assert code in {verdict.code for verdict in found if verdict.name.partition(" ")[0] == name}, found
    assert all(verdict.hint for verdict in found if verdict.code is not None)


def test_where_nothing_is_wrong_it_says_how_things_are(asked: Callable[..., list[Verdict]]) -> None:
    found = asked(
        "settings", "software", "machine", "tools", "catalog", "clock", "redis", "repository", "database"
    )
    assert [verdict for verdict in found if verdict.result is not Result.OK] == []
    assert len(found) == 9
    assert worst(found) is Result.OK


def test_what_stands_on_something_broken_is_not_told_as_well(asked: Callable[..., list[Verdict]]) -> None:
    found = asked(CATALOG_URL=f"postgresql://u:p@127.0.0.1:{closed()}/x")
    by_name = {verdict.name: verdict.result for verdict in found}
    assert by_name["catalog"] is Result.ERROR
    assert [name for name, result in by_name.items() if result is Result.SKIPPED] == [
        "clock", "canary", "backups shop",
    ]  # fmt: skip


def test_a_package_that_is_missing_or_too_old_is_named() -> None:
    notes = Notes(name="software")
    examinations.software(notes, ["psycopg>=99", "nothing-of-that-name>=1", "celery>=5", "x; extra == 'dev'"])
    assert {verdict.detail.split()[0] for verdict in notes.verdicts} == {"psycopg", "nothing-of-that-name"}
    assert {verdict.code for verdict in notes.verdicts} == {"package_version"}


def test_one_that_never_answers_is_named_and_keeps_nobody() -> None:
    release = threading.Event()

    def hang(_: Notes) -> str:
        release.wait()
        return ""

    found = list(
        examine(
            [Examination(name="slow", look=hang), Examination(name="quick", look=lambda _: "well")],
            patience=timedelta(seconds=0.2),
        )
    )
    release.set()
    assert [(verdict.name, verdict.code) for verdict in found] == [("slow", "no_answer"), ("quick", None)]


@pytest.fixture
def settings(healthy: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    for name, value in healthy.environ.items():
        monkeypatch.setenv(name, value)
    return Settings.load(healthy.environ, tmp_path)


def test_the_trial_takes_proves_restores_and_deletes_and_leaves_nothing(
    healthy: Site, settings: Settings
) -> None:
    fleet = compose(**settings.values())
    before = left(healthy, fleet)
    done = trial.run(fleet, Dsn.parse(healthy.url(healthy.shop)), now=datetime.now(UTC), random=uuid.uuid4())
    assert done.rows == 200
    assert list(done.seconds) == ["taken", "proven", "restored", "deleted"]
    assert left(healthy, fleet) == before
    fleet.catalog.close()


def test_a_trial_that_fails_leaves_nothing_either(healthy: Site, settings: Settings, tmp_path: Path) -> None:
    fleet = compose(**settings.values())
    before = left(healthy, fleet)
    without_tools = replace(fleet, bin_dir=tmp_path)
    with pytest.raises(SnapfleetError, match="PG_BIN_DIR") as failed:
        trial.run(without_tools, fleet.dsn("shop"), now=datetime.now(UTC), random=uuid.uuid4())
    assert failed.value.code == "bin_dir"
    assert left(healthy, fleet) == before
    fleet.catalog.close()


def test_what_a_trial_that_was_killed_has_left_is_removed_by_a_later_one(
    healthy: Site, settings: Settings
) -> None:
    fleet = compose(**settings.values())
    before = left(healthy, fleet)
    long_ago = new_snapshot_id(datetime.now(UTC) - timedelta(hours=2), uuid.uuid4())
    healthy.admin("create database {} owner {}", scratch.name_of(long_ago, "app"), healthy.owner)
    fleet.repository.storage.put(f"{keys.PROBES}/doctor/{long_ago}/doctor/chunks/ab/ab", b"x")
    trial.run(fleet, fleet.dsn("shop"), now=datetime.now(UTC), random=uuid.uuid4())
    assert left(healthy, fleet) == before
    fleet.catalog.close()


def left(healthy: Site, fleet: Fleet) -> tuple[set[str], set[str]]:
    """Databases of the server that are ours, and objects of the repository."""
    with psycopg.connect(healthy.postgres.dsn()) as session:
        names = session.execute(
            "select datname from pg_database where starts_with(datname, 'snapfleet_doctor')"
        )
        databases = {str(name) for (name,) in names}
    return databases, {stat.key for stat in fleet.repository.storage.list("")}


@pytest.mark.parametrize(
    ("only", "status"),
    [
        ("clock", exits.DONE),
        ("catalog", exits.WARNED),
        ("redis", exits.BROKEN),
        ("nothing-of-that-name", exits.USAGE),
    ],
)
def test_the_command_shows_how_to_mend_it_and_ends_with_how_bad_it_is(
    healthy: Site,
    asked: Callable[..., list[Verdict]],
    capsys: pytest.CaptureFixture[str],
    only: str,
    status: int,
) -> None:
    spoiled = {
        "catalog": {"CATALOG_URL": healthy.postgres.dsn(healthy.catalog)},
        "redis": {"REDIS_URL": "redis://127.0.0.1:1/0"},
    }
    asked("settings", **spoiled.get(only, {}))
    assert main(["doctor", "--quick", "--only", only]) == status
    said = capsys.readouterr()
    if status in {exits.WARNED, exits.BROKEN}:
        (wrong,) = [line for line in said.out.splitlines() if line.startswith(("catalog_", "redis_"))]
        hint = said.out.splitlines()[said.out.splitlines().index(wrong) + 1]
        assert hint.startswith("  ")
        assert hint.strip()
    elif status == exits.DONE:
        assert "nothing is wrong" in said.out
    else:
        assert "error: " in said.err
