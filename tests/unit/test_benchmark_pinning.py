"""Backends are held to the core of the worker whose connections they serve, found by the sockets that it has open."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from benchmarks.speed.pinning import opened, placed, sockets
from tests.waiting import until

CORE = min(os.sched_getaffinity(0))


@pytest.fixture
def backend() -> Iterator[int]:
    """Any process that may be held to a core."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process.pid
        process.communicate(b"\n")


@pytest.fixture
def port() -> Iterator[int]:
    """The local end of a connection that this process has."""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        yield client.getsockname()[1]


def test_the_socket_of_a_connection_is_found_among_the_files_of_the_process_that_opened_it(port: int) -> None:
    assert sockets([port])[port] & opened([os.getpid()])


def test_a_connection_of_the_same_port_that_was_closed_does_not_hide_it() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as other,
        socket.socket() as kept,
        socket.socket() as closed,
    ):
        for connection, server in ((kept, one), (closed, other)):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            connection.bind(("127.0.0.1", kept.getsockname()[1] if connection is closed else 0))
            connection.connect(server.getsockname())
        port = kept.getsockname()[1]
        assert len(sockets([port])[port]) == 2
        accepted, _ = other.accept()
        closed.close()
        accepted.close()
        until(lambda: len(sockets([port])[port]) == 1)
        assert sockets([port])[port] & opened([os.getpid()])


def test_a_backend_is_put_where_the_worker_is_that_it_serves(backend: int, port: int) -> None:
    everywhere = os.sched_getaffinity(backend)
    assert placed({backend: 1}, {}, {os.getpid(): CORE}) == {backend: 1}
    assert os.sched_getaffinity(backend) == everywhere
    assert placed({backend: port}, {}, {os.getpid(): CORE}) == {backend: port}
    assert os.sched_getaffinity(backend) == {CORE}
