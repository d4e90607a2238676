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

from gradio.route_utils import API_PREFIX
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from space.service import problems
from space.service.access import DOCS, PAGE, PROBES, ROUTE, route_of
from space.service.lifecycle import Lifecycle
from space.service.metrics import Metrics

VALID_ID = re.compile(r"[\w.\-]{1,64}", re.ASCII)
# Of an error that becomes a problem, with those for CORS.
KEPT_HEADERS = {"allow", "retry-after", "vary", "www-authenticate"}
CORS_PREFIX = "access-control-"
MAX_ERROR_BYTES = 10_000
SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
}
DOCS_POLICY = (  # Swagger UI is started by a script in the page
    "default-src 'none'; connect-src 'self'; script-src 'self' 'unsafe-inline'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"
)
CLIENT_GONE = 499  # a request whose client has disconnected before a response; never sent
HSTS = "max-age=31536000"  # only for requests that came by https

log = logging.getLogger("space.access")


class Observer:
    """ASGI middleware, the outermost.

    Args:
        app: The app.
        metrics: Where requests are counted.
        api_paths: The paths of the API; any other is the page's.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, api_paths: frozenset[str]) -> None:
        self.app = app
        self._metrics, self._api_paths = metrics, api_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "websocket":  # the page needs none, and keys are checked by request
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope[ROUTE] = route_of(scope["path"], self._api_paths)
        exchange = _Exchange(scope, send)
        with self._metrics.active.track_inprogress():
            try:
                await self.app(scope, receive, exchange.send)
                exchange.status = exchange.status or CLIENT_GONE
            finally:
                seconds = time.perf_counter() - exchange.started
                method, route, status = scope["method"], scope[ROUTE], exchange.status or 500
                self._metrics.count_request(method, route, status, seconds)
                fields = {
                    "request_id": scope["request_id"],
                    "method": method,
                    "route": route,
                    "status": status,
                    "seconds": round(seconds, 4),
                    "client": client[0] if (client := scope.get("client")) else None,
                }
                log.info("request", extra={"fields": fields})


class Guard:
    """ASGI middleware: refuses requests during a shutdown, and answers exceptions.

    Args:
        app: The app.
        lifecycle: Whether new requests are refused.
    """

    def __init__(self, app: ASGIApp, lifecycle: Lifecycle) -> None:
        self.app, self._lifecycle = app, lifecycle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if self._lifecycle.draining and scope["path"] not in PROBES:
            await problems.shutdown().send(scope, send)
            return
        is_started = False

        async def send_and_note(message: Message) -> None:
            nonlocal is_started
            is_started = True
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        except Exception:
            logging.getLogger(__name__).exception("request %s failed", scope["request_id"])
            if not is_started:
                await problems.of_response(500, b"", scope).send(scope, send)


class _Exchange:
    """A request and its response.

    Attributes:
        scope: The request's scope, with a new key `request_id`.
        status: Of the response; None before it starts.
        started: When the request arrived, in seconds.
    """

    def __init__(self, scope: Scope, send: Send) -> None:
        sent_id = Headers(scope=scope).get("x-request-id", "")
        scope["request_id"] = sent_id if VALID_ID.fullmatch(sent_id) else uuid.uuid4().hex
        self.scope, self._send = scope, send
        self.status: int | None = None
        self.started = time.perf_counter()
        self._error: MutableHeaders | None = None  # headers of a response that becomes a problem
        self._body = bytearray()

    async def send(self, message: Message) -> None:
        """Send a part of the response."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(raw=list(message["headers"]))
            if self._must_become_problem(message["status"], headers):
                self._error = headers
                return
            self._add_headers(headers)
            message = {**message, "headers": headers.raw}
        elif self._error is not None:
            self._body += message.get("body", b"")[:MAX_ERROR_BYTES]
            if not message.get("more_body"):
                await self._send_problem(self._error)
            return
        await self._send(message)

    def _must_become_problem(self, status: int, headers: MutableHeaders) -> bool:
        is_problem = headers.get("content-type", "").startswith(problems.MEDIA_TYPE)
        is_gradio = self.scope["path"].startswith(API_PREFIX)
        return status >= 400 and not is_problem and not is_gradio

    async def _send_problem(self, headers: MutableHeaders) -> None:
        is_text = "content-encoding" not in headers
        body = bytes(self._body) if is_text else b""
        problem = problems.of_response(self.status or 500, body, self.scope)
        problem.headers |= {
            name: value
            for name, value in headers.items()
            if name in KEPT_HEADERS or name.startswith(CORS_PREFIX)
        }
        self._error = None
        await problem.send(self.scope, self.send)

    def _add_headers(self, headers: MutableHeaders) -> None:
        headers["x-request-id"] = self.scope["request_id"]
        if self.scope.get("scheme") == "https":
            headers.setdefault("strict-transport-security", HSTS)
        if self.scope[ROUTE] != PAGE:
            headers.update(SECURITY_HEADERS)
        if self.scope[ROUTE] == DOCS:
            headers["content-security-policy"] = DOCS_POLICY


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
