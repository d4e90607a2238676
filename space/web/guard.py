"""Invalid requests: the caller gets a sentence, the log gets one line and no stack trace.

In: whatever a program sends, to an endpoint or an event of the page. Out: what the app answers, or
an error in a sentence.
"""

import asyncio
import json
import logging
import threading
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import gradio
from gradio.route_utils import API_PREFIX
from starlette.formparsers import MultiPartException

from space.files import tables
from space.inference.cancellation import GONE
from space.web import bodies
from space.web.bodies import InvalidBody

INVALID = "The inputs of this request are not what it takes: check their number, order and kinds."
FAILED = "This request failed; the app's log says where. Check its inputs, or load the page again."
UNREADABLE = "This request can't be read: check its address and its body."
MAX_UPLOAD = tables.MAX_BYTES + 2**20  # of the file, and what stands around it
CHARACTERS = 300  # of an error in the log

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

log = logging.getLogger(__name__)


class Page(gradio.Blocks):  # type: ignore[misc,unused-ignore]
    """The page; what goes wrong in an event or endpoint of it ends as a sentence."""

    async def preprocess_data(self, block_fn: Any, *args: Any, **options: Any) -> Any:
        """As gradio's: checks the inputs, and brings them into the form that functions take."""
        try:
            return await super().preprocess_data(block_fn, *args, **options)
        except gradio.Error:
            raise
        except Exception as error:
            log.warning("%s refuses its inputs: %s", block_fn.name, _line(error))
            raise gradio.Error(INVALID, print_exception=False) from error

    async def process_api(self, block_fn: Any, *args: Any, **options: Any) -> Any:
        """As gradio's: everything from a request's inputs to its outputs."""
        try:
            return await super().process_api(block_fn, *args, **options)
        except gradio.Error as error:
            error.print_exception = False
            raise
        except Exception as error:
            log.error("%s fails: %s", getattr(block_fn, "name", block_fn), _line(error))
            raise gradio.Error(FAILED, print_exception=False) from error


class Guard:
    """ASGI middleware for what fails before an event begins, or after it."""

    def __init__(self, app: Callable[[Message, Receive, Send], Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request, answer = _Request(scope, receive), _Answer(send)
        scope[GONE] = request.gone
        try:
            if await request.begin():
                await self.app(scope, request.receive, answer.send)
        except InvalidBody as error:
            log.warning("%s %s is refused: %s", scope["method"], scope["path"][:100], _line(error))
            await answer.refuse(error.status, str(error))
        except Exception as error:
            log.warning("%s %s fails: %s", scope["method"], scope["path"][:100], _line(error))
            await answer.refuse(400, UNREADABLE)
        finally:
            request.close()


class _Request:
    """A request whose JSON is read and checked at once, and whose client is watched from then on.

    Attributes:
        gone: Set once the client has disconnected. A call that is answered by its own request
            (`/run/…`) has no event in Gradio's queue that would tell.
    """

    def __init__(self, scope: Message, receive: Receive) -> None:
        headers = scope["headers"]
        kinds = [value.lower() for name, value in headers if name == b"content-type"]
        parted = any(kind.startswith(b"multipart/form-data") for kind in kinds)
        # Only this route takes a form. The others read the body as JSON whatever its type is.
        self._upload = parted and scope["path"].endswith(f"{API_PREFIX}/upload")
        self._json = scope["method"] == "POST" and not self._upload
        sizes = [int(value) for name, value in headers if name == b"content-length"]
        self._size = max(sizes, default=0)
        self._uploaded = 0
        self._receive = receive
        self._body: bytes | None = None
        self.gone = threading.Event()
        self._watch: asyncio.Task[Message] | None = None

    async def begin(self) -> bool:
        """Read the body if it is JSON; whether the client is still there.

        Raises:
            InvalidBody: As for `bodies.checked`, or the body is too large.
        """
        if not self._json:
            return True
        bodies.check_size(self._size)
        body = bytearray()
        more = True
        while more:
            message = await self._receive()
            if message["type"] != "http.request":
                return False
            body += message.get("body", b"")
            bodies.check_size(len(body))
            more = message.get("more_body", False)
        self._body = bodies.checked(bytes(body))
        self._watch = asyncio.create_task(self._disconnected())
        return True

    async def receive(self) -> Message:
        """The whole body if it is JSON, then that the client has gone; else as it comes."""
        if self._watch is None:
            return await self._passed()
        if self._body is None:
            return await asyncio.shield(self._watch)
        body, self._body = self._body, None
        return {"type": "http.request", "body": body}

    async def _passed(self) -> Message:
        message = await self._receive()
        self._uploaded += len(message.get("body", b"")) * self._upload
        if self._uploaded > MAX_UPLOAD:  # Gradio bounds files, but not the fields beside them
            raise MultiPartException(
                f"The form exceeded the maximum allowed size of {MAX_UPLOAD:,} bytes."
            )
        return message

    async def _disconnected(self) -> Message:
        while (message := await self._receive())["type"] != "http.disconnect":
            pass
        self.gone.set()
        return message

    def close(self) -> None:
        """Stop watching: the request was answered."""
        if self._watch is not None:
            self._watch.cancel()


class _Answer:
    """An answer, as far as it was sent."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._begun = self._streams = self._ended = False

    async def send(self, message: Message) -> None:
        """Send a part of it."""
        if message["type"] == "http.response.start":
            self._begun = True
            self._streams = any(
                name.lower() == b"content-type" and value.startswith(b"text/event-stream")
                for name, value in message["headers"]
            )
        await self._send(message)
        if message["type"] == "http.response.body":
            self._ended = not message.get("more_body")

    async def refuse(self, status: int, reason: str) -> None:
        """Answer with a reason; events that were begun are ended, which gradio has sent one for."""
        if not self._begun:
            body = json.dumps({"error": reason}).encode()
            headers = [
                (b"content-type", b"application/json"),
                (b"content-length", b"%d" % len(body)),
            ]
            await self._send({"type": "http.response.start", "status": status, "headers": headers})
            await self._send({"type": "http.response.body", "body": body})
        elif self._streams and not self._ended:
            await self._send({"type": "http.response.body", "body": b""})


def _line(error: Exception) -> str:
    """An error and the innermost places of it, in a line for the log."""
    places = [f"{place.filename.rpartition('/')[2]}:{place.lineno}"
              for place in traceback.extract_tb(error.__traceback__)[-4:]]  # fmt: skip
    told = " ".join(f"{type(error).__name__}: {error}".split())[:CHARACTERS]
    return f"{told} ({' > '.join(places)})".encode("ascii", "backslashreplace").decode()
