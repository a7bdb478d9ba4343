"""Metrics over HTTP, as a scraper asks for them."""

from __future__ import annotations

from collections.abc import Generator

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from shared.errors import Misconfigured
from shared.metrics.serving import Server


@pytest.fixture(scope="module")
def registry() -> CollectorRegistry:
    made = CollectorRegistry()
    Gauge("snapfleet_one", "One.", ("database",), registry=made).labels('a "b"').set(1)
    Counter("snapfleet_two_total", "Two.", registry=made).inc()
    return made


@pytest.fixture(scope="module")
def server(registry: CollectorRegistry) -> Generator[Server]:
    made = Server(registry, host="127.0.0.1", port=0)
    yield made
    made.stop()


@pytest.fixture
def asking(server: Server) -> Generator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as client:
        yield client


def test_it_answers_with_the_page_compressed_for_who_takes_that(
    asking: httpx.Client, registry: CollectorRegistry
) -> None:
    plain = asking.get("/metrics", headers={"Accept-Encoding": "identity"})
    packed = asking.get("/metrics", headers={"Accept-Encoding": "gzip"})
    assert plain.content == packed.content == generate_latest(registry)
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"


def test_the_form_is_the_one_that_is_asked_for(asking: httpx.Client) -> None:
    answer = asking.get("/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0"})
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert answer.text.endswith("# EOF\n")


def test_single_metrics_can_be_asked_for(asking: httpx.Client) -> None:
    answer = asking.get("/metrics", params={"name[]": "snapfleet_one"})
    assert 'snapfleet_one{database="a \\"b\\""} 1.0' in answer.text
    assert "snapfleet_two" not in answer.text


def test_nothing_else_is_there_and_nothing_else_can_be_done(asking: httpx.Client) -> None:
    assert asking.get("/").status_code == 404
    assert asking.post("/metrics").status_code == 405


def test_a_port_that_is_taken_is_said_to_be(server: Server, registry: CollectorRegistry) -> None:
    with pytest.raises(Misconfigured) as refused:
        Server(registry, host="127.0.0.1", port=server.port)
    assert refused.value.code == "metrics_port_taken"
