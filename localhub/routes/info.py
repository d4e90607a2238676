"""Routes to what is known about repositories: one of them, or lists."""

from collections.abc import Callable, Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..access import caller, hub_of, known_caller, param, repository, whole_number
from ..commits import Commit
from ..names import KINDS
from ..repos import Repo
from .spaces import space_fields


def describe(request: Request, repo: Repo, commit: Commit, blobs: bool = False) -> dict[str, Any]:
    """What the Hub says about a repository at a commit."""
    hub = hub_of(request)
    settings = repo.settings
    card = hub.card(commit)
    siblings: list[dict[str, Any]] = []
    for path, entry in commit.files.items():
        row: dict[str, Any] = {"rfilename": path}
        if blobs:
            row |= {"blobId": entry.oid, "size": entry.size}
            if entry.lfs:
                row["lfs"] = entry.lfs_fields("sha256")
        siblings.append(row)
    fields: dict[str, Any] = {
        "_id": commit.sha[:24],
        "id": repo.id,
        "author": repo.namespace,
        "sha": commit.sha,
        "createdAt": settings["created"],
        "lastModified": commit.date,
        "private": settings["visibility"] == "private",
        "gated": settings["gated"],
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "tags": _tags(card),
        "cardData": card,
        "siblings": siblings,
        "usedStorage": sum(entry.size for entry in commit.files.values()),
    }
    if repo.kind == "models":
        fields |= {"modelId": repo.id, "model-index": card.get("model-index")}
        fields |= {key: card[key] for key in ("pipeline_tag", "library_name") if key in card}
    if repo.kind == "spaces":
        fields |= space_fields(request, repo, card)
    return fields


def _tags(card: dict[str, Any]) -> list[str]:
    """The tags that a card stands for, its own first."""
    tags: list[str] = []
    for key, prefix in (
        ("tags", ""),
        ("library_name", ""),
        ("pipeline_tag", ""),
        ("language", ""),
        ("license", "license:"),
        ("datasets", "dataset:"),
        ("base_model", "base_model:"),
        ("task_categories", "task_categories:"),
    ):
        value = card.get(key) or []
        tags += [f"{prefix}{item}" for item in (value if isinstance(value, list) else [value])]
    return list(dict.fromkeys(tags))


def info(request: Request) -> Response:
    """What a repository is, at its main branch or a revision."""
    repo = repository(request)
    commit = repo.revision(
        param(request, "revision") if "revision" in request.path_params else "main"
    )
    blobs = request.query_params.get("blobs", "").lower() in ("1", "true")
    return JSONResponse(describe(request, repo, commit, blobs))


Row = dict[str, Any]


def _rows(request: Request, kind: str, read: Callable[[Repo], Row | None]) -> Iterator[Row]:
    """What `read` gives for each repository of a kind that the caller may see, if anything."""
    token = caller(request)

    def visible(repo: Repo) -> Row | None:
        belongs = token is not None and token.covers(repo.namespace)
        return read(repo) if belongs or not repo.private else None

    return filter(None, hub_of(request).each(kind, visible))


def listing(request: Request) -> Response:
    """The repositories of a kind, by author, part of the name, or tags; newest first."""
    query = request.query_params
    limit = whole_number(request, "limit", 1000)
    filters = set(query.getlist("filter") + query.getlist("pipeline_tag"))

    def read(repo: Repo) -> Row | None:
        if (
            query.get("search", "").lower() not in repo.id.lower()
            or query.get("author", repo.namespace) != repo.namespace
        ):
            return None
        row = describe(request, repo, repo.revision("main"))
        return row if filters <= set(row["tags"]) else None

    rows = list(_rows(request, request.path_params["kind"], read))
    rows.sort(key=lambda row: str(row["lastModified"]), reverse=True)
    return JSONResponse(rows[:limit])


def own_repositories(request: Request) -> Response:
    """The caller's repositories, or those of one organization."""
    token = known_caller(request)
    namespace = param(request, "namespace") if request.path_params else None

    def read(repo: Repo) -> Row | None:
        if not (repo.namespace == namespace or (not namespace and token.covers(repo.namespace))):
            return None
        commit = repo.revision("main")
        row = {"id": repo.id, "type": repo.kind[:-1], "updatedAt": commit.date}
        row["visibility"] = repo.settings["visibility"]
        storage = sum(entry.size for entry in commit.files.values())
        return {**row, "storage": storage, "storagePercent": 0}

    return JSONResponse([row for kind in KINDS for row in _rows(request, kind, read)])


_REPO = "/api/{kind:kind}/{namespace}/{name}"
ROUTES = [
    Route("/api/settings/repositories", own_repositories),
    Route("/api/organizations/{namespace}/settings/repositories", own_repositories),
    Route("/api/{kind:kind}", listing),
    Route(_REPO, info),
    Route(_REPO + "/revision/{revision}", info),
]
