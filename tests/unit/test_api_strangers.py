"""Who may come without a token at all: nobody from elsewhere, and nobody whom a proxy brings."""

from __future__ import annotations

from dataclasses import replace

import pytest

from api.main import refuse_strangers
from shared.errors import Misconfigured
from shared.settings.serving import ApiSettings

ALONE = ApiSettings(
    host="127.0.0.1",
    port=0,
    anonymous=True,
    proxies=(),
    requests_per_minute=1,
    failures_per_minute=1,
    waiting_jobs=1,
)


def test_on_loopback_with_no_proxy_before_it_nobody_needs_a_token_where_that_is_wanted() -> None:
    refuse_strangers(ALONE)


@pytest.mark.parametrize("seen", [{"host": "192.0.2.7"}, {"proxies": ("127.0.0.1",)}])
def test_where_others_could_come_everybody_needs_one(seen: dict[str, object]) -> None:
    changed = replace(ALONE, **seen)  # type: ignore[arg-type]  # one field or the other
    with pytest.raises(Misconfigured) as refused:
        refuse_strangers(changed)
    assert refused.value.code == "anonymous_elsewhere"
    refuse_strangers(replace(changed, anonymous=False))
