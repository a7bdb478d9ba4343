"""What botocore reads of each AWS service before it makes a client, as far as a client of S3 needs it.

Read as botocore reads it, it takes 14 MB, half of which are the endpoints of the other four hundred services, and
each process of a pool takes it again. Here it is read once, before a worker forks.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import IO, Any

import boto3
import botocore.session
from botocore.loaders import JSONFileLoader

SERVICES = frozenset({"s3", "sts", "sso", "oidc", "portal.sso", "signin"})
"""Storage, and those that credentials come from. The rules of a partition hold for any other."""

FORMS: tuple[tuple[str, Callable[..., IO[Any]]], ...] = ((".json", open), (".json.gz", gzip.open))


def make_session() -> boto3.Session:
    """As `boto3.Session()` makes one: credentials, region and endpoint come from the usual places."""
    core = botocore.session.get_session()
    core.get_component("data_loader").file_loader = Files()
    return boto3.Session(botocore_session=core)


class Files(JSONFileLoader):
    """Finds the files that botocore's own loader finds. Nobody changes what it gives: clients share it."""

    def load_file(self, file_path: str) -> Any:
        return read(file_path)


@cache
def read(path: str) -> Any:
    """None where there is no such file, which is so for most of the places that it is looked for in."""
    for suffix, opened in FORMS:
        with suppress(FileNotFoundError), opened(path + suffix, "rb") as file:
            return json.load(file, object_hook=lean)
    return None


def lean(found: dict[str, Any]) -> dict[str, Any]:
    """Without the endpoints of services that are not asked."""
    if found.keys() >= {"partition", "services"}:
        found["services"] = {name: found["services"][name] for name in SERVICES & found["services"].keys()}
    return found
