"""A Starlette request → its path parameters, query numbers and body, checked.

Endpoints are plain functions: Starlette runs them in a thread, so they may block on the disk
or on a lock, and read the body with `json_body` and `chunks`.
"""

import re
from collections.abc import Iterator
from urllib.parse import unquote

from anyio import from_thread
from starlette.requests import Request

from . import schemas
from .errors import HubError
from .hub import Hub
from .repos import Repo
from .runner import Runner

MAX_JSON_BYTES = 64 << 20


def hub_of(request: Request) -> Hub:
    """The hub that serves this request."""
    hub: Hub = request.app.state.hub
    return hub


def runner_of(request: Request) -> Runner:
    """The runner of this hub's Spaces."""
    runner: Runner = request.app.state.runner
    return runner


def path_param(request: Request, name: str) -> str:
    """A decoded path parameter. Routes match the raw path, so `%2F` stays inside its parameter."""
    return unquote(request.path_params[name])


def revision_param(request: Request) -> str:
    """The revision in the path, or `main` for a route without one."""
    return path_param(request, "revision") if "revision" in request.path_params else "main"


def base_url(request: Request) -> str:
    """The endpoint as the client calls it, without a trailing slash."""
    return str(request.base_url).rstrip("/")


def repo_url(request: Request, repo: Repo) -> str:
    """The URL of a repository, for the client."""
    return f"{base_url(request)}/{repo.url_path}"


def json_body(request: Request, schema: type[schemas.Schema]) -> schemas.Schema:
    """The JSON body of a request. An empty body is read as an empty object.

    Raises:
        HubError: 400 when it does not match `schema`, 413 when it exceeds `MAX_JSON_BYTES`.
    """
    return schemas.parse(schema, b"".join(chunks(request, MAX_JSON_BYTES)) or b"{}")


def int_query(request: Request, name: str, default: int) -> int:
    """A number in the query string.

    Raises:
        HubError: 400 when it is not a whole number of at most nine digits.
    """
    text = request.query_params.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise HubError(
            400, f"{name} must be a whole number of at most nine digits, got {text[:80]!r}."
        )
    return int(text)


def is_true(value: object) -> bool:
    """Whether a query or form value means true."""
    return str(value).lower() in ("1", "true")


def chunks(request: Request, limit: int | None = None) -> Iterator[bytes]:
    """The body of a request, streamed.

    Raises:
        HubError: 413 when it exceeds `limit` bytes.
    """
    stream = request.stream()
    received = 0
    while (chunk := from_thread.run(anext, stream, None)) is not None:
        received += len(chunk)
        if limit and received > limit:
            raise HubError(413, f"The body must have at most {limit} bytes.")
        yield chunk
