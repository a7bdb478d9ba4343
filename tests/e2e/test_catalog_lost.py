"""Both databases are dropped, the protected one and the catalog: only the bucket is left."""

from __future__ import annotations

import re
from collections.abc import Generator
from pathlib import Path

import boto3
import psycopg
import pytest
from psycopg import sql

from embedded.postgres import Postgres
from embedded.seaweed import SeaweedFS
from embedded.valkey import Valkey
from shared.storage.repository import manifest_key
from tests.e2e.site import Site


@pytest.fixture
def own_site(postgres: Postgres, seaweed: SeaweedFS, tmp_path: Path) -> Generator[Site]:
    """Migrated, with one worker that stays at work whatever happens."""
    valkey = Valkey(tmp_path / "valkey")
    valkey.start()
    made = Site(postgres=postgres, valkey=valkey, seaweed=seaweed, folder=tmp_path)
    made.environment["VERIFY"] = "always"
    made.done("migrate")
    worker = made.start_worker()
    yield made
    worker.stop()
    valkey.stop()


def make(site: Site, name: str) -> None:
    with site.admin() as admin:
        parts = sql.Identifier(name), sql.Identifier(site.owner)
        admin.execute(sql.SQL("create database {} owner {}").format(*parts))


def drop(site: Site, name: str) -> None:
    with site.admin() as admin:
        admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def commands(heading: str) -> list[list[str]]:
    """What the page says to do, first of all, under one of its headings."""
    page = (Path(__file__).parents[2] / "docs" / "recovery-by-hand.md").read_text("utf-8")
    _, _, below = page.partition(f"\n## {heading}\n")
    block = re.search(r"```console\n(.*?)```", below, re.DOTALL)
    assert block is not None
    return [line.removeprefix("$ ").split() for line in block[1].splitlines()]


def test_with_only_the_bucket_left_everything_comes_back_here_and_in_another_installation(
    own_site: Site, seaweed: SeaweedFS
) -> None:
    site = own_site
    oldest = site.take("--label", "release=1.4")["result"]["snapshot_id"]
    with site.session() as shop:
        shop.execute("insert into item (name) values ('the last one')")
    newest = site.take()["result"]["snapshot_id"]
    site.done("snapshot", "pin", oldest)
    site.settled()
    content, before = site.content(), site.done("snapshot", "list", "--json").json
    assert [(s["id"], s["verified_at"] is not None, s["pinned"]) for s in before] == [
        (newest, True, False),
        (oldest, True, True),
    ]

    for name in (site.name, site.catalog):
        drop(site, name)
    createdb, rebuild, bootstrap = commands("The catalog is gone")
    assert createdb[0] == "createdb"
    make(site, site.catalog)
    assert site.done(*rebuild[1:]).out == f"{site.name}: 2 added\n"
    assert site.done("snapshot", "list", "--json").json == before
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        site.content()
    site.done(*bootstrap[1:])
    assert site.content() == content
    again = site.done("catalog", "rebuild", "--json").json
    assert [(e["snapshot_id"], e["what"]) for e in again] == [(oldest, "known"), (newest, "known")]

    # Another installation, in the same bucket under another prefix; there one manifest is damaged by now.
    prefix = site.environment["S3_PREFIX"]
    client = boto3.client(
        "s3",
        endpoint_url=seaweed.endpoint,
        aws_access_key_id=seaweed.access_key,
        aws_secret_access_key=seaweed.secret_key,
        region_name=seaweed.region,
    )
    client.put_object(Bucket=seaweed.bucket, Key=f"{prefix}/{manifest_key(site.name, oldest)}", Body=b"{")
    elsewhere = {"CATALOG_URL": site.url(f"{site.catalog}_2"), "S3_PREFIX": f"{prefix}-2"}
    make(site, f"{site.catalog}_2")
    adopted = site.run("adopt", f"s3://{seaweed.bucket}/{prefix}", **elsewhere)
    assert (adopted.status, adopted.out) == (1, f"{site.name}: 1 added, 1 left out\n")
    assert f"error: snapshot {oldest} of {site.name} is left out" in adopted.err
    (there,) = site.done("snapshot", "list", "--json", **elsewhere).json
    (here, _) = site.done("snapshot", "list", "--json").json
    assert {k: (v, there[k]) for k, v in here.items() if v != there[k]} == {}
    for name in (site.name, site.catalog, f"{site.catalog}_2"):
        drop(site, name)
