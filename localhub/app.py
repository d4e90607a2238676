"""The hub as an ASGI app: its routes, and how refusals go out."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from .errors import HubError, missing_repo
from .faults import Faults
from .hub import Hub
from .names import KINDS
from .routes import commits, files, info, pages, repos, spaces, xet
from .runner import Runner
from .tokens import DEFAULT_TOKENS, Token


class _RawPath:
    """Route by the path as it was sent: `refs%2Fpr%2F1` is one part of it, not three."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = {**scope, "path": scope["raw_path"].decode("latin-1")}
        await self.app(scope, receive, send)


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
    if (in_api and parts[1] in KINDS and parts[3:4] in ([], ["revision"], ["tree"])) or (
        parts[1:2] == ["resolve"]
    ):
        return _refuse(request, missing_repo("authorization" in request.headers))
    # xet clients take 404 as a sign to fall back to an older route.
    status = 501 if in_api and method not in ("GET", "HEAD") else 404
    return _refuse(request, HubError(status, f"localhub doesn't imitate {method} {path}"))


def create_app(
    root: Path,
    tokens: Sequence[Token] = DEFAULT_TOKENS,
    faults: Iterable[str] = (),
    runner: Runner | None = None,
) -> ASGIApp:
    """The hub of a folder.

    Args:
        root: The folder; it is made when absent.
        tokens: Who may call.
        faults: See `localhub.faults`.
        runner: Runs the Spaces; without one they only say that they run.

    Returns:
        An ASGI app, for a server that passes on `raw_path` as uvicorn does.
    """
    # A page of another origin may read what anybody may: it can't send a token.
    cors = Middleware(
        CORSMiddleware, allow_origins=["*"], allow_methods=["GET", "HEAD"], expose_headers=["*"]
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
    app.state.hub = Hub(root, tokens)
    app.state.runner = runner
    return Faults(_RawPath(app), root, faults)
