"""What comes in and goes out at all: bodies of a decent size and form, answers in time, careful headers.

request ─► whole body within 10 s ─► at most 64 KiB, JSON, 20 deep, no name twice ─► the application
answer  ◄─ security headers ◄────────────────── begun within 30 s, or 503 ◄──────────┘
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import problems
from api.problems import Malformed
from shared.errors import SnapfleetError, Unreachable

log = structlog.get_logger(__name__)

LARGEST_BYTES = 64 * 1024
DEEPEST = 20
READ_WITHIN = timedelta(seconds=10)
ANSWER_WITHIN = timedelta(seconds=30)

SECURITY = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)
BRACKETS = re.compile(rb"[\[\]{}]")


class Limits:
    """Around the whole application."""

    def __init__(
        self, app: ASGIApp, *, read_within: timedelta = READ_WITHIN, answer_within: timedelta = ANSWER_WITHIN
    ) -> None:
        self._app = app
        self._read_within, self._answer_within = read_within, answer_within
        self._left: set[asyncio.Task[None]] = set()
        """What goes on although nobody waits for it any more."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        answer = Answer(send)
        try:
            body = await self._read(scope, receive)
        except SnapfleetError as exc:
            await problems.answer(exc)(scope, receive, answer.send)
        except Gone:
            return
        else:
            await self._pass_on(scope, Replayed(body, receive), answer)
        finally:
            client = scope["client"][0] if scope.get("client") else None
            log.info(
                "http_request",
                method=scope["method"],
                path=problems.printable(scope["path"]),
                status=answer.status,
                seconds=round(time.monotonic() - began, 4),
                client=client,
            )

    async def _read(self, scope: Scope, receive: Receive) -> bytes:
        """The whole body. Malformed where it is not what is taken here."""
        headers = Headers(scope=scope)
        declared = headers.get("content-length", "")
        if declared.isdigit() and (len(declared) > len(str(LARGEST_BYTES)) or int(declared) > LARGEST_BYTES):
            raise too_large()
        body = bytearray()
        try:
            async with asyncio.timeout(self._read_within.total_seconds()):
                async for part in parts(receive):
                    body += part
                    if len(body) > LARGEST_BYTES:
                        raise too_large()
        except TimeoutError:
            raise Malformed(
                "the request did not come whole in time", code="too_slow", status=HTTPStatus.REQUEST_TIMEOUT
            ) from None
        if body and scope["method"] in {"POST", "PUT", "PATCH"}:
            refuse_other_media(headers)
            refuse_odd_json(bytes(body))
        return bytes(body)

    async def _pass_on(self, scope: Scope, receive: Receive, answer: Answer) -> None:
        task = asyncio.get_running_loop().create_task(run(self._app, scope, receive, answer.send))
        try:
            await asyncio.wait({task}, timeout=self._answer_within.total_seconds())
            if not task.done() and not answer.status:
                self._left.add(task)
                task.add_done_callback(self._left.discard)
                answer.is_late = True
                late = Unreachable(
                    "the answer was not found in time",
                    code="timed_out",
                    hint="ask again, with the same Idempotency-Key: what was begun is found",
                )
                await problems.answer(late)(scope, receive, answer.send_late)
                return
            await task
        except asyncio.CancelledError:
            task.cancel()
            raise


class Gone(Exception):
    """The client has left before it had asked."""


class Answer:
    """One answer on its way out. Once it is late, what the application still says is heard by nobody."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status: int | None = None
        self.is_late = False

    async def send(self, message: Message) -> None:
        if not self.is_late:
            await self.send_late(message)

    async def send_late(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = int(message["status"])
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-store")
        with suppress(OSError):
            await self._send(message)


class Replayed:
    """A body that was read already, and then whatever else comes: that the client has left."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        return await self._receive()


async def run(app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """To its end. What nobody expected is logged here, and told of without a word of its text."""
    started = False

    async def noted(message: Message) -> None:
        nonlocal started
        started = True
        await send(message)

    try:
        await app(scope, receive, noted)
    except Exception as exc:
        log.exception("request_broke", error=type(exc).__name__)
        if not started:
            await problems.answer(problems.UNEXPECTED)(scope, receive, send)


async def parts(receive: Receive) -> Any:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        yield message.get("body", b"")
        if not message.get("more_body", False):
            return


def too_large() -> Malformed:
    return Malformed(
        f"at most {LARGEST_BYTES} bytes are read",
        code="too_large",
        status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        hint="a request names things, it does not carry them",
    )


def refuse_other_media(headers: Headers) -> None:
    kind, _, parameters = headers.get("content-type", "").partition(";")
    charset = parameters.replace(" ", "").replace('"', "").lower()
    is_json = kind.strip().lower() == "application/json" and charset in {"", "charset=utf-8"}
    if not is_json or headers.get("content-encoding", "identity").lower() != "identity":
        raise Malformed(
            "a body is plain UTF-8 JSON",
            code="media_type",
            status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            hint="send it with Content-Type: application/json, not compressed",
        )


def refuse_odd_json(body: bytes) -> None:
    """Malformed for what parsers take differently, or not at all."""
    if depth_of(body) > DEEPEST:
        raise Malformed(f"the JSON is more than {DEEPEST} deep", code="too_deep")
    try:
        json.loads(body.decode("utf-8"), object_pairs_hook=without_doubles, parse_constant=refuse_constant)
    except ValueError as exc:
        raise Malformed("the body is no JSON, or has a name twice", code="not_json") from exc


def depth_of(body: bytes) -> int:
    deepest = depth = 0
    for bracket in BRACKETS.findall(STRINGS.sub(b"", body)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def without_doubles(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    given = list(pairs)
    found = dict(given)
    if len(found) != len(given):
        raise ValueError("a name stands there twice")
    return found


def refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
