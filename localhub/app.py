"""The hub as an ASGI app: its routes, and how refusals go out."""

from collections.abc import Iterable

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .errors import HubError, missing_repo
from .faults import Faults
from .guard import Guard
from .hub import Hub
from .names import KINDS
from .routes import commits, files, info, pages, repos, spaces, xet
from .runner import Runner

# Pages of this machine's own servers, such as a Space's, may read what anybody may.
_OWN_PAGES = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?"


class _RawPath:
    """Route by the path as it was sent: `refs%2Fpr%2F1` is one part of it, not three."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = {**scope, "path": scope["raw_path"].decode("latin-1")}
        await self.app(scope, receive, send)


class _WholeBody:
    """Read a body to its end before the answer to a client that wants the connection closed.

    A socket that is closed on unread data is reset, and the client never sees the answer.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        closes = headers.get(b"connection", b"").lower() == b"close" or (
            scope["http_version"] == "1.0"
        )
        left = closes and b"expect" not in headers

        async def receiving() -> Message:
            nonlocal left
            message = await receive()
            left = left and message.get("more_body", False)
            return message

        async def sending(message: Message) -> None:
            while left:
                await receiving()
            await send(message)

        await self.app(scope, receiving, sending)


def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, HubError)
    return JSONResponse(error.body, error.status, error.headers)


def _hung_up(request: Request, error: Exception) -> Response:
    """A client that went away in the middle of an upload; nobody reads this answer."""
    return Response(status_code=499)


def _unknown(request: Request, error: Exception) -> Response:
    """A path without a route: a repository's without a namespace, or one not imitated."""
    method, path = request.method, request.url.path
    parts = path.split("/")[1:]
    in_api = parts[0] == "api"
    if (
        in_api
        and parts[1:2] in ([kind] for kind in KINDS)
        and parts[3:4] in ([], ["revision"], ["tree"])
    ) or (parts[1:2] == ["resolve"]):
        return _refuse(request, missing_repo("authorization" in request.headers))
    # xet clients take 404 as a sign to fall back to an older route.
    status = 501 if in_api and method not in ("GET", "HEAD") else 404
    return _refuse(request, HubError(status, f"localhub doesn't imitate {method} {path}"))


def create_app(hub: Hub, runner: Runner, host: str, faults: Iterable[str] = ()) -> ASGIApp:
    """A hub over HTTP.

    Args:
        hub: What is served.
        runner: Runs its Spaces.
        host: The address that the server listens on.
        faults: See `localhub.faults`.

    Returns:
        An ASGI app, for a server that passes on `raw_path` as uvicorn does.
    """
    # They can't send a token.
    cors = Middleware(
        CORSMiddleware,
        allow_origin_regex=_OWN_PAGES,
        allow_methods=["GET", "HEAD"],
        expose_headers=["*"],
    )
    modules = (repos, info, spaces, files, commits, xet, pages)
    app = Starlette(
        routes=[route for module in modules for route in module.ROUTES],
        middleware=[cors],
        exception_handlers={
            HubError: _refuse,
            ClientDisconnect: _hung_up,
            404: _unknown,
            405: _unknown,
        },
    )
    app.state.hub = hub
    app.state.runner = runner
    return Guard(Faults(_WholeBody(_RawPath(app)), hub.root, faults), host)
