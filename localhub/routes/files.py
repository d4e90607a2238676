"""Routes to the files of a revision: their contents, lists of them, and the commit history."""

import hashlib
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from ..auth import require_repo
from ..commits import Commit, folders_of, lfs_pointer
from ..errors import missing_entry
from ..names import check_path
from ..request import (
    MAX_JSON_BYTES,
    chunks,
    hub_of,
    int_query,
    is_true,
    json_body,
    path_param,
    revision_param,
)
from ..schemas import Paths

TREE_PAGE_ROWS, COMMIT_PAGE_ROWS = 1000, 50  # as on the Hub


class _Content(FileResponse):
    """A file response in chunks of 1 MiB. Starlette's 64 KiB cost a thread switch each."""

    chunk_size = 1 << 20


def resolve(request: Request) -> Response:
    """The content of a file, or the requested range of it."""
    repo = require_repo(request, "read")
    commit = repo.revision(revision_param(request))
    path = check_path(path_param(request, "path"))
    if (entry := commit.files.get(path)) is None:
        raise missing_entry(f"Entry not found: {path}", commit.sha)
    headers = {"X-Repo-Commit": commit.sha, "ETag": f'"{entry.etag}"'}
    if entry.lfs:
        headers |= {"X-Linked-Etag": f'"{entry.sha256}"', "X-Linked-Size": str(entry.size)}
    if entry.lfs and request.path_params["form"] == "raw":
        return Response(lfs_pointer(entry.sha256, entry.size), 200, headers, "text/plain")
    return _Content(
        hub_of(request).path(entry),
        headers=headers,
        media_type="application/octet-stream" if entry.lfs else "text/plain",
        filename=path.split("/")[-1],
        content_disposition_type="inline",
    )


def _rows(commit: Commit, paths: list[str]) -> list[dict[str, Any]]:
    """What clients read about files and folders."""
    rows: list[dict[str, Any]] = []
    for path in paths:
        if (entry := commit.files.get(path)) is None:
            oid = hashlib.sha1(f"{commit.sha} {path}".encode()).hexdigest()
            rows.append({"type": "directory", "path": path, "size": 0, "oid": oid})
            continue
        row: dict[str, Any] = {"type": "file", "path": path, "size": entry.size, "oid": entry.oid}
        rows.append(row | ({"lfs": entry.lfs_fields("oid")} if entry.lfs else {}))
    return rows


def _next_page(request: Request, **query: object) -> dict[str, str]:
    """The header that links to the next page."""
    url = request.url.include_query_params(**query)
    return {"Link": f'<{url}>; rel="next"'}


def tree(request: Request) -> Response:
    """One page of the files and folders in a folder of a revision."""
    revision = revision_param(request)
    commit = require_repo(request).revision(revision)
    folder = path_param(request, "path").strip("/") if "path" in request.path_params else ""
    prefix = f"{check_path(folder)}/" if folder else ""
    query = request.query_params
    paths = sorted(
        path
        for path in commit.files.keys() | folders_of(commit.files)
        if path.startswith(prefix)
        and (is_true(query.get("recursive")) or "/" not in path[len(prefix) :])
    )
    if folder and not paths:
        raise missing_entry(f"{folder} does not exist on {revision}", commit.sha)
    limit = min(int_query(request, "limit", TREE_PAGE_ROWS), TREE_PAGE_ROWS)
    remaining = [path for path in paths if path > query.get("cursor", "")]
    page = remaining[: max(limit, 1)]
    headers = _next_page(request, cursor=page[-1]) if len(remaining) > len(page) else {}
    return JSONResponse(_rows(commit, page), headers=headers)


def paths_info(request: Request) -> Response:
    """The rows of the paths in the body (JSON or a form). Absent paths are left out."""
    commit = require_repo(request).revision(revision_param(request))
    if request.headers.get("content-type", "").startswith("application/json"):
        requested = json_body(request, Paths).paths
    else:
        form = parse_qs(b"".join(chunks(request, MAX_JSON_BYTES)).decode("utf-8", "replace"))
        requested = form.get("paths", [])
    existing = commit.files.keys() | folders_of(commit.files)
    return JSONResponse(_rows(commit, [path for path in requested if path in existing]))


def history(request: Request) -> Response:
    """One page of the commits of a revision, newest first."""
    commits = list(require_repo(request).history(revision_param(request)))
    page = int_query(request, "p", 0)
    start, end = page * COMMIT_PAGE_ROWS, (page + 1) * COMMIT_PAGE_ROWS
    rows = [
        {
            "id": commit.sha,
            "title": commit.title,
            "message": commit.message,
            "authors": [{"user": commit.author}],
            "date": commit.date,
        }
        for commit in commits[start:end]
    ]
    link = _next_page(request, p=page + 1) if len(commits) > end else {}
    return JSONResponse(rows, headers={"X-Total-Count": str(len(commits)), **link})


_API = "/api/{kind:kind}/{namespace}/{name}"
_FILE = "/{namespace:user}/{name}/{form:form}/{revision}/{path:path}"
ROUTES = [
    Route(_API + "/tree/{revision}", tree),
    Route(_API + "/tree/{revision}/{path:path}", tree),
    Route(_API + "/paths-info/{revision}", paths_info, methods=["POST"]),
    Route(_API + "/commits/{revision}", history),
    Route("/{kind:site}" + _FILE, resolve),
    Route(_FILE, resolve),
]
