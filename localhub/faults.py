"""Faults put into the server on purpose, to see what a client makes of them.

A fault reads `METHOD PATH [BODY]=ACTION[*TIMES]`:

    POST /api/repos/create=402                  always
    POST /api/.*/commit/=500*2                  twice, then as usual
    POST /api/repos/create "type":"space"=402   only when the body matches
    GET /.*/resolve/=drop                       hang up instead of an answer
    POST /api/.*/commit/=lose*1                 do it, then hang up instead of the answer
    GET /.*/resolve/=stall                      never answer

METHOD may be `*`. PATH and BODY are regular expressions without spaces; PATH must match from
the start of the path as it was sent. They come from `--fault` and from `faults.json` in the
root, a list of such lines, which is read again whenever it changes.
"""

import re
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .bodies import read
from .errors import HubError

# A Gradio or Docker Space costs money, unless it asks for ZeroGPU.
FREE_ACCOUNT = 'POST /api/repos/create ^(?!.*"zero-a10g").*"sdk":\\s?"(gradio|docker)"=402'

_SPEC = re.compile(r"(\S+) (\S+)(?: (\S+))?=(drop|lose|stall|[45]\d\d)(?:\*([0-9]{1,9}))?")
_MESSAGES = {
    401: "Invalid username or password.",
    402: "Payment required: this needs a PRO account or a Team plan",
    403: "You don't have the rights to do this",
    409: "This conflicts with another operation",
}


@dataclass
class Fault:
    """A fault and how often it still happens; None is always."""

    method: str
    path: re.Pattern[str]
    body: re.Pattern[str] | None
    action: str
    left: int | None

    def aims_at(self, scope: Scope) -> bool:
        """Whether this fault happens to a request, as far as its first line tells."""
        return (
            self.left != 0
            and self.method in ("*", scope["method"])
            and bool(self.path.match(scope["raw_path"].decode("latin-1")))
        )


def parse_fault(text: str) -> Fault:
    """Read a fault; see the top of this module.

    Raises:
        ValueError: When it reads otherwise.
    """
    match = _SPEC.fullmatch(text)
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
    """An ASGI app around another: lets requests pass, unless a fault happens to them.

    Args:
        app: What answers the requests that pass.
        root: Where `faults.json` may lie.
        given: The faults on the command line.
    """

    def __init__(self, app: ASGIApp, root: Path, given: Iterable[str] = ()) -> None:
        self.app = app
        self.file = root / "faults.json"
        self.given = [parse_fault(text) for text in given]
        self.written: list[Fault] = []
        self.read_at = 0
        self.current()  # a mistake in the file shows at the start

    def current(self) -> list[Fault]:
        """All faults, with those of the file as it is now."""
        try:
            at = self.file.stat().st_mtime_ns
        except FileNotFoundError:
            at = 0
        if at != self.read_at:
            self.written = self._read() if at else []
            self.read_at = at
        return self.given + self.written

    def _read(self) -> list[Fault]:
        remedy = "Correct it or remove it; see localhub/faults.py."
        lines = read(self.file, TypeAdapter(list[str]), "a list of faults", remedy)
        try:
            return [parse_fault(line) for line in lines]
        except ValueError as error:
            raise ValueError(f"{self.file}: {error}. {remedy}") from error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or do to it what its fault says."""
        try:
            faults = [fault for fault in self.current() if fault.aims_at(scope)]
        except ValueError as mistake:
            return await _refuse(HubError(500, str(mistake)), scope, receive, send)
        if any(fault.body for fault in faults):
            receive, body = await _read(receive)
            faults = [fault for fault in faults if not fault.body or fault.body.search(body)]
        if not faults:
            return await self.app(scope, receive, send)
        fault = faults[0]
        if fault.left:
            fault.left -= 1
        if fault.action.isdigit():
            status = int(fault.action)
            error = HubError(status, _MESSAGES.get(status, "A fault put in on purpose"))
            return await _refuse(error, scope, receive, send)
        if fault.action == "lose":
            await self.app(scope, receive, _nowhere)
        if fault.action == "stall":
            while (await receive())["type"] != "http.disconnect":
                pass
        # uvicorn gives an app no way to hang up, but `send` is a method of what holds the socket.
        cycle: Any = send.__self__  # type: ignore[attr-defined]
        cycle.transport.abort()


async def _refuse(error: HubError, scope: Scope, receive: Receive, send: Send) -> None:
    await JSONResponse(error.body, error.status, error.headers)(scope, receive, send)


async def _read(receive: Receive) -> tuple[Receive, str]:
    """The body of a request as text, and a way to receive it once more."""
    messages: list[Message] = []
    while not messages or messages[-1].get("more_body"):
        messages.append(await receive())
    body = b"".join(message.get("body", b"") for message in messages)

    async def again() -> Message:
        return messages.pop(0) if messages else await receive()

    return again, body.decode("utf-8", "replace")


async def _nowhere(message: MutableMapping[str, Any]) -> None:
    """Where a lost answer goes."""
