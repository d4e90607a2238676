"""Refuses requests that a web page of a stranger may have sent through the user's browser.

Such a page can reach 127.0.0.1 through a domain of its own that resolves to it (DNS rebinding),
but the browser then sends that domain as `Host`.
"""

import ipaddress

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from .errors import HubError


class Guard:
    """ASGI middleware: answers 421 to a foreign Host, 403 to changes from another site's page.

    Args:
        app: The app that answers all other requests.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        headers = Headers(scope=scope)
        if error := self._refusal(scope["method"], headers):
            answer = JSONResponse(error.body, error.status, error.headers)
            return await answer(scope, receive, send)
        await self.app(scope, receive, send)

    def _refusal(self, method: str, headers: Headers) -> HubError | None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not _is_own_host(hosts[0]):
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


def _is_own_host(host: str) -> bool:
    """Whether a `Host` is a loopback address, with or without a port."""
    name, colon, port = host.lower().rpartition(":")
    if not colon or host.endswith("]"):
        name, port = host.lower(), "0"
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    elif ":" in name:
        return False  # an IPv6 address needs brackets
    try:
        is_loopback = name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
    return is_loopback and port.isascii() and port.isdigit()
