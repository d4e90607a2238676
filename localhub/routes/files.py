"""Routes to the files of a revision: their bytes, lists of them, and the commits behind them."""

import hashlib
from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from ..access import (
    MAX_JSON_BYTES,
    base_url,
    body,
    chunks,
    hub_of,
    param,
    repository,
    whole_number,
)
from ..bodies import Paths
from ..commits import Commit, Entry, folders_of, pointer
from ..errors import missing_entry
from ..names import check_path
from ..repos import Repo

# As on the Hub: entries of a tree a page, the same with `expand`, and commits a page.
TREE_ROWS, EXPANDED_ROWS, COMMIT_ROWS = 1000, 50, 50


class _Content(FileResponse):
    """A file response in pieces of 1 MiB; Starlette's 64 KiB cost a thread hop each."""

    chunk_size = 1 << 20


def _xet_headers(request: Request, repo: Repo, commit: Commit, entry: Entry) -> dict[str, str]:
    """What makes a client fetch a file over xet, when the file came that way."""
    hash = hub_of(request).xet.hash_of(entry.sha256) if entry.lfs else None
    if hash is None:
        return {}
    route = f"/api/{repo.kind}/{repo.id}/xet-read-token/{commit.sha}"
    return {"X-Xet-Hash": hash, "Link": f'<{base_url(request)}{route}>; rel="xet-auth"'}


def resolve(request: Request) -> Response:
    """The bytes of a file, or the range of them that is asked for."""
    repo = repository(request, "read")
    commit = repo.revision(param(request, "revision"))
    path = check_path(param(request, "path"))
    if (entry := commit.files.get(path)) is None:
        raise missing_entry(f"Entry not found: {path}", commit.sha)
    headers = {"X-Repo-Commit": commit.sha, "ETag": f'"{entry.etag}"'}
    if entry.lfs:
        headers |= {"X-Linked-Etag": f'"{entry.sha256}"', "X-Linked-Size": str(entry.size)}
    if entry.lfs and request.path_params["how"] == "raw":
        return Response(pointer(entry.sha256, entry.size), 200, headers, "text/plain")
    return _Content(
        hub_of(request).content(entry),
        headers=headers | _xet_headers(request, repo, commit, entry),
        media_type="application/octet-stream" if entry.lfs else "text/plain",
        filename=path.split("/")[-1],
        content_disposition_type="inline",
    )


def _last_commits(repo: Repo, commit: Commit, paths: Iterable[str]) -> dict[str, Commit]:
    """The commit that last changed each path (a file, or anything in a folder)."""
    found: dict[str, Commit] = {}
    left = set(paths)
    for newer in repo.history(commit.sha):
        older = repo.at(newer.parent).files if newer.parent else {}
        changed = {path for path, _ in newer.files.items() ^ older.items()}
        now_found = left & (changed | folders_of(changed))
        found |= dict.fromkeys(now_found, newer)
        left -= now_found
        if not left:
            break
    return found


def _rows(
    request: Request, repo: Repo, commit: Commit, paths: list[str], expand: bool
) -> list[dict[str, Any]]:
    """What clients read about files and folders."""
    hub = hub_of(request)
    rows: list[dict[str, Any]] = []
    for path in paths:
        if (entry := commit.files.get(path)) is None:
            oid = hashlib.sha1(f"{commit.sha} {path}".encode()).hexdigest()
            rows.append({"type": "directory", "path": path, "size": 0, "oid": oid})
            continue
        row: dict[str, Any] = {"type": "file", "path": path, "size": entry.size, "oid": entry.oid}
        if entry.lfs:
            row["lfs"] = entry.lfs_fields("oid")
            if hash := hub.xet.hash_of(entry.sha256):
                row["xetHash"] = hash
        rows.append(row)
    if expand:
        commits = _last_commits(repo, commit, paths)
        for row in rows:
            last = commits[str(row["path"])]
            row["lastCommit"] = {"id": last.sha, "title": last.title, "date": last.date}
    return rows


def _is_true(value: object) -> bool:
    return str(value).lower() in ("1", "true")


def _page_link(request: Request, **query: object) -> dict[str, str]:
    """The header by which a client finds the next page."""
    url = request.url.include_query_params(**query)
    return {"Link": f'<{url}>; rel="next"'}


def tree(request: Request) -> Response:
    """The files and folders in a folder of a revision, a page of them."""
    repo = repository(request)
    commit = repo.revision(param(request, "revision"))
    folder = param(request, "path").strip("/") if "path" in request.path_params else ""
    prefix = f"{check_path(folder)}/" if folder else ""
    query = request.query_params
    paths = sorted(
        path
        for path in commit.files.keys() | folders_of(commit.files)
        if path.startswith(prefix)
        and (_is_true(query.get("recursive")) or "/" not in path[len(prefix) :])
    )
    if folder and not paths:
        raise missing_entry(f"{folder} does not exist on {param(request, 'revision')}", commit.sha)
    expand = _is_true(query.get("expand"))
    most = EXPANDED_ROWS if expand else TREE_ROWS
    limit = min(whole_number(request, "limit", most), most)
    left = [path for path in paths if path > query.get("cursor", "")]
    page = left[: max(limit, 1)]
    headers = _page_link(request, cursor=page[-1]) if len(left) > len(page) else {}
    return JSONResponse(_rows(request, repo, commit, page, expand), headers=headers)


def paths_info(request: Request) -> Response:
    """The same rows for the paths in the body; those that don't exist are left out."""
    repo = repository(request)
    commit = repo.revision(param(request, "revision"))
    if request.headers.get("content-type", "").startswith("application/json"):
        fields = body(request, Paths)
        wanted, expand = fields.paths, fields.expand
    else:
        form = parse_qs(b"".join(chunks(request, MAX_JSON_BYTES)).decode("utf-8", "replace"))
        wanted, expand = form.get("paths", []), _is_true(form.get("expand", [""])[0])
    known = commit.files.keys() | folders_of(commit.files)
    paths = [path for path in wanted if path in known]
    return JSONResponse(_rows(request, repo, commit, paths, expand))


def history(request: Request) -> Response:
    """The commits of a revision, newest first, a page of them."""
    repo = repository(request)
    commits = list(repo.history(param(request, "revision")))
    page = whole_number(request, "p", 0)
    rows = [
        {
            "id": commit.sha,
            "title": commit.title,
            "message": commit.message,
            "authors": [{"user": commit.author}],
            "date": commit.date,
        }
        for commit in commits[page * COMMIT_ROWS : (page + 1) * COMMIT_ROWS]
    ]
    more = len(commits) > (page + 1) * COMMIT_ROWS
    headers = {
        "X-Total-Count": str(len(commits)),
        **(_page_link(request, p=page + 1) if more else {}),
    }
    return JSONResponse(rows, headers=headers)


_API = "/api/{kind:kind}/{namespace}/{name}"
_FILE = "/{namespace:user}/{name}/{how:how}/{revision}/{path:path}"
ROUTES = [
    Route(_API + "/tree/{revision}", tree),
    Route(_API + "/tree/{revision}/{path:path}", tree),
    Route(_API + "/paths-info/{revision}", paths_info, methods=["POST"]),
    Route(_API + "/commits/{revision}", history),
    Route("/{kind:site}" + _FILE, resolve),
    Route(_FILE, resolve),
]
