"""Invalid requests get a sentence, and the log one line and no stack trace; security headers.

In: whatever a program sends to an endpoint or an event of the page. Out: the app's answer, or an
error in a sentence.
"""

import asyncio
import logging
import threading
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

import gradio
from gradio.route_utils import API_PREFIX
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartException
from starlette.responses import JSONResponse

from space.files import tables
from space.inference.client import DISCONNECTED
from space.web import json_body
from space.web.json_body import InvalidBody

INVALID_INPUTS = "The inputs of this request are invalid. Check their number, order and types."
FAILED = "This request failed. Check its inputs, or load the page again."
UNREADABLE = "This request can't be read: check its address and its body."
MAX_UPLOAD_BYTES = tables.MAX_BYTES + 2**20  # the file, and the form around it
JSON_LINES = "application/x-ndjson"  # JSON values, one per line
MAX_LOG_CHARACTERS = 300  # of an error
SEND_SECONDS = 120  # in which a client must take a part of a response
END_SECONDS = 5  # ... and the end of an event stream that failed
# A Space is shown in a frame of huggingface.co. No other site may frame it, or learn its addresses.
SECURITY_HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"same-origin",
    b"content-security-policy": b"frame-ancestors 'self' https://huggingface.co",
}

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

log = logging.getLogger(__name__)


class Page(gradio.Blocks):  # type: ignore[misc,unused-ignore]
    """The page; an exception in one of its events or endpoints becomes a sentence."""

    async def preprocess_data(self, block_fn: Any, *args: Any, **options: Any) -> Any:
        """As Gradio's: checks the inputs and converts them."""
        try:
            return await super().preprocess_data(block_fn, *args, **options)
        except gradio.Error:
            raise
        except Exception as error:
            log.warning("%s refuses its inputs: %s", block_fn.name, _log_line(error))
            raise gradio.Error(INVALID_INPUTS, print_exception=False) from error

    async def process_api(self, block_fn: Any, *args: Any, **options: Any) -> Any:
        """As Gradio's: everything from a request's inputs to its outputs."""
        try:
            return await super().process_api(block_fn, *args, **options)
        except gradio.Error as error:
            error.print_exception = False
            raise
        except Exception as error:
            log.error("%s failed: %s", getattr(block_fn, "name", block_fn), _log_line(error))
            raise gradio.Error(FAILED, print_exception=False) from error


class RequestMiddleware:
    """ASGI middleware: checks bodies, watches for disconnects, answers exceptions, adds headers.

    A response that its client doesn't read ends after `SEND_SECONDS`, and its memory is freed.

    Args:
        app: The app.
        max_bytes: Of a body that is no upload.
        seconds: In which such a body must arrive.
        json_lines: Whether a body of the type application/x-ndjson is passed on as it is.
    """

    def __init__(
        self,
        app: Callable[[Message, Receive, Send], Awaitable[None]],
        max_bytes: int = json_body.MAX_BYTES,
        seconds: float | None = None,
        json_lines: bool = False,
    ) -> None:
        self.app = app
        self._max_bytes, self._seconds, self._json_lines = max_bytes, seconds, json_lines

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = _Request(scope, receive, self._max_bytes, self._seconds, self._json_lines)
        response = _Response(scope, receive, send)
        scope[DISCONNECTED] = request.disconnected
        name = f"{scope['method']} {scope['path'][:100]}"
        try:
            if await request.start():
                await self.app(scope, request.receive, response.send)
        except InvalidBody as error:
            log.warning("%s is refused: %s", name, _log_line(error))
            await response.fail(error.status, str(error))
        except Exception as error:
            log.warning("%s failed: %s", name, _log_line(error))
            await response.fail(400, UNREADABLE)
        finally:
            request.close()


class _Request:
    """A request whose JSON body is read and checked first; then its client is watched.

    Attributes:
        disconnected: Set once the client has disconnected. A call that is answered by its own
            request (`/run/…`) has no event in Gradio's queue that could tell.
    """

    def __init__(
        self,
        scope: Message,
        receive: Receive,
        max_bytes: int,
        seconds: float | None,
        json_lines: bool,
    ) -> None:
        headers = Headers(scope=scope)
        types = headers.getlist("content-type")
        is_form = any(value.lower().startswith("multipart/form-data") for value in types)
        # Only this route takes a form. The others read the body as JSON whatever its type is.
        self._is_upload = is_form and scope["path"].endswith(f"{API_PREFIX}/upload")
        self._is_json = scope["method"] == "POST" and not self._is_upload
        self._max_bytes, self._seconds = max_bytes, seconds
        self._is_lines = json_lines and any(value.startswith(JSON_LINES) for value in types)
        self._declared_size = max(map(int, headers.getlist("content-length")), default=0)
        self._uploaded_bytes = 0
        self._receive = receive
        self._body: bytes | None = None
        self.disconnected = threading.Event()
        self._watch: asyncio.Task[Message] | None = None

    async def start(self) -> bool:
        """Read and check a JSON body; returns whether the client is still connected.

        Raises:
            InvalidBody: See `json_body.normalize`; or the body is too large or too slow.
        """
        if not self._is_json:
            return True
        json_body.check_size(self._declared_size, self._max_bytes)
        try:
            async with asyncio.timeout(self._seconds):
                body = await self._read()
        except TimeoutError as error:
            raise InvalidBody(
                408,
                f"The body of this request did not arrive within {self._seconds:g} s: send less, "
                "in several requests.",
            ) from error
        if body is None:
            return False
        self._body = body if self._is_lines else json_body.normalize(body)
        self._watch = asyncio.create_task(self._wait_for_disconnect())
        return True

    async def _read(self) -> bytes | None:
        """The whole body; None if the client has disconnected."""
        body = bytearray()
        more = True
        while more:
            message = await self._receive()
            if message["type"] != "http.request":
                return None
            body += message.get("body", b"")
            json_body.check_size(len(body), self._max_bytes)
            more = message.get("more_body", False)
        return bytes(body)

    async def receive(self) -> Message:
        """The whole JSON body, then the disconnect; or the messages of another body."""
        if self._watch is None:
            return await self._receive_form()
        if self._body is None:
            return await asyncio.shield(self._watch)
        body, self._body = self._body, None
        return {"type": "http.request", "body": body}

    async def _receive_form(self) -> Message:
        message = await self._receive()
        if self._is_upload:
            self._uploaded_bytes += len(message.get("body", b""))
        if self._uploaded_bytes > MAX_UPLOAD_BYTES:  # Gradio limits files, but not other fields
            raise MultiPartException(
                f"The form exceeded the maximum allowed size of {MAX_UPLOAD_BYTES:,} bytes."
            )
        return message

    async def _wait_for_disconnect(self) -> Message:
        while (message := await self._receive())["type"] != "http.disconnect":
            pass
        self.disconnected.set()
        return message

    def close(self) -> None:
        """Stop watching: the request was answered."""
        if self._watch is not None:
            self._watch.cancel()


class _Response:
    """The response to a request, and how much of it was sent."""

    def __init__(self, scope: Message, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._started = self._is_stream = self._ended = False

    async def send(self, message: Message) -> None:
        """Send a part of the response. Raises TimeoutError if the client doesn't read it."""
        if message["type"] == "http.response.start":
            self._started = True
            self._is_stream = any(
                name.lower() == b"content-type" and value.startswith(b"text/event-stream")
                for name, value in message["headers"]
            )
            names = {name.lower() for name, _ in message["headers"]}
            missing = [header for header in SECURITY_HEADERS.items() if header[0] not in names]
            message = {**message, "headers": [*message["headers"], *missing]}
        async with asyncio.timeout(SEND_SECONDS):
            await self._send(message)
        if message["type"] == "http.response.body":
            self._ended = not message.get("more_body")

    async def fail(self, status: int, reason: str) -> None:
        """Send an error; or end an event stream that was started, which has Gradio's own error."""
        if not self._started:
            await JSONResponse({"error": reason}, status)(self._scope, self._receive, self.send)
        elif self._is_stream and not self._ended:
            with suppress(TimeoutError):  # if the client reads nothing
                async with asyncio.timeout(END_SECONDS):
                    await self._send({"type": "http.response.body", "body": b""})


def _log_line(error: Exception) -> str:
    """An error and its innermost four places, in one line of ASCII."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    places = " > ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in frames)
    message = " ".join(f"{type(error).__name__}: {error}".split())[:MAX_LOG_CHARACTERS]
    return f"{message} ({places})".encode("ascii", "backslashreplace").decode()
