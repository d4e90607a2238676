"""What a request must be before anything else looks at it: from this machine, and from no page.

A page of a stranger in the user's browser can reach 127.0.0.1 through a name of its own that it
lets point there (DNS rebinding), but the browser then sends that name as `Host`.
"""

import ipaddress

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from .errors import HubError


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Guard:
    """An ASGI app around all others: refuses what a stranger's page may have sent.

    Args:
        app: What answers the requests that pass.
        host: The address that the server listens on.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self.app, self.host = app, host

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 421 to another name of this server, 403 to what another site wants to change."""
        headers = Headers(scope=scope)
        if error := self._refusal(scope["method"], headers):
            answer = JSONResponse(error.body, error.status, error.headers)
            return await answer(scope, receive, send)
        await self.app(scope, receive, send)

    def _refusal(self, method: str, headers: Headers) -> HubError | None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_ours(hosts[0]):
            return HubError(
                421,
                f"This server is called 127.0.0.1, localhost or [::1], got {', '.join(hosts)!r} as"
                " Host. Use one of these names.",
            )
        if method in ("GET", "HEAD", "OPTIONS"):
            return None
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        if site in ("cross-site", "same-site") or origin not in (None, f"http://{hosts[0]}"):
            return HubError(403, "A page of another site may not change anything here.")
        return None

    def _is_ours(self, host: str) -> bool:
        """Whether a `Host` names the loopback interface or what the server listens on."""
        name, colon, port = host.lower().rpartition(":")
        if not colon or host.endswith("]"):
            name, port = host.lower(), "0"
        if name.startswith("[") and name.endswith("]"):
            name = name[1:-1]
        elif ":" in name:
            return False  # an IPv6 address needs its brackets
        return port.isascii() and port.isdigit() and (is_loopback(name) or name == self.host)
