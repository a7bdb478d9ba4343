"""Tables that cannot be brought back, and when that is told."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shared.domain import table_names
from shared.errors import NotFound, Refused
from shared.operations.restores import tables
from tests.integration.conftest import Inline
from tests.integration.inline_fleet import NAME, refused
from tests.integration.test_round_trip import fill, succeeded
from tests.integration.test_tables import SHOP, bring, relations, side_databases

Maker = Callable[..., str]

OTHER_KINDS = """;
    create materialized view shop.counted as select count(*) from shop.orders;
    create sequence shop.numbers;
    create table shop.split (a int) partition by list (a);
    create table orders (a int)
"""
NO_TABLES = {
    "shop.order": ("table_unknown", "has no table shop.order"),
    "shop.seen": ("not_a_table", "shop.seen is a view"),
    "seen": ("not_a_table", "seen is a view"),
    "shop.counted": ("not_a_table", "shop.counted is a materialized view"),
    "shop.numbers": ("not_a_table", "shop.numbers is a sequence"),
    "orders": ("table_ambiguous", "public.orders, shop.orders"),
}


def test_what_is_no_table_is_told_at_the_request(database: Maker, inline: Inline) -> None:
    url = database()
    fill(url, SHOP + OTHER_KINDS)
    fleet = inline(url)
    taken = str(succeeded(fleet.snapshot()).request["snapshot_id"])

    def ask(*names: str) -> None:
        wanted = [table_names.wanted(name, None) for name in names]
        tables.preview(fleet.fleet, NAME, taken, wanted, as_superuser=False)

    for name, (code, said) in NO_TABLES.items():
        with pytest.raises((NotFound, Refused), match=said) as refusal:
            ask(name)
        assert (refusal.value.code, bool(refusal.value.hint)) == (code, True)
    with pytest.raises(Refused, match="asked for twice"):
        ask("shop.item", "item")
    ask("shop.orders", "split")


def test_what_is_no_such_table_is_refused_before_anything_is_made(database: Maker, inline: Inline) -> None:
    url = database()
    fill(url, SHOP + OTHER_KINDS)
    fleet = inline(url)
    succeeded(fleet.snapshot())
    before = relations(url)
    begun = list[str]()
    fleet.before = lambda _job, step: begun.append(step)
    for name, (code, said) in NO_TABLES.items():
        refused(bring(fleet, name), code, said)
    refused(bring(fleet, ("shop.orders", "customer")), "name_taken", "shop.customer")
    refused(bring(fleet, ("shop.orders", "a"), ("shop.item", "a")), "name_taken", "a")
    refused(bring(fleet, "shop.item", ("item", "b")), "table_twice", "twice")
    assert set(begun) == {"plan"}
    assert relations(url) == before
    assert side_databases(url) == []


def test_a_live_database_that_lacks_what_a_table_needs_is_told_so(database: Maker, inline: Inline) -> None:
    url = database()
    fill(url, SHOP)
    fleet = inline(url)
    succeeded(fleet.snapshot())
    fill(url, "drop table shop.orders cascade; drop type shop.mood; drop function shop.double")
    refused(bring(fleet, "shop.orders"), "needs_missing", "type shop.mood", "function shop.double(integer)")
    fill(
        url,
        "create type shop.mood as enum ('bad'); create function shop.double(int) returns int language sql immutable as 'select 2'",
    )
    refused(bring(fleet, "shop.orders"), "tables_do_not_fit", "invalid input value for enum shop.mood")
    fill(url, "drop schema shop cascade")
    refused(bring(fleet, "shop.orders"), "needs_missing", "no schema shop")
    assert side_databases(url) == []
