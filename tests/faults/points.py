"""Every moment that the code names, and those that each kind of job passes on its way there and back."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import shared
from shared.domain.job import SAGAS, JobKind

Passed = Mapping[JobKind, tuple[str, ...]]


@cache
def named() -> frozenset[str]:
    """The moments inside the steps: every literal that `failpoints.reach` is called with."""
    return frozenset(
        call.args[0].value
        for path in Path(shared.__path__[0]).rglob("*.py")
        if ".reach(" in (source := path.read_text("utf-8"))
        for call in ast.walk(ast.parse(source))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "reach"
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
    )


def boundaries(kind: JobKind) -> list[str]:
    """Where one step of a job ends and the next begins."""
    return [
        f"{kind}.{step}:{moment}" for step in SAGAS[kind].steps for moment in ("claimed", "done", "finished")
    ]


def ways_back(kind: JobKind) -> list[str]:
    """The same of a rollback that begins when the last step is done."""
    undone = [f"{kind}.{step}:undone" for step in reversed(SAGAS[kind].steps)]
    return [f"{kind}:rollback_claimed", *undone, f"{kind}:rollback_ended"]


def last(kind: JobKind) -> str:
    """The last moment at which a job can still fail."""
    return f"{kind}.{SAGAS[kind].steps[-1]}:done"


def everything() -> frozenset[str]:
    """All of them."""
    of_sagas = {point for kind in SAGAS for point in (*boundaries(kind), *ways_back(kind))}
    return named() | of_sagas
