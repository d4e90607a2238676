"""What every request gets: an id, a log line, metrics, security headers, problems for errors.

In: requests. Out: the app's responses with headers; one JSON line per request, without addresses'
queries and without bodies. An error response that is no problem yet becomes one, except for
Gradio's own protocol, whose clients read its errors.
"""

import json
import logging
import re
import time
import uuid
from typing import Any

from gradio.route_utils import API_PREFIX
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from space.service import problems
from space.service.access import PROBES, is_api
from space.service.lifecycle import Lifecycle
from space.service.metrics import Metrics

VALID_ID = re.compile(r"[\w.\-]{1,64}", re.ASCII)
KEPT_HEADERS = ("allow", "retry-after", "www-authenticate")  # of an error that becomes a problem
MAX_ERROR_BYTES = 10_000
CDN = "https://cdn.jsdelivr.net"  # of FastAPI's documentation page
SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
}
DOCUMENTATION_POLICY = (
    f"default-src 'none'; connect-src 'self'; script-src {CDN} 'unsafe-inline'; "
    f"style-src {CDN}; img-src data: https://fastapi.tiangolo.com; frame-ancestors 'none'"
)
HSTS = "max-age=31536000"  # only for requests that came by https

log = logging.getLogger("space.access")


class Observer:
    """ASGI middleware, the outermost.

    Args:
        app: The app.
        metrics: Where requests are counted.
        lifecycle: Whether new requests are refused.
        api_paths: The paths of the API; any other is the page's.
    """

    def __init__(
        self, app: ASGIApp, metrics: Metrics, lifecycle: Lifecycle, api_paths: frozenset[str]
    ) -> None:
        self.app = app
        self._metrics, self._lifecycle, self._api_paths = metrics, lifecycle, api_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "websocket":  # the page needs none, and keys are checked by request
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = _Exchange(scope, send, self._api_paths)
        with self._metrics.active.track_inprogress():
            try:
                await self._answer(exchange, receive)
            finally:
                seconds = time.perf_counter() - exchange.started
                method, status = scope["method"], exchange.status
                self._metrics.count_request(method, exchange.route, status, seconds)
                log.info("request", extra={"fields": exchange.fields(seconds)})

    async def _answer(self, exchange: "_Exchange", receive: Receive) -> None:
        scope = exchange.scope
        try:
            if self._lifecycle.draining and scope["path"] not in PROBES:
                problem = problems.shutdown()
                await problem.response(scope)(scope, receive, exchange.send)
                return
            await self.app(scope, receive, exchange.send)
        except Exception:
            logging.getLogger(__name__).exception("request %s failed", scope["request_id"])
            if not exchange.is_started:
                problem = problems.of_response(500, b"", scope["path"])
                await problem.response(scope)(scope, receive, exchange.send)


class _Exchange:
    """A request and its response.

    Attributes:
        scope: The request's scope, with a new key `request_id`.
        route: The path if it is one of the API, else "page" or "unknown".
        status: Of the response; 500 before it starts.
        is_started: Whether the response has started.
        started: When the request arrived, in seconds.
    """

    def __init__(self, scope: Scope, send: Send, api_paths: frozenset[str]) -> None:
        sent_id = Headers(scope=scope).get("x-request-id", "")
        scope["request_id"] = sent_id if VALID_ID.fullmatch(sent_id) else uuid.uuid4().hex
        self.scope, self._send = scope, send
        path = scope["path"]
        self.is_api = is_api(path, api_paths)
        self.route = path if path in api_paths else "unknown" if self.is_api else "page"
        self.status, self.is_started = 500, False
        self.started = time.perf_counter()
        self._error: MutableHeaders | None = None  # headers of a response that becomes a problem
        self._body = bytearray()

    async def send(self, message: Message) -> None:
        """Send a part of the response."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(raw=list(message["headers"]))
            if self._must_become_problem(headers):
                self._error = headers
                return
            self.is_started = True
            self._add_headers(headers)
            message = {**message, "headers": headers.raw}
        elif self._error is not None:
            self._body += message.get("body", b"")[:MAX_ERROR_BYTES]
            if not message.get("more_body"):
                await self._send_problem(self._error)
            return
        await self._send(message)

    def _must_become_problem(self, headers: MutableHeaders) -> bool:
        is_problem = headers.get("content-type", "").startswith(problems.MEDIA_TYPE)
        is_gradio = self.scope["path"].startswith(API_PREFIX)
        return self.status >= 400 and not is_problem and not is_gradio

    async def _send_problem(self, headers: MutableHeaders) -> None:
        is_text = "content-encoding" not in headers
        body = bytes(self._body) if is_text else b""
        problem = problems.of_response(self.status, body, self.scope["path"])
        problem.headers |= {name: headers[name] for name in KEPT_HEADERS if name in headers}
        self._error = None
        await problem.response(self.scope)(self.scope, _no_messages, self.send)

    def _add_headers(self, headers: MutableHeaders) -> None:
        headers["x-request-id"] = self.scope["request_id"]
        if self.scope.get("scheme") == "https":
            headers.setdefault("strict-transport-security", HSTS)
        if self.is_api:
            headers.update(SECURITY_HEADERS)
            if self.route == "/docs":
                headers["content-security-policy"] = DOCUMENTATION_POLICY

    def fields(self, seconds: float) -> dict[str, Any]:
        """What the log says about the request."""
        client = self.scope.get("client")
        return {
            "request_id": self.scope["request_id"],
            "method": self.scope["method"],
            "route": self.route,
            "status": self.status,
            "seconds": round(seconds, 4),
            "client": client[0] if client else None,
        }


class JsonFormatter(logging.Formatter):
    """Log records as JSON, one per line."""

    def format(self, record: logging.LogRecord) -> str:
        """A record with its `fields`, if any."""
        content = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            content["exception"] = self.formatException(record.exc_info)
        return json.dumps(content)


async def _no_messages() -> Message:
    return {"type": "http.disconnect"}
