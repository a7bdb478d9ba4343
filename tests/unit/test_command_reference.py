"""The page of commands is that of the commands, and every command that a document shows is one of them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from cli import reference
from cli.main import NAME, make_app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(page for page in (ROOT / "docs").glob("*.md") if page.name != "cli.md")]


def test_the_page_of_commands_is_current() -> None:
    assert (ROOT / "docs" / "cli.md").read_text("utf-8") == reference.page()


def shown(page: Path) -> list[list[str]]:
    """The words behind `snapfleet` in every line that a reader would type."""
    blocks = re.findall(
        r"^```(?:console|sh|bash)\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    found = [
        re.split(r"[|;&>]|\$\(", line.partition(f"$ {NAME} ")[2])[0] for line in lines if f"$ {NAME} " in line
    ]
    return [shlex.split(each, comments=True) for each in found]


def trouble(words: list[str]) -> str | None:
    """What of it no command knows."""
    command = get_command(make_app())
    for word in words:
        if word == "--":
            return None
        if isinstance(command, TyperGroup) and not word.startswith("-"):
            if word not in command.commands:
                return f"no command {word}"
            command = command.commands[word]
        elif word.startswith("--"):
            name = word.partition("=")[0]
            known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
            if name not in known:
                return f"no option {name}"
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_in_a_document_is_one(page: Path) -> None:
    wrong = {" ".join(words): said for words in shown(page) if (said := trouble(words)) is not None}
    assert wrong == {}
