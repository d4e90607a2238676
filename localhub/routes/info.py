"""Routes to the metadata of one repository, and lists of repositories."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..auth import current_user, require_repo
from ..commits import Commit
from ..repos import Repo
from ..request import hub_of, int_query, is_true, revision_param
from .spaces import space_fields

# Metadata keys that become tags -> prefix of the tag.
_TAG_PREFIXES = {
    "tags": "",
    "library_name": "",
    "pipeline_tag": "",
    "language": "",
    "license": "license:",
    "datasets": "dataset:",
    "base_model": "base_model:",
    "task_categories": "task_categories:",
}


def describe(request: Request, repo: Repo, commit: Commit, blobs: bool = False) -> dict[str, Any]:
    """The Hub's description of a repository at a commit.

    Args:
        request: The request.
        repo: The repository.
        commit: One of its commits.
        blobs: Whether to include the sizes and hashes of the files.
    """
    settings = repo.settings
    card = hub_of(request).card(commit)
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
    """The tags that the Hub derives from a card, without duplicates."""
    tags: list[str] = []
    for key, prefix in _TAG_PREFIXES.items():
        value = card.get(key) or []
        tags += [f"{prefix}{item}" for item in (value if isinstance(value, list) else [value])]
    return list(dict.fromkeys(tags))


def info(request: Request) -> Response:
    """The description of a repository at a revision."""
    repo = require_repo(request)
    commit = repo.revision(revision_param(request))
    return JSONResponse(describe(request, repo, commit, is_true(request.query_params.get("blobs"))))


def listing(request: Request) -> Response:
    """The repositories of a kind, by author, part of the name, or tags; newest first."""
    query = request.query_params
    limit = int_query(request, "limit", 1000)
    tags = set(query.getlist("filter") + query.getlist("pipeline_tag"))
    token = current_user(request)

    def row(repo: Repo) -> dict[str, Any] | None:
        if (
            (repo.private and not (token and token.covers(repo.namespace)))
            or query.get("search", "").lower() not in repo.id.lower()
            or query.get("author", repo.namespace) != repo.namespace
        ):
            return None
        fields = describe(request, repo, repo.revision("main"))
        return fields if tags <= set(fields["tags"]) else None

    rows = [row for row in hub_of(request).map_repos(request.path_params["kind"], row) if row]
    rows.sort(key=lambda row: str(row["lastModified"]), reverse=True)
    return JSONResponse(rows[:limit])


_REPO = "/api/{kind:kind}/{namespace}/{name}"
ROUTES = [
    Route("/api/{kind:kind}", listing),
    Route(_REPO, info),
    Route(_REPO + "/revision/{revision}", info),
]
