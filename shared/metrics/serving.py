"""Serve a registry over HTTP, at /metrics, from a thread of this process."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from socketserver import TCPServer, ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIEnvironment

from prometheus_client import CollectorRegistry, make_wsgi_app

from shared.errors import Misconfigured


class Server:
    """Serves from when it is made until `stop`."""

    def __init__(self, registry: CollectorRegistry, *, host: str, port: int) -> None:
        """Port 0 is any free one. Misconfigured where it cannot listen there."""
        metrics = make_wsgi_app(registry)

        def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            if environ.get("PATH_INFO") == "/metrics":
                answer: Iterable[bytes] = metrics(environ, start_response)
                return answer
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"metrics are at /metrics\n"]

        try:
            self._server = make_server(host, port, app, Threaded, Quiet)
        except OSError as exc:
            raise Misconfigured(
                f"metrics cannot be served on {host}:{port}: {exc.strerror}",
                code="metrics_port_taken",
                hint="give every process of this host a port of its own",
            ) from exc
        # A child of this process must not keep the port when this one is gone.
        os.register_at_fork(after_in_child=self._server.socket.close)
        self.port = int(self._server.server_port)
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Threaded(ThreadingMixIn, WSGIServer):
    """One scraper that reads slowly keeps no other one waiting."""

    daemon_threads = True
    allow_reuse_address = True

    def server_bind(self) -> None:
        """Without the look-up of this host's name that the standard one does: it may hang."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "", self.server_address[1]
        self.setup_environ()


class Quiet(WSGIRequestHandler):
    """A line of log for each scrape says nothing."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its base class names it so
        pass
