"""The hub as an ASGI app: its routes and its error answers."""

from collections.abc import Iterable

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from .errors import HubError, missing_repo
from .faults import Faults
from .guard import Guard
from .hub import Hub
from .names import KINDS
from .routes import commits, files, info, pages, repos, spaces, xet
from .runner import Runner

# Pages of servers on this machine, such as a Space's, may read what is public.
_LOCAL_ORIGINS = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?"


class _RawPath:
    """Route by the raw path: `feature%2Fx` is one part of it, not two."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = {**scope, "path": scope["raw_path"].decode("latin-1")}
        await self.app(scope, receive, send)


def _answer_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HubError)
    return JSONResponse(error.body, error.status, error.headers)


def _answer_disconnect(request: Request, error: Exception) -> Response:
    """The client left during an upload and will not read this answer."""
    return Response(status_code=499)


def _answer_no_route(request: Request, error: Exception) -> Response:
    """A repository without a namespace is missing; anything else is not imitated."""
    method, path = request.method, request.url.path
    parts = path.split("/")[1:]
    in_api = parts[0] == "api"
    names_repo = in_api and parts[1:2] in ([kind] for kind in KINDS)
    if (names_repo and parts[3:4] in ([], ["revision"], ["tree"])) or parts[1:2] == ["resolve"]:
        return _answer_error(request, missing_repo("authorization" not in request.headers))
    # xet clients fall back to an older route on 404.
    status = 501 if in_api and method not in ("GET", "HEAD") else 404
    return _answer_error(request, HubError(status, f"localhub doesn't imitate {method} {path}"))


def create_app(hub: Hub, runner: Runner, faults: Iterable[str] = ()) -> ASGIApp:
    """The hub as an ASGI app, for a server that sets `raw_path` as uvicorn does.

    Args:
        hub: The hub to serve.
        runner: Runs its Spaces.
        faults: See `localhub.faults`.
    """
    # Without headers of their own: pages can't send a token.
    cors = Middleware(
        CORSMiddleware,
        allow_origin_regex=_LOCAL_ORIGINS,
        allow_methods=["GET", "HEAD"],
        expose_headers=["*"],
    )
    modules = (repos, info, spaces, files, commits, xet, pages)
    app = Starlette(
        routes=[route for module in modules for route in module.ROUTES],
        middleware=[cors],
        exception_handlers={
            HubError: _answer_error,
            ClientDisconnect: _answer_disconnect,
            404: _answer_no_route,
            405: _answer_no_route,
        },
    )
    app.state.hub = hub
    app.state.runner = runner
    return Guard(Faults(_RawPath(app), hub.root, faults))
