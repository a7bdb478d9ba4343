"""Every command, argument and option as a page: `python -m cli.reference > docs/cli.md`."""

from __future__ import annotations

import sys

from typer import Context
from typer.cli import get_docs_for_click
from typer.main import get_command

from cli.main import NAME, make_app

PREFACE = """\
<!-- Written by `python -m cli.reference`; a test compares it with the commands. -->

# Commands

What they do with your data stands in [restore](restore.md), [retention](retention.md), [proof](proof.md) and
[guard](guard.md); what their errors mean, in [troubleshooting](troubleshooting.md).

"""


def page() -> str:
    root = get_command(make_app())
    context = Context(root, info_name=NAME)
    with context:
        said = get_docs_for_click(obj=root, ctx=context, name=NAME)
    lines = (line.rstrip() for line in said.splitlines())
    # The title is ours; the parts below it stay one level lower.
    return PREFACE + "\n".join(line for line in lines if not line.startswith("# ")).strip() + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
