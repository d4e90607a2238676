"""Invalid requests: the caller gets a sentence, the log gets one line and no stack trace.

In: whatever a program sends, to an endpoint or an event of the page. Out: what the app answers, or
an error in a sentence.
"""

import asyncio
import json
import logging
import re
import threading
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import gradio
from cancellation import GONE

INVALID = "The inputs of this request are not what it takes: check their number, order and kinds."
FAILED = "This request failed; the app's log says where. Check its inputs, or load the page again."
UNREADABLE = "This request can't be read: check its address and its body."
# Half a surrogate pair, as an escape of JSON or as bytes, is possible only where one of these is.
SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]|\xed[\xa0-\xbf]")
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
    """ASGI middleware for what fails before an event begins, or after it.

    Half surrogate pairs are replaced by "?" in JSON: nothing that gradio does with them, down to
    its statistics, can write them.
    """

    def __init__(self, app: Callable[[Message, Receive, Send], Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        request = _Request(receive)
        scope[GONE] = request.gone
        try:
            await self.app(scope, request.receive if _is_json(scope) else receive, watched)
        except Exception as error:
            log.warning("%s %s fails: %s", scope["method"], scope["path"][:100], _line(error))
            if not begun:
                await _refuse(send)
        finally:
            request.close()


def _is_json(scope: Message) -> bool:
    """Whether there may be JSON in the body: gradio reads it whatever its type is said to be."""
    kinds = [value for name, value in scope["headers"] if name == b"content-type"]
    return scope["method"] == "POST" and not any(b"multipart/" in kind for kind in kinds)


class _Request:
    """A request whose body is read at once, and whose client is watched from then on.

    Attributes:
        gone: Set once the client has disconnected. A call that is answered by its own request
            (`/run/…`) has no event in Gradio's queue that would tell.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.gone = threading.Event()
        self._watch: asyncio.Task[Message] | None = None

    async def receive(self) -> Message:
        """The whole body, with no half surrogate pair in it; then, that the client has gone."""
        if self._watch is not None:
            return await asyncio.shield(self._watch)
        parts = []
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                return message
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                break
        self._watch = asyncio.create_task(self._disconnected())
        return {"type": "http.request", "body": _without_halves(b"".join(parts))}

    async def _disconnected(self) -> Message:
        while (message := await self._receive())["type"] != "http.disconnect":
            pass
        self.gone.set()
        return message

    def close(self) -> None:
        """Stop watching: the request was answered."""
        if self._watch is not None:
            self._watch.cancel()


def _without_halves(body: bytes) -> bytes:
    if not SURROGATE.search(body) and b"\0" not in body:  # which UTF-16 and UTF-32 hold
        return body
    try:
        return json.dumps(json.loads(body), ensure_ascii=False).encode("utf-8", "replace")
    except (ValueError, RecursionError):
        return body  # no JSON, as its reader will say


async def _refuse(send: Send) -> None:
    body = json.dumps({"error": UNREADABLE}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 400, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _line(error: Exception) -> str:
    """An error and the innermost places of it, in a line for the log."""
    places = [f"{place.filename.rpartition('/')[2]}:{place.lineno}"
              for place in traceback.extract_tb(error.__traceback__)[-4:]]  # fmt: skip
    told = " ".join(f"{type(error).__name__}: {error}".split())[:CHARACTERS]
    return f"{told} ({' > '.join(places)})".encode("ascii", "backslashreplace").decode()
