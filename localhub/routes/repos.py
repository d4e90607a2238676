"""Routes about whole repositories: the user, creation, removal, settings and tags."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..auth import current_user, require_repo, require_user, require_write
from ..errors import HubError, missing_repo
from ..repos import RefFolder
from ..request import base_url, hub_of, json_body, path_param, runner_of
from ..schemas import NewRepo, NewTag, Readme, RepoName, Settings
from ..tokens import whoami
from ..validate import validate_card
from .spaces import initial_settings


def who_am_i(request: Request) -> Response:
    """The user, organizations and role of the token."""
    return JSONResponse(whoami(require_user(request)))


def _kind_and_id(request: Request, fields: RepoName) -> tuple[str, str]:
    namespace = fields.organization or require_user(request).name
    repo_id = fields.name if "/" in fields.name else f"{namespace}/{fields.name}"
    return f"{fields.type or 'model'}s", repo_id


def _visibility(fields: Settings) -> str:
    return fields.visibility or ("private" if fields.private else "public")


def create(request: Request) -> Response:
    """Create a repository with an initial commit."""
    fields = json_body(request, NewRepo)
    kind, repo_id = _kind_and_id(request, fields)
    token = require_write(request, repo_id.split("/")[0], f"create a {kind[:-1]}")
    settings: dict[str, object] = {"visibility": _visibility(fields), "gated": False}
    if kind == "spaces":
        settings |= initial_settings(fields)
    url = f"{base_url(request)}/{'' if kind == 'models' else kind + '/'}{repo_id}"
    try:
        repo = hub_of(request).create(kind, repo_id, token.name, settings)
    except FileExistsError as error:
        message = f"You already created this {kind[:-1]} repo: {repo_id}"
        raise HubError(409, message, body={"url": url}) from error
    if kind == "spaces":
        for secret in fields.secrets or []:
            runner_of(request).set_secret(repo.id, secret.key, secret.value)
    return JSONResponse({"url": url, "name": repo_id, "id": repo_id, "private": repo.private})


def remove(request: Request) -> Response:
    """Remove a repository."""
    kind, repo_id = _kind_and_id(request, json_body(request, RepoName))
    require_write(request, repo_id.split("/")[0], f"delete a {kind[:-1]}")
    hub = hub_of(request)
    repo = hub.find(kind, repo_id)
    if repo is None:
        raise missing_repo(is_anonymous=False)
    if kind == "spaces":
        runner_of(request).remove(hub, repo)
    else:
        hub.remove(repo)
    return Response()


def change_settings(request: Request) -> Response:
    """Change visibility or gating."""
    repo = require_repo(request, "write")
    fields = json_body(request, Settings)
    with repo.edit_settings() as settings:
        if fields.model_fields_set & {"visibility", "private"}:
            settings["visibility"] = _visibility(fields)
        if fields.gated is not None:
            settings["gated"] = fields.gated
    return JSONResponse({"private": repo.private, "gated": settings["gated"]})


def auth_check(request: Request) -> Response:
    """Answer 200 when the user may read, or write if the path says so."""
    require_repo(request, "write" if request.url.path.endswith("/write") else "read")
    return JSONResponse({})


def refs(request: Request) -> Response:
    """Branches and tags."""
    repo = require_repo(request)

    def rows(folder: RefFolder) -> list[dict[str, str]]:
        return [
            {"name": name, "ref": f"refs/{folder}/{name}", "targetCommit": sha}
            for name, sha in repo.refs(folder).items()
        ]

    answer = {"branches": rows("heads"), "tags": rows("tags"), "converts": [], "pullRequests": []}
    return JSONResponse(answer)


def add_tag(request: Request) -> Response:
    """Create a tag (named in the body) for the revision in the path."""
    repo = require_repo(request, "write")
    repo.add_tag(json_body(request, NewTag).tag, repo.resolve(path_param(request, "revision")))
    return JSONResponse({}, 201)


def remove_tag(request: Request) -> Response:
    """Remove a tag."""
    require_repo(request, "write").remove_tag(path_param(request, "revision"))
    return Response(status_code=204)


def validate(request: Request) -> Response:
    """Check the metadata of a README.md. No token is needed."""
    current_user(request)
    fields = json_body(request, Readme)
    errors, warnings = validate_card(fields.content, fields.repoType or "model")
    answer = {
        "errors": [{"message": message} for message in errors],
        "warnings": [{"message": message} for message in warnings],
    }
    return JSONResponse(answer, 400 if errors else 200)


_REPO = "/api/{kind:kind}/{namespace}/{name}"
ROUTES = [
    Route("/api/whoami-v2", who_am_i),
    Route("/api/repos/create", create, methods=["POST"]),
    Route("/api/repos/delete", remove, methods=["DELETE"]),
    Route("/api/validate-yaml", validate, methods=["POST"]),
    Route(_REPO + "/settings", change_settings, methods=["PUT"]),
    Route(_REPO + "/auth-check", auth_check),
    Route(_REPO + "/auth-check/write", auth_check),
    Route(_REPO + "/refs", refs),
    Route(_REPO + "/tag/{revision}", add_tag, methods=["POST"]),
    Route(_REPO + "/tag/{revision}", remove_tag, methods=["DELETE"]),
]
