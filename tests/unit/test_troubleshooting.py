"""Every code that an error can carry is explained, and none that it cannot."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import api
import beat
import bus
import cli
import embedded
import shared
import workers
from shared import errors

PAGE = Path(__file__).parents[2] / "docs" / "troubleshooting.md"
ROOMS = (shared, workers, beat, bus, api, cli, embedded)
ROW = re.compile(r"^\| `(\w+)` \| \S.* \| \S.* \|$", re.MULTILINE)
# What is said of a finding or of a repair of one stands in docs/check.md.
ELSEWHERE = {"Finding", "Fix"}


def files(suffix: str) -> Iterator[Path]:
    for room in ROOMS:
        yield from Path(room.__path__[0]).rglob(f"*{suffix}")


def of_statements() -> Iterator[str]:
    """What the catalog's own statements write into a job."""
    for path in files(".sql"):
        yield from re.findall(r"'code',\s*'(\w+)'", path.read_text("utf-8"))


def codes() -> Iterator[str]:
    """As keyword, as default of a class, and behind a class of errors in a table or an abbreviation of one."""
    trees = (ast.parse(path.read_text("utf-8")) for path in files(".py"))
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) not in ELSEWHERE:
            yield from (text(word.value) for word in node.keywords if word.arg == "code")
            yield from behind_a_class(node.args)
        elif isinstance(node, ast.Tuple):
            yield from behind_a_class(node.elts)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if ast.unparse(target) == "default_code":
                yield text(node.value)


def behind_a_class(elements: list[ast.expr]) -> Iterator[str]:
    for one, other in pairwise(elements):
        if isinstance(one, ast.Name) and isinstance(getattr(errors, one.id, None), type):
            yield text(other)


def text(node: ast.expr | None) -> str:
    """Empty where it is no literal that looks like a code."""
    said = node.value if isinstance(node, ast.Constant) else None
    return said if isinstance(said, str) and re.fullmatch(r"[a-z]\w+", said) else ""


def test_every_code_has_one_row_and_every_row_is_of_a_code() -> None:
    explained = Counter(ROW.findall(PAGE.read_text("utf-8")))
    assert {code for code, times in explained.items() if times > 1} == set()
    assert sorted({*codes(), *of_statements()} - {""}) == sorted(explained)
