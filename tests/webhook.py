"""A webhook to be told of things by: a real HTTP server."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Webhook:
    """Takes what is posted to it; answers 500 while `broken`."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.broken = False
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if not owner.broken:
                    owner.got.append(json.loads(body))
                self.send_response(500 if owner.broken else 200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its base class names it so
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self) -> str:
        return f"json://user:hush@127.0.0.1:{self.server.server_port}/hook"
