"""Requests that the S3 client sends again are told of, one by one."""

from __future__ import annotations

import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import pytest

from shared.storage import s3


class Moody(BaseHTTPRequestHandler):
    """Has no time for the first two requests."""

    refused = 0

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        busy = type(self).refused < 2
        type(self).refused += busy
        self.send_response(503 if busy else 200)
        self.send_header("ETag", '"x"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its base class names it so
        pass


@pytest.fixture
def endpoint() -> Generator[str]:
    Moody.refused = 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), Moody)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_each_repetition_is_told_of_and_nothing_else(endpoint: str) -> None:
    session = boto3.Session(aws_access_key_id="a", aws_secret_access_key="b", region_name="us-east-1")
    heard: list[str] = []
    storage = s3.connect(bucket="bucket", endpoint_url=endpoint, session=session, on_retry=heard.append)
    storage.put("a/b", b"1")
    assert heard == ["PutObject", "PutObject"]
    storage.put("a/c", b"1")
    assert len(heard) == 2
