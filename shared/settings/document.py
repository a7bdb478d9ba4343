"""The page about configuration, made from the settings themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from shared.settings import targets
from shared.settings.environment import A_DSN, Environment
from shared.settings.fields import About, Declared, fields_of
from shared.settings.file import (
    Bus,
    DeclaredDatabase,
    DeclaredHook,
    File,
    Keep,
)
from shared.settings.protection import DeclaredEncryption, DeclaredSigning
from shared.settings.serving import DeclaredApi

INTRODUCTION = """\
# Configuration

<!-- Made by `python -m shared.settings > docs/configuration.md`. Do not edit by hand. -->

Settings come from environment variables and from one TOML file. The file declares any number of
databases; where it declares none, `DATABASE_URL` is the one. For everything else a variable that is
set wins over the file. Every process reads them once, when it starts, and refuses to start if one is
wrong, naming it and saying what would be right.

A secret is never a value in the file: the file names an environment variable or another file. Settings
marked as secret are never shown, not even in an error. For each variable that is a secret there is another
whose name ends in `_FILE`: `CATALOG_URL_FILE` names the file that holds the URL, which is how Docker, Kubernetes
and systemd hand secrets over. The S3 client's keys can stand in a file too, the one that
`AWS_SHARED_CREDENTIALS_FILE` names.
"""

EXAMPLE = """\
## Example

```toml
catalog_url_env = "CATALOG_URL"
redis_url_file = "/run/secrets/redis-url"
bucket = "snapshots"
prefix = "production"

[[databases]]
name = "orders"
url_env = "ORDERS_URL"
every = "2h"
keep = { last = 24 }
verify = "daily"
assertions = ["checks/balances.sql"]

[[databases]]
name = "ledger"
url_file = "secrets/ledger-url"
cron = "30 2 * * *"
zone = "Europe/Berlin"
keep = { last = 10, daily = 7, weekly = 4, monthly = 6, within = "14d" }
part_size = "128MiB"
compression_level = 3
parallelism = 8
undo_window = "3d"
```
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingDoc:
    """One setting as it is explained. `section` is where it is set, `accepts` what would be right."""

    section: str
    name: str
    default: str
    accepts: str
    meaning: str


def document() -> list[SettingDoc]:
    """Every setting there is, in the order of the page."""
    return [
        *_section("Environment variables", Environment),
        SettingDoc(
            section="Environment variables",
            name=targets.FORM,
            default="none",
            accepts=A_DSN,
            meaning=f"{targets.MEANING} A secret.",
        ),
        *_section("The file", File),
        *_section("Each `[[databases]]` of the file", DeclaredDatabase),
        *_section("`keep` of a database", Keep),
        *_section("Each `[[notify]]` of the file", DeclaredHook),
        *_section("`[bus]` of the file", Bus),
        *_section("`[api]` of the file", DeclaredApi),
        *_section("`[encryption]` of the file", DeclaredEncryption),
        *_section("`[signing]` of the file", DeclaredSigning),
    ]


def render() -> str:
    """The page."""
    page, section = [INTRODUCTION], None
    for doc in document():
        if doc.section != section:
            section = doc.section
            page.append(
                f"\n## {section}\n\n| setting | default | accepts | meaning |\n| --- | --- | --- | --- |\n"
            )
        page.append(f"| `{doc.name}` | {doc.default} | {doc.accepts} | {doc.meaning} |\n")
    return "".join([*page, "\n", EXAMPLE])


def _section(title: str, model: type[Declared]) -> Iterator[SettingDoc]:
    for field, _ in fields_of(model):
        yield SettingDoc(
            section=title,
            name=field.name,
            default=_default(field),
            accepts=field.right,
            meaning=f"{field.meaning} A secret." if field.secret and model is Environment else field.meaning,
        )


def _default(field: About) -> str:
    if field.required:
        return "required"
    if field.default is None or field.default == ():
        return field.otherwise
    if isinstance(field.default, Keep):
        return f"`{{ last = {field.default.last} }}`"
    if isinstance(field.default, Bus | DeclaredApi | DeclaredEncryption | DeclaredSigning):
        return "as below"
    if isinstance(field.default, tuple):
        return f"`{json.dumps(field.default)}`"
    return f"`{str(field.default).lower() if isinstance(field.default, bool) else field.default}`"
