"""The page about the doctor has every code that it can tell by itself."""

from __future__ import annotations

import re
from pathlib import Path

import shared.operations.health.examinations as first

PAGE = Path(__file__).parents[2] / "docs" / "doctor.md"
SOURCES = Path(first.__file__).parent
CODE = re.compile(r'(?:(?:warn|fail)\(\s*|code(?:=| = ))"([a-z_]+)"')


def test_every_code_of_an_examination_is_explained() -> None:
    files = [*SOURCES.glob("exam*.py"), SOURCES / "trial.py", SOURCES.parents[1] / "locks" / "server.py"]
    codes = {code for file in files for code in CODE.findall(file.read_text("utf-8"))}
    assert len(codes) > 20
    page = PAGE.read_text("utf-8")
    assert [code for code in sorted(codes) if f"`{code}`" not in page] == []
