"""How often one may ask: per token, and per address that tries tokens which are none."""

from __future__ import annotations

import threading

import pytest

from api.rates import Counter, Rates, TooMany, network
from shared.domain import tokens
from shared.domain.access import Principal, Role
from shared.errors import Refused

GOOD, OTHER = (tokens.secret_of(bytes([number]) * 32) for number in (1, 2))
HERE, THERE = "192.0.2.7", "192.0.2.8"


def authenticate(secret: str) -> Principal:
    if secret not in {GOOD, OTHER}:
        raise Refused("the token is not valid", code="token_unknown")
    return Principal(name="good" if secret == GOOD else "other", role=Role.READ)


def guess(rates: Rates, times: int, *, address: str = HERE) -> None:
    for number in range(times):
        with pytest.raises(Refused):
            rates.authenticated(authenticate, f"guess {number}", address=address)


def rates(*, requests: int = 1_000, failures: int = 3, now: float = 0.0) -> Rates:
    return Rates(requests_per_minute=requests, failures_per_minute=failures, monotonic=lambda: now)


def test_a_token_that_asks_too_often_is_told_when_to_come_back_and_others_are_not_concerned() -> None:
    ours = rates(requests=3)
    for _ in range(3):
        ours.authenticated(authenticate, GOOD, address=HERE)
    with pytest.raises(TooMany) as refusal:
        ours.authenticated(authenticate, GOOD, address=THERE)
    assert (refusal.value.code, bool(refusal.value.hint)) == ("rate_limited", True)
    assert 1 <= refusal.value.retry_after_seconds <= 60
    assert ours.authenticated(authenticate, OTHER, address=HERE).name == "other"


def test_an_address_that_guesses_is_refused_unasked_and_others_are_not_concerned() -> None:
    ours = rates()
    guess(ours, 3)
    asked = list[str]()

    def noted(secret: str) -> Principal:
        asked.append(secret)
        return authenticate(secret)

    with pytest.raises(TooMany) as refusal:
        ours.authenticated(noted, "one more", address=HERE)
    assert asked == []
    assert 1 <= refusal.value.retry_after_seconds <= 60
    assert ours.authenticated(authenticate, GOOD, address=THERE).name == "good"


def test_who_had_a_right_token_is_not_locked_out_by_others_at_his_address() -> None:
    ours = rates()
    ours.authenticated(authenticate, GOOD, address=HERE)
    guess(ours, 3)
    assert ours.authenticated(authenticate, GOOD, address=HERE).name == "good"
    with pytest.raises(TooMany):
        ours.authenticated(authenticate, OTHER, address=HERE)


def test_a_token_that_is_right_no_more_is_a_guess_like_any_other() -> None:
    ours, revoked = rates(), list[str]()

    def asked(secret: str) -> Principal:
        if secret in revoked:
            raise Refused("the token is not valid", code="token_revoked")
        return authenticate(secret)

    ours.authenticated(asked, GOOD, address=HERE)
    revoked.append(GOOD)
    for _ in range(3):
        with pytest.raises(Refused):
            ours.authenticated(asked, GOOD, address=HERE)
    with pytest.raises(TooMany):
        ours.authenticated(asked, GOOD, address=HERE)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.7", "192.0.2.8", False),
        ("::ffff:192.0.2.7", "192.0.2.7", True),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("testclient", "testclient", True),
    ],
)
def test_an_address_is_counted_as_what_one_client_has(one: str, other: str, same: bool) -> None:
    assert (network(one) == network(other)) is same


def test_of_many_at_once_no_more_get_through_than_may() -> None:
    counter, granted, start = Counter(50), list[bool](), threading.Barrier(8)

    def run() -> None:
        start.wait()
        granted.extend(counter.count("one") for _ in range(20))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # One more where a minute ends in between: the former one's share has become a little less by then.
    assert sum(granted) in {50, 51}
