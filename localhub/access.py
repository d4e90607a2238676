"""A request → who calls, which repository is meant, and whether the one may have the other.

Endpoints are plain functions: Starlette runs them in a thread, so they may block on the disk
or on a lock, and read the body through `body` and `chunks`.
"""

import re
from collections.abc import Iterator
from typing import Literal
from urllib.parse import unquote

from anyio import from_thread
from starlette.requests import Request

from . import bodies
from .bodies import Body
from .errors import HubError, missing_repo
from .hub import Hub
from .repos import Repo
from .runner import Runner
from .tokens import Token, is_granted

MAX_JSON_BYTES = 64 << 20


def hub_of(request: Request) -> Hub:
    """The hub that serves this request."""
    hub: Hub = request.app.state.hub
    return hub


def runner_of(request: Request) -> Runner:
    """What runs the Spaces of this hub."""
    runner: Runner = request.app.state.runner
    return runner


def param(request: Request, name: str) -> str:
    """A part of the path, decoded; routes match the path as sent, so `%2F` stays in its part."""
    return unquote(request.path_params[name])


def base_url(request: Request) -> str:
    """The endpoint as the client calls it, without a slash at the end."""
    return str(request.base_url).rstrip("/")


def repo_url(request: Request, repo: Repo) -> str:
    """Where a repository is, for the client."""
    return f"{base_url(request)}/{repo.url_path}"


def body(request: Request, what: type[Body]) -> Body:
    """The JSON body of a request; an empty one reads as an empty object.

    Raises:
        HubError: 400 when it is anything else than `what`, 413 when it is too large.
    """
    return bodies.parse(what, b"".join(chunks(request, MAX_JSON_BYTES)) or b"{}")


def whole_number(request: Request, name: str, default: int) -> int:
    """A number in the query of a request.

    Raises:
        HubError: 400 when it is no whole number of at most nine digits.
    """
    text = request.query_params.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise HubError(
            400, f"{name} must be a whole number of at most nine digits, got {text[:80]!r}."
        )
    return int(text)


def chunks(request: Request, limit: int | None = None) -> Iterator[bytes]:
    """The body of a request as it comes in.

    Raises:
        HubError: 413 when it holds more than `limit` bytes.
    """
    stream = request.stream()
    received = 0
    while (chunk := from_thread.run(anext, stream, None)) is not None:
        received += len(chunk)
        if limit and received > limit:
            raise HubError(413, f"The body must have at most {limit} bytes.")
        yield chunk


def caller(request: Request) -> Token | None:
    """Whose token a request carries, or None when it carries none.

    Raises:
        HubError: 401 when it carries one that is not known here.
    """
    header = request.headers.get("authorization", "")
    if not header:
        return None
    token = hub_of(request).tokens.get(header.removeprefix("Bearer ").strip())
    if token is None:
        raise HubError(401, "Invalid credentials in Authorization header")
    return token


def known_caller(request: Request) -> Token:
    """The caller's token.

    Raises:
        HubError: 401 when there is none.
    """
    token = caller(request)
    if token is None:
        raise HubError(401, "Invalid username or password.")
    return token


def writer(request: Request, namespace: str, what: str) -> Token:
    """The caller's token, when it may change `namespace`.

    Args:
        request: The request.
        namespace: A user or an organization.
        what: What the caller is about to do, for the message.

    Raises:
        HubError: 401 without a token, 403 with one that may not.
    """
    token = known_caller(request)
    if token.role != "write":
        raise HubError(
            403, f"A token with the role 'write' is needed to {what}, yours has {token.role!r}"
        )
    if not token.covers(namespace):
        raise HubError(
            403, f'You don\'t have the rights to {what} under the namespace "{namespace}"'
        )
    return token


def repository(request: Request, right: Literal["see", "read", "write"] = "see") -> Repo:
    """The repository in the path of a request.

    Args:
        request: The request; `kind` (absent for models), `namespace` and `name` are in its path.
        right: `see` what it is, `read` its files (which gating restricts) or `write`.

    Raises:
        HubError: 401 or 404 RepoNotFound when it is absent or hidden from the caller, 403
            GatedRepo (401 without a token) or 403 when the caller lacks the right.
    """
    kind = request.path_params.get("kind", "models")
    repo_id = f"{param(request, 'namespace')}/{param(request, 'name')}"
    token = known_caller(request) if right == "write" else caller(request)
    repo = hub_of(request).find(kind, repo_id)
    belongs = token is not None and repo is not None and token.covers(repo.namespace)
    if repo is None or (repo.private and not belongs):
        raise missing_repo(known_caller=token is not None)
    if right == "write":
        writer(request, repo.namespace, f"change a {kind[:-1]}")
    if right == "read" and repo.settings["gated"] and not belongs:
        message = f"Access to {kind[:-1]} {repo.id} is restricted."
        remedy = "Ask its owner for access." if token else "Please log in."
        raise HubError(403 if token else 401, f"{message} {remedy}", "GatedRepo")
    return repo


def granted(request: Request, purpose: str) -> None:
    """Let pass a request that carries a grant for `purpose`, in its query or as its token.

    Raises:
        HubError: 403 when it carries none.
    """
    header = request.headers.get("authorization", "").removeprefix("Bearer ")
    grant = request.query_params.get("grant", header)
    if not is_granted(hub_of(request).secret, purpose, grant):
        raise HubError(403, f"A fresh grant for {purpose} is needed. Ask the Hub for a new one.")
