"""Injected faults, to test how a client handles them.

A fault is written `METHOD PATH [BODY]=ACTION[*TIMES]`:

    POST /api/repos/create=402                  always
    POST /api/.*/commit/=500*2                  twice, then answer normally
    POST /api/repos/create "type":"space"=402   only when the body matches
    GET /.*/resolve/=drop                       close the connection instead of an answer
    POST /api/.*/commit/=lose*1                 do it, then close the connection without an answer
    GET /.*/resolve/=stall                      never answer

METHOD may be `*`. PATH and BODY are regular expressions without spaces. PATH must match from the
start of the raw path. Faults come from `--fault` and from `faults.json` in the root, a list of such
strings, which is read again whenever it changes.
"""

import re
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .errors import HubError
from .schemas import read_json

# A Gradio or Docker Space needs a paid plan, unless it asks for ZeroGPU.
FREE_ACCOUNT = 'POST /api/repos/create ^(?!.*"zero-a10g").*"sdk":\\s?"(gradio|docker)"=402'

_SYNTAX = re.compile(r"(\S+) (\S+)(?: (\S+))?=(drop|lose|stall|[45]\d\d)(?:\*([0-9]{1,9}))?")
_MESSAGES = {
    401: "Invalid username or password.",
    402: "Payment required: this needs a PRO account or a Team plan",
    403: "You don't have the rights to do this",
    409: "This conflicts with another operation",
}


@dataclass
class Fault:
    """A fault. `remaining` is how often it still happens; None means always."""

    method: str
    path: re.Pattern[str]
    body: re.Pattern[str] | None
    action: str
    remaining: int | None

    def matches(self, scope: Scope) -> bool:
        """Whether it happens to a request with this method and path."""
        return (
            self.remaining != 0
            and self.method in ("*", scope["method"])
            and bool(self.path.match(scope["raw_path"].decode("latin-1")))
        )


def parse_fault(text: str) -> Fault:
    """Parse a fault; see the top of this module.

    Raises:
        ValueError: It is malformed.
    """
    match = _SYNTAX.fullmatch(text)
    if not match:
        raise ValueError(
            f"A fault must read 'METHOD PATH [BODY]=ACTION[*TIMES]' with a status, drop, lose"
            f" or stall as action, got {text[:200]!r}. For example: 'POST /api/repos/create=402'"
        )
    method, path, body, action, times = match.groups()
    try:
        patterns = re.compile(path), re.compile(body) if body else None
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(
            f"PATH and BODY of a fault must be regular expressions, got {text[:200]!r}: {error}"
        ) from error
    return Fault(method.upper(), *patterns, action, int(times) if times else None)


class Faults:
    """ASGI middleware: passes requests on, unless a fault happens to them.

    Args:
        app: The app that answers the requests.
        root: The folder that may hold `faults.json`.
        arguments: The faults of the command line.
    """

    def __init__(self, app: ASGIApp, root: Path, arguments: Iterable[str] = ()) -> None:
        self.app = app
        self.file = root / "faults.json"
        self.from_arguments = [parse_fault(text) for text in arguments]
        self.from_file: list[Fault] = []
        self.file_time = 0
        self.current()  # fails at the start if the file is invalid

    def current(self) -> list[Fault]:
        """All faults, including those of the file as it is now."""
        try:
            time = self.file.stat().st_mtime_ns
        except FileNotFoundError:
            time = 0
        if time != self.file_time:
            self.from_file = self._read_file() if time else []
            self.file_time = time
        return self.from_arguments + self.from_file

    def _read_file(self) -> list[Fault]:
        remedy = "Correct it or remove it; see localhub/faults.py."
        lines = read_json(self.file, TypeAdapter(list[str]), "a list of faults", remedy)
        try:
            return [parse_fault(line) for line in lines]
        except ValueError as error:
            raise ValueError(f"{self.file}: {error}. {remedy}") from error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or let its fault happen."""
        try:
            faults = [fault for fault in self.current() if fault.matches(scope)]
        except ValueError as error:
            return await _answer(HubError(500, str(error)), scope, receive, send)
        if any(fault.body for fault in faults):
            receive, body = await _buffer_body(receive)
            faults = [fault for fault in faults if not fault.body or fault.body.search(body)]
        if not faults:
            return await self.app(scope, receive, send)
        fault = faults[0]
        if fault.remaining:
            fault.remaining -= 1
        if fault.action.isdigit():
            status = int(fault.action)
            refusal = HubError(status, _MESSAGES.get(status, "An injected fault"))
            return await _answer(refusal, scope, receive, send)
        if fault.action == "lose":
            await self.app(scope, receive, _discard)
        if fault.action == "stall":
            while (await receive())["type"] != "http.disconnect":
                pass
        # uvicorn gives an app no way to hang up, but `send` is a method of the socket's owner.
        cycle: Any = send.__self__  # type: ignore[attr-defined]
        cycle.transport.abort()


async def _answer(error: HubError, scope: Scope, receive: Receive, send: Send) -> None:
    await JSONResponse(error.body, error.status, error.headers)(scope, receive, send)


async def _buffer_body(receive: Receive) -> tuple[Receive, str]:
    """The body of a request as text, and a `receive` that replays it."""
    messages: list[Message] = []
    while not messages or messages[-1].get("more_body"):
        messages.append(await receive())
    body = b"".join(message.get("body", b"") for message in messages)

    async def replay() -> Message:
        return messages.pop(0) if messages else await receive()

    return replay, body.decode("utf-8", "replace")


async def _discard(message: MutableMapping[str, Any]) -> None:
    """The `send` of a lost answer."""
