"""A complete environment and a small file, from which the tests of the settings depart."""

from __future__ import annotations

from pathlib import Path

from shared.settings import Settings

SECRET = "s3cr3t-pa55word"
ENVIRON = {
    "DATABASE_URL": f"postgresql://app:{SECRET}@db.example/orders",
    "CATALOG_URL": f"host=db.example user=snap password={SECRET} dbname=catalog",
    "REDIS_URL": f"rediss://:{SECRET}@redis.example:6380/2",
    "S3_BUCKET": "snapshots",
    "PATH": "/usr/bin",
}
TOML = """
[[databases]]
name = "orders"
url_env = "ORDERS_URL"
"""
FLEET = {**ENVIRON, "ORDERS_URL": ENVIRON["DATABASE_URL"], "LEDGER_URL": "postgresql://app@db.example/ledger"}


def load(folder: Path, toml: str | None = None, **changes: str | None) -> Settings:
    """The settings of a complete environment with some variables changed, or unset by None."""
    environ = FLEET if toml is not None else ENVIRON
    if toml is not None:
        (folder / "snapfleet.toml").write_text(toml)
    return Settings.load({k: v for k, v in {**environ, **changes}.items() if v is not None}, folder)
