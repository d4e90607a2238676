"""Routes about whole repositories: who am I, create, remove, settings, branches and tags."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..access import (
    base_url,
    body,
    caller,
    hub_of,
    known_caller,
    param,
    repository,
    runner_of,
    writer,
)
from ..bodies import Card, Creation, Named, NewRef, Settings
from ..errors import HubError, missing_repo
from ..names import KINDS
from ..tokens import whoami
from ..validate import validate_card
from .spaces import initial_settings

_GATED = (False, "auto", "manual")
_VISIBILITIES = ("public", "private", "protected")
REFS = {"branch": "heads", "tag": "tags"}


def who_am_i(request: Request) -> Response:
    """Name, organizations and role of the token."""
    return JSONResponse(whoami(known_caller(request)))


def _named(request: Request, fields: Named) -> tuple[str, str]:
    """The kind and id in the body of create and delete."""
    kind = f"{fields.type or 'model'}s"
    if kind not in KINDS:
        raise HubError(400, f"type must be model, dataset or space, got {fields.type!r}.")
    namespace = fields.organization or known_caller(request).name
    return kind, fields.name if "/" in fields.name else f"{namespace}/{fields.name}"


def _visibility(fields: Settings, kind: str) -> str:
    """The visibility in a body; `private` is how clients before huggingface_hub 2 said it."""
    visibility = fields.visibility or ("private" if fields.private else "public")
    if visibility not in _VISIBILITIES or (visibility == "protected" and kind != "spaces"):
        raise HubError(
            400,
            f"visibility must be public, private or (Spaces only) protected, got {visibility!r}.",
        )
    return visibility


def create(request: Request) -> Response:
    """Make a repository with an initial commit."""
    fields = body(request, Creation)
    kind, repo_id = _named(request, fields)
    token = writer(request, repo_id.split("/")[0], f"create a {kind[:-1]}")
    settings: dict[str, object] = {"visibility": _visibility(fields, kind), "gated": False}
    if kind == "spaces":
        settings |= initial_settings(fields)
    hub = hub_of(request)
    url = f"{base_url(request)}/{'' if kind == 'models' else kind + '/'}{repo_id}"
    try:
        repo = hub.create(kind, repo_id, token.name, settings)
    except FileExistsError as error:
        message = f"You already created this {kind[:-1]} repo: {repo_id}"
        raise HubError(409, message, body={"url": url}) from error
    if kind == "spaces":
        for pair in fields.secrets or []:
            runner_of(request).keep_secret(repo.id, pair.key, pair.value)
    return JSONResponse({"url": url, "name": repo_id, "id": repo_id, "private": repo.private})


def remove(request: Request) -> Response:
    """Remove a repository."""
    kind, repo_id = _named(request, body(request, Named))
    writer(request, repo_id.split("/")[0], f"delete a {kind[:-1]}")
    hub = hub_of(request)
    repo = hub.find(kind, repo_id)
    if repo is None:
        raise missing_repo(known_caller=True)
    if kind == "spaces":
        runner_of(request).remove(hub, repo)
    else:
        hub.remove(repo)
    return Response()


def change_settings(request: Request) -> Response:
    """Change visibility or gating."""
    repo = repository(request, "write")
    fields = body(request, Settings)
    with repo.changing() as settings:
        if fields.model_fields_set & {"visibility", "private"}:
            settings["visibility"] = _visibility(fields, repo.kind)
        if "gated" in fields.model_fields_set:
            if fields.gated not in _GATED:
                raise HubError(400, f"gated must be one of {_GATED}, got {fields.gated!r}.")
            settings["gated"] = fields.gated
    return JSONResponse({"private": repo.private, "gated": settings["gated"]})


def auth_check(request: Request) -> Response:
    """Answer 200 when the caller may read (or write, when the path says so)."""
    repository(request, "write" if request.url.path.endswith("/write") else "read")
    return JSONResponse({})


def refs(request: Request) -> Response:
    """Branches, tags and, when asked for, pull requests."""
    repo = repository(request)

    def rows(folder: str) -> list[dict[str, str]]:
        return [
            {"name": name, "ref": f"refs/{folder}/{name}", "targetCommit": sha}
            for name, sha in repo.refs(folder).items()
        ]

    answer = {"branches": rows("heads"), "tags": rows("tags"), "converts": []}
    if request.query_params.get("include_prs"):
        answer["pullRequests"] = rows("pr")
    return JSONResponse(answer)


def add_ref(request: Request) -> Response:
    """Create a branch (named in the path) or a tag (named in the body)."""
    repo = repository(request, "write")
    fields = body(request, NewRef)
    in_path = param(request, "ref")
    if request.path_params["what"] == "branch":
        name, start = in_path, fields.startingPoint or "main"
    else:
        name, start = fields.tag or "", in_path
    repo.add_ref(REFS[request.path_params["what"]], name, repo.resolve(start))
    return JSONResponse({}, 201)


def remove_ref(request: Request) -> Response:
    """Remove a branch or a tag."""
    repo = repository(request, "write")
    name = param(request, "ref")
    if request.path_params["what"] == "branch" and name == "main":
        raise HubError(403, "The branch main is protected and can't be deleted.")
    repo.remove_ref(REFS[request.path_params["what"]], name)
    return Response(status_code=204)


def validate(request: Request) -> Response:
    """Check the front matter of a README.md; anybody may ask."""
    caller(request)
    fields = body(request, Card)
    errors, warnings = validate_card(fields.content, f"{fields.repoType or 'model'}s")
    answer = {
        "errors": [{"message": message} for message in errors],
        "warnings": [{"message": message} for message in warnings],
    }
    return JSONResponse(answer, 400 if errors else 200)


def discussions(request: Request) -> Response:
    """There are none here; clients ask all the same."""
    repository(request)
    return JSONResponse({"discussions": [], "count": 0, "start": 0})


_REPO = "/api/{kind:kind}/{namespace}/{name}"
ROUTES = [
    Route("/api/whoami-v2", who_am_i),
    Route("/api/repos/create", create, methods=["POST"]),
    Route("/api/repos/delete", remove, methods=["DELETE"]),
    Route("/api/validate-yaml", validate, methods=["POST"]),
    Route(_REPO + "/settings", change_settings, methods=["PUT", "POST"]),
    Route(_REPO + "/auth-check", auth_check),
    Route(_REPO + "/auth-check/write", auth_check),
    Route(_REPO + "/refs", refs),
    Route(_REPO + "/{what:ref}/{ref}", add_ref, methods=["POST"]),
    Route(_REPO + "/{what:ref}/{ref}", remove_ref, methods=["DELETE"]),
    Route(_REPO + "/discussions", discussions),
]
