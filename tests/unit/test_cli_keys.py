"""`snapfleet keys`: files for their owner alone, never written over, and no secret on the screen."""

from __future__ import annotations

import json
import subprocess
import tomllib
from pathlib import Path

import pytest

from cli import exits
from cli.main import main
from shared.errors import Refused
from shared.settings import Settings
from tests.unit.given_settings import FLEET, TOML


def made(folder: Path, capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert main(["keys", *argv, str(folder)]) == exits.DONE
    captured = capsys.readouterr()
    secrets = [path.read_text() for path in folder.iterdir()]
    lines = [line for text in secrets for line in text.splitlines() if not line.startswith(("#", "-"))]
    assert len(lines) >= 3
    assert not any(line in captured.out + captured.err for line in lines)
    return captured.out


def test_what_create_prints_is_a_configuration_that_works(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = made(tmp_path / "secrets", capsys, "create")
    (tmp_path / "snapfleet.toml").write_text(TOML + printed)
    settings = Settings.load(FLEET, tmp_path)
    assert settings.keys.signing_required
    assert len(settings.keys.recipients) == len(settings.keys.identities) == 1


def test_files_are_their_owners_alone_and_never_written_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "secrets"
    made(folder, capsys, "create")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert {path.stat().st_mode & 0o777 for path in before} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert main(["keys", "create", str(folder)]) == exits.status_of(Refused(""))
    assert "keys rotate" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_rotate_adds_a_key_and_keeps_the_old_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "secrets"
    first = tomllib.loads(made(folder, capsys, "create"))["encryption"]
    second = tomllib.loads(made(folder, capsys, "rotate"))["encryption"]
    assert first["recipients"] != second["recipients"]
    assert second["identity_files"][:-1] == first["identity_files"]
    signing = tomllib.loads(made(folder, capsys, "rotate", "--signing"))["signing"]
    assert len(list(folder.glob("signing-*.pem"))) == 2
    assert signing["key_file"] in map(str, folder.glob("signing-*.pem"))


def test_there_is_nothing_to_rotate_where_no_key_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keys", "rotate", str(tmp_path / "nothing")]) == exits.status_of(Refused(""))
    assert "keys create" in capsys.readouterr().err


@pytest.mark.usefixtures("age")
def test_age_and_openssl_read_the_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "secrets"
    printed = tomllib.loads(made(folder, capsys, "create"))
    [identity], [pem] = (list(map(str, folder.glob(each))) for each in ("identity-*.txt", "signing-*.pem"))
    shown = subprocess.run(["age-keygen", "-y", identity], capture_output=True, check=True, text=True)
    assert shown.stdout.split() == printed["encryption"]["recipients"]
    argv = ["openssl", "pkey", "-in", pem, "-pubout"]
    public = subprocess.run(argv, capture_output=True, check=True, text=True).stdout
    assert public.splitlines()[1:-1] == printed["signing"]["public_keys"]


def test_json_names_files_and_public_halves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(made(tmp_path / "secrets", capsys, "create", "--json"))
    assert found["identity"]["file"].endswith(f"identity-{found['identity']['id']}.txt")
    assert found["signing_key"]["public"].startswith("MCowBQYDK2VwAyEA")
    assert Path(found["name_key_file"]).name == "name.key"
