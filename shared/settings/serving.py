"""The settings of the REST API: where it listens, who asks without a token, how often one may ask."""

from __future__ import annotations

from dataclasses import dataclass

from shared.settings.environment import A_HOST, A_PORT, A_PROXY, A_RATE, MOST_RATE, Environment
from shared.settings.fields import Declared, setting
from shared.settings.values import Addresses, Host, Whole


class DeclaredApi(Declared):
    """`[api]` of the file."""

    host: Host = setting(
        "127.0.0.1",
        meaning="Where the REST API listens. Elsewhere than on loopback put a reverse proxy with TLS before it: tokens travel in it.",
        right=A_HOST,
    )
    port: Whole = setting(8400, meaning="On which port.", right=A_PORT, ge=0, le=65_535)
    proxies: Addresses = setting(
        (),
        otherwise="none",
        meaning="Whose `X-Forwarded-For` says where a request comes from. Nobody else's is believed.",
        right=f'a list of {A_PROXY}: ["192.0.2.1"]',
    )
    requests_per_minute: Whole = setting(
        6_000, meaning="How often one token may ask, for each process.", right=A_RATE, ge=1, le=MOST_RATE
    )
    failures_per_minute: Whole = setting(
        60,
        meaning="How often one address may come with a token that is none, for each process.",
        right=A_RATE,
        ge=1,
        le=MOST_RATE,
    )
    waiting_jobs: Whole = setting(
        1_000, meaning="How many jobs of one token may wait for their turn.", right=A_RATE, ge=1, le=MOST_RATE
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSettings:
    """As they are meant, whatever said so."""

    host: str
    port: int
    anonymous: bool
    """Whether a request without a token is granted as if an administrator asked."""
    proxies: tuple[str, ...]
    requests_per_minute: int
    failures_per_minute: int
    waiting_jobs: int


def merged(said: Environment, declared: DeclaredApi) -> ApiSettings:
    """A variable that is set wins over the file."""
    return ApiSettings(
        host=said.api_host or declared.host,
        port=declared.port if said.api_port is None else said.api_port,
        anonymous=said.api_anonymous,
        proxies=declared.proxies if said.api_proxies is None else said.api_proxies,
        requests_per_minute=said.api_requests_per_minute or declared.requests_per_minute,
        failures_per_minute=said.api_failures_per_minute or declared.failures_per_minute,
        waiting_jobs=said.api_waiting_jobs or declared.waiting_jobs,
    )
