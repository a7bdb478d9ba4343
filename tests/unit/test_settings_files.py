"""Secrets that stand in files: `CATALOG_URL_FILE` instead of `CATALOG_URL`."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.errors import Misconfigured
from tests.unit.given_settings import ENVIRON, SECRET, load

SECRETS = ("DATABASE_URL", "CATALOG_URL", "REDIS_URL")


def secret_file(folder: Path, name: str, text: str | None = None) -> str:
    path = folder / name.lower()
    path.write_text(f"{ENVIRON[name]}\n" if text is None else text)
    return str(path)


def test_every_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    files = {f"{name}_FILE": secret_file(tmp_path, name) for name in SECRETS}
    assert load(tmp_path, **dict.fromkeys(SECRETS), **files) == load(tmp_path)


def test_another_server_to_restore_into_may_too(tmp_path: Path) -> None:
    (tmp_path / "target").write_text(ENVIRON["DATABASE_URL"])
    found = load(tmp_path, SNAPFLEET_TARGET_SPARE_URL_FILE="target").targets
    assert found["SNAPFLEET_TARGET_SPARE_URL"].get_secret_value() == ENVIRON["DATABASE_URL"]


def test_a_path_starts_at_the_working_folder(tmp_path: Path) -> None:
    secret_file(tmp_path, "REDIS_URL")
    assert load(tmp_path, REDIS_URL=None, REDIS_URL_FILE="redis_url") == load(tmp_path)


def test_an_empty_variable_names_no_file(tmp_path: Path) -> None:
    assert load(tmp_path, CATALOG_URL_FILE=" ") == load(tmp_path)


def test_what_holds_no_secret_is_no_business_of_ours(tmp_path: Path) -> None:
    assert load(tmp_path, AWS_SHARED_CREDENTIALS_FILE="/nowhere", S3_BUCKET_FILE="/nowhere") == load(tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "is empty"), (None, "cannot be read: No such file or directory"), ("nonsense", "CATALOG_URL")],
)
def test_what_is_wrong_with_the_file_is_said_without_its_content(
    tmp_path: Path, text: str | None, said: str
) -> None:
    path = str(tmp_path / "missing") if text is None else secret_file(tmp_path, "CATALOG_URL", text)
    with pytest.raises(Misconfigured) as refused:
        load(tmp_path, CATALOG_URL=None, CATALOG_URL_FILE=path)
    assert said in refused.value.message
    assert refused.value.hint
    assert "nonsense" not in refused.value.message


def test_both_ways_at_once_are_refused_since_one_of_them_is_stale(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="CATALOG_URL_FILE: CATALOG_URL is set too") as refused:
        load(tmp_path, CATALOG_URL_FILE=secret_file(tmp_path, "CATALOG_URL"))
    assert SECRET not in repr(refused.value)
