"""A request → its user, and the repository it names if that user has the right to it."""

from typing import Literal

from starlette.requests import Request

from .errors import HubError, missing_repo
from .repos import Repo
from .request import hub_of, path_param
from .tokens import Token


def current_user(request: Request) -> Token | None:
    """The token of a request, or None for an anonymous one.

    Raises:
        HubError: 401 when the token is unknown.
    """
    header = request.headers.get("authorization", "")
    if not header:
        return None
    token = hub_of(request).tokens.get(header.removeprefix("Bearer ").strip())
    if token is None:
        raise HubError(401, "Invalid credentials in Authorization header")
    return token


def require_user(request: Request) -> Token:
    """The token of a request.

    Raises:
        HubError: 401 when there is none.
    """
    token = current_user(request)
    if token is None:
        raise HubError(401, "Invalid username or password.")
    return token


def require_write(request: Request, namespace: str, action: str) -> Token:
    """The token of a request, if it may change `namespace`.

    Args:
        request: The request.
        namespace: A user or an organization.
        action: What the user is about to do, for the error message.

    Raises:
        HubError: 401 without a token, 403 when the token lacks the right.
    """
    token = require_user(request)
    if token.role != "write":
        raise HubError(
            403, f"A token with the role 'write' is needed to {action}, yours has {token.role!r}"
        )
    if not token.covers(namespace):
        raise HubError(
            403, f'You don\'t have the rights to {action} under the namespace "{namespace}"'
        )
    return token


def require_repo(request: Request, right: Literal["see", "read", "write"] = "see") -> Repo:
    """The repository in the path of a request.

    Args:
        request: Its path has `kind` (absent for models), `namespace` and `name`.
        right: `see` the metadata, `read` the files (restricted if gated) or `write`.

    Raises:
        HubError: 401 (anonymous) or 404 RepoNotFound when the repository is absent or hidden;
            401 (anonymous) or 403 when the user lacks the right, GatedRepo if it is gated.
    """
    kind = request.path_params.get("kind", "models")
    repo_id = f"{path_param(request, 'namespace')}/{path_param(request, 'name')}"
    token = require_user(request) if right == "write" else current_user(request)
    repo = hub_of(request).find(kind, repo_id)
    is_member = token is not None and repo is not None and token.covers(repo.namespace)
    if repo is None or (repo.private and not is_member):
        raise missing_repo(is_anonymous=token is None)
    if right == "write":
        require_write(request, repo.namespace, f"change a {kind[:-1]}")
    if right == "read" and repo.settings["gated"] and not is_member:
        message = f"Access to {kind[:-1]} {repo.id} is restricted."
        remedy = "Ask its owner for access." if token else "Please log in."
        raise HubError(403 if token else 401, f"{message} {remedy}", "GatedRepo")
    return repo


def require_scope(request: Request, scope: str) -> None:
    """Check that a request carries a grant for `scope`, in its query or as its token.

    Raises:
        HubError: 403 when it does not.
    """
    header = request.headers.get("authorization", "").removeprefix("Bearer ")
    grant = request.query_params.get("grant", header)
    if not hub_of(request).grants.permits(grant, scope):
        raise HubError(403, f"A fresh grant for {scope} is needed. Ask the Hub for a new one.")
