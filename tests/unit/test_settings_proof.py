"""Settings of proofs: what they come to, and how each is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.domain.proof import Assertion, Digests, VerifyPolicy
from shared.errors import Misconfigured
from tests.unit.given_settings import FLEET, SECRET, TOML, load

ELSEWHERE = f"postgresql://prover:{SECRET}@proofs.example/postgres"


def test_proofs_are_as_the_file_says_else_the_environment_else_by_size(tmp_path: Path) -> None:
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks/balances.sql").write_text("select sum(amount) = 0 from entry")
    toml = f"""{TOML}
    verify = "daily"
    verify_url_env = "PROOFS_URL"
    digests = "all"
    assertions = ["checks/balances.sql"]
    [[databases]]
    name = "ledger"
    url_env = "LEDGER_URL"
    """
    orders, ledger = load(
        tmp_path, toml, PROOFS_URL=ELSEWHERE, VERIFY="never", VERIFY_DATABASE_URL=FLEET["CATALOG_URL"]
    ).databases
    assert (orders.verify, orders.verify_url, orders.digests) == (VerifyPolicy.DAILY, ELSEWHERE, Digests.ALL)
    asked = Assertion(name="checks/balances.sql", sql="select sum(amount) = 0 from entry")
    assert orders.assertions == (asked,)
    assert (ledger.verify, ledger.verify_url) == (VerifyPolicy.NEVER, FLEET["CATALOG_URL"])
    assert (ledger.digests, ledger.assertions) == (Digests.SAMPLE, ())
    assert load(tmp_path, TOML).databases[0].verify is VerifyPolicy.SIZE
    assert SECRET not in repr(orders)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('verify = "hourly"', "databases.orders.verify: 'hourly' should be 'always', 'daily' or 'never'"),
        ('digests = "some"', "databases.orders.digests: 'some' should be 'all', 'sample' or 'none'"),
        ('verify_url_env = "NOWHERE"', "databases.orders.verify_url_env: 'NOWHERE' is not set"),
        ('assertions = ["gone.sql"]', "databases.orders.assertions: 'gone.sql' cannot be read: No such file"),
        ('assertions = ["empty.sql"]', "databases.orders.assertions: 'empty.sql' is empty"),
        ('verify_url = "postgresql://x"', "databases.orders.verify_url: a URL must not stand in the file"),
        ('warm = true\nverify = "never"', "databases.orders.warm: nothing is proven here"),
        (
            'warm = true\nverify_url_env = "CATALOG_URL"',
            "databases.orders.warm: its proofs run on another server",
        ),
    ],
)
def test_a_wrong_setting_of_proofs_is_named(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "empty.sql").write_text(" \n")
    with pytest.raises(Misconfigured) as refused:
        load(tmp_path, TOML + line)
    assert message in refused.value.message
    assert refused.value.hint
