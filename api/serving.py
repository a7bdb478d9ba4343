"""The server around the application: listens, and on SIGTERM ends what is asked before it ends itself."""

from __future__ import annotations

import signal
import socket
from types import FrameType

import structlog
import uvicorn
from fastapi import FastAPI

from shared.errors import Misconfigured

log = structlog.get_logger(__name__)

DRAIN_SECONDS = 25
"""How long answers that are under way may take; streams of events end at once. Supervisors should wait longer."""
KEEP_ALIVE_SECONDS = 75
"""Longer than proxies keep a connection that nothing comes over: whoever closes it must not be us, in the
moment in which the next request is on its way."""
BACKLOG = 512


class Closing:
    """Whether we were asked to end."""

    def __init__(self) -> None:
        self._asked = False

    def __call__(self) -> bool:
        return self._asked

    def ask(self) -> None:
        self._asked = True


class Server(uvicorn.Server):
    """Says that it closes as soon as it is asked to, so that nobody waits on with it."""

    def __init__(self, config: uvicorn.Config, *, closing: Closing) -> None:
        super().__init__(config)
        self._closing = closing

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._closing.ask()
        super().handle_exit(sig, frame)
        # That it was a signal is no failure: whoever supervises us asked for it.
        self._captured_signals = [each for each in self._captured_signals if each == signal.SIGINT]


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens already: whoever connects from now on is answered. Misconfigured where it cannot."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, asyncio sends what there is at once; else each answer's body waits 40 ms for an acknowledgement.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError as exc:
        listening.close()
        raise Misconfigured(
            f"API_HOST and API_PORT: nothing can listen at {host}:{port}: {exc.strerror or 'no such host'}",
            code="cannot_listen",
            hint="give an address of this machine and a port that nobody listens on",
        ) from exc
    return listening


def run(app: FastAPI, listening: socket.socket, *, closing: Closing, proxies: tuple[str, ...]) -> None:
    """Until SIGTERM or SIGINT, and then until what was asked is answered."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=list(proxies),
        timeout_graceful_shutdown=DRAIN_SECONDS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        h11_max_incomplete_event_size=32 * 1024,
        ws="none",
    )
    Server(config, closing=closing).run(sockets=[listening])
