"""Limits the large bodies that are in memory at once.

In: requests. Out: those whose body may be read; problems for the others, before a byte is read.
"""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from space.service import problems

SMALL_BYTES = 2**16  # a body of at most this size is not counted
LARGEST_BODIES = 4  # bodies of the largest size that fit into memory at once


class BodyLimiter:
    """ASGI middleware: refuses a large body while those that are being answered fill the memory.

    Args:
        app: The app.
        max_body_bytes: The largest size of a body; one of unknown size counts as such.
    """

    def __init__(self, app: ASGIApp, max_body_bytes: int) -> None:
        self.app, self._largest, self._bytes = app, max_body_bytes, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 429."""
        size = self._size(scope) if scope["type"] == "http" else 0
        if size <= SMALL_BYTES:
            await self.app(scope, receive, send)
            return
        capacity = LARGEST_BODIES * self._largest
        if self._bytes + size > capacity:
            rule = f"bodies of at most {capacity:,} bytes may be in memory at once"
            value = f"{self._bytes + size:,} bytes with this one"
            state = "The memory for large bodies is full"
            await problems.busy(1, rule, value, state).send(scope, send)
            return
        self._bytes += size
        try:
            await self.app(scope, receive, send)
        finally:
            self._bytes -= size

    def _size(self, scope: Scope) -> int:
        """Bytes that a body may have, as far as its headers tell; a larger one is refused."""
        headers = Headers(scope=scope)
        length = headers.get("content-length", "")
        if length.isdecimal():
            return min(int(length), self._largest)
        return self._largest if "transfer-encoding" in headers else 0
