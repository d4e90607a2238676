"""Requests through the middleware, without a server."""

import asyncio
from typing import Any

import pytest
from starlette.responses import StreamingResponse

from space.service.body_limiter import BodyLimiter
from space.web import middleware
from space.web.middleware import JSON_LINES, RequestMiddleware


def test_stream_that_is_never_read_ends_and_frees_its_share_of_the_memory(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(middleware, "SEND_SECONDS", 0.2)
    body = b'"a film"\n' * 20_000
    headers = [(b"content-type", JSON_LINES.encode()), (b"content-length", b"%d" % len(body))]
    scope = {"type": "http", "method": "POST", "path": "/v1/classify/stream", "headers": headers}
    requests = [{"type": "http.request", "body": body}]
    taken: list[Any] = []

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        async def lines() -> Any:
            while True:
                yield b"{}\n"

        await StreamingResponse(lines())(scope, receive, send)

    async def receive() -> Any:
        if not requests:
            await asyncio.sleep(60)
        return requests.pop()

    async def send(message: Any) -> None:
        taken.append(message)
        if len(taken) > 3:  # the buffers of the connection are full
            await asyncio.sleep(60)

    limiter = BodyLimiter(RequestMiddleware(answer, 2**20, json_lines=True), 2**20)
    asyncio.run(asyncio.wait_for(limiter(scope, receive, send), 10))
    assert limiter._bytes == 0
    assert len(taken) == 4 and "TimeoutError" in caplog.text


def test_event_stream_that_is_never_read_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SEND_SECONDS", "END_SECONDS"):
        monkeypatch.setattr(middleware, name, 0.1)
    sent: list[Any] = []

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"data: 1", "more_body": True})

    async def receive() -> Any:
        await asyncio.sleep(60)

    async def send(message: Any) -> None:
        sent.append(message["type"])
        if len(sent) > 1:
            await asyncio.sleep(60)

    scope = {"type": "http", "method": "GET", "path": "/gradio_api/queue/data", "headers": []}
    asyncio.run(asyncio.wait_for(RequestMiddleware(answer)(scope, receive, send), 10))
    assert len(sent) == 3
