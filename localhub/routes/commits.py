"""Routes of an upload: how to send each file, LFS, and the commit."""

import base64
from collections.abc import Iterator
from fnmatch import fnmatch
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..auth import require_repo, require_scope, require_user
from ..commits import Edit, Entry
from ..errors import HubError, missing_revision
from ..hub import LFS_PATTERNS, Hub
from ..names import check_path, check_sha256
from ..request import (
    base_url,
    chunks,
    hub_of,
    is_true,
    json_body,
    path_param,
    repo_url,
    revision_param,
)
from ..schemas import CommitLine, CommitValue, LfsBatch, LfsObject, Preupload, parse
from .spaces import sync_process

MAX_REGULAR_BYTES = 10 << 20
MAX_LINE_BYTES = 2 * MAX_REGULAR_BYTES


def _is_large(path: str, size: int, sample: bytes) -> bool:
    """Whether the Hub keeps a file in LFS: because of its name, its size or binary content."""
    name = path.split("/")[-1]
    by_name = any(fnmatch(name, pattern) for pattern in LFS_PATTERNS)
    return by_name or size > MAX_REGULAR_BYTES or b"\0" in sample


def preupload(request: Request) -> Response:
    """How to send each file, and the etag of its current content."""
    repo = require_repo(request, "write")
    files = repo.revision(revision_param(request)).files
    rows = []
    for file in json_body(request, Preupload).files:
        path = check_path(file.path)
        is_large = _is_large(path, file.size, _decode_base64(file.sample, path))
        mode = "lfs" if is_large else "regular"
        row = {"path": path, "uploadMode": mode, "shouldIgnore": False}
        if path in files:
            row["oid"] = files[path].etag
        rows.append(row)
    return JSONResponse({"files": rows})


def _decode_base64(content: str, path: str) -> bytes:
    try:
        return base64.b64decode(content, validate=True)
    except ValueError as error:
        raise HubError(400, f"The content of {path} must be base64: {error}") from error


def lfs_batch(request: Request) -> Response:
    """The upload URLs of large files that are not stored yet."""
    repo = require_repo(request, "write")
    hub, url = hub_of(request), base_url(request)
    batch = json_body(request, LfsBatch)
    if batch.operation != "upload":
        raise HubError(501, "localhub has no git: download files from /resolve/ instead.")
    objects = []
    for item in batch.objects:
        oid = check_sha256(item.oid)
        answer: dict[str, Any] = {"oid": oid, "size": item.size}
        if hub.blobs.size(oid) is None:
            grant = hub.grants.issue(f"lfs {oid}")
            verify = f"{url}/api/{repo.kind}/{repo.id}/lfs-verify"
            answer["actions"] = {
                "upload": {"href": f"{url}/lfs/{oid}?grant={grant}", "header": {}},
                "verify": {"href": verify, "header": {}},
            }
        objects.append(answer)
    return JSONResponse({"transfer": "basic", "objects": objects})


def lfs_upload(request: Request) -> Response:
    """Store a large file."""
    oid = check_sha256(path_param(request, "oid"))
    require_scope(request, f"lfs {oid}")
    hub_of(request).blobs.add(chunks(request), oid)
    return Response()


def lfs_verify(request: Request) -> Response:
    """Confirm that a large file is stored."""
    require_repo(request, "write")
    item = json_body(request, LfsObject)
    size = hub_of(request).blobs.size(check_sha256(item.oid))
    if size != item.size:
        raise HubError(404, f"The object must have {item.size} bytes, {size} are here.")
    return JSONResponse({})


def _lines(request: Request) -> Iterator[CommitLine]:
    """The lines of a commit, one at a time: the body may be larger than memory."""
    line = bytearray()
    for chunk in chunks(request):
        first, *others = chunk.split(b"\n")
        line += first
        for other in others:
            if line.strip():
                yield parse(CommitLine, line, "A line of a commit")
            line = bytearray(other)
        if len(line) > MAX_LINE_BYTES:
            raise HubError(413, f"A file over {MAX_REGULAR_BYTES} bytes must be sent to LFS.")
    if line.strip():
        yield parse(CommitLine, line, "A line of a commit")


def _edit(hub: Hub, key: str, value: CommitValue) -> Edit:
    """The edit of one line. The content of a regular file is stored."""
    path = check_path(value.path.rstrip("/") if "deleted" in key else value.path)
    match key:
        case "file":
            is_text = value.encoding in (None, "utf-8")
            content = value.content.encode() if is_text else _decode_base64(value.content, path)
            return Edit("add", path, hub.add(content))
        case "lfsFile":
            oid = check_sha256(value.oid)
            size = hub.blobs.size(oid)
            if size is None or value.size not in (None, size):
                raise HubError(
                    400,
                    f"Upload {path} before its commit: {oid} must have {value.size} bytes,"
                    f" {size} are here.",
                )
            return Edit("add", path, Entry.large(oid, size))
        case "deletedFile":
            return Edit("delete", path)
        case "deletedFolder":
            return Edit("delete_folder", path)
        case _:
            raise HubError(400, f"Unknown operation {key!r} in a commit.")


def commit(request: Request) -> Response:
    """Make a commit with all edits in the body, or with none if one is invalid."""
    repo = require_repo(request, "write")
    hub, url = hub_of(request), repo_url(request, repo)
    if is_true(request.query_params.get("create_pr")):
        raise HubError(501, "localhub doesn't imitate pull requests: commit to main.")
    if (branch := revision_param(request)) != "main":
        raise missing_revision(branch)
    header = CommitValue()
    edits: list[Edit] = []
    for line in _lines(request):
        if line.key == "header":
            header = line.value
        else:
            edits.append(_edit(hub, line.key, line.value))
    if not header.summary:
        raise HubError(400, "A commit must have a header line with a summary.")
    new = repo.add_commit(
        edits,
        title=header.summary,
        message=header.description or "",
        author=require_user(request).name,
        parent=header.parentCommit or None,
    )
    if repo.kind == "spaces":
        sync_process(request, repo)
    answer = {"success": True, "commitOid": new.sha, "commitUrl": f"{url}/commit/{new.sha}"}
    return JSONResponse({**answer, "hookOutput": ""})


_API = "/api/{kind:kind}/{namespace}/{name}"
_LFS = "/{namespace:user}/{name}.git/info/lfs/objects/batch"
ROUTES = [
    Route(_API + "/preupload/{revision}", preupload, methods=["POST"]),
    Route(_API + "/commit/{revision}", commit, methods=["POST"]),
    Route(_API + "/lfs-verify", lfs_verify, methods=["POST"]),
    Route("/{kind:site}" + _LFS, lfs_batch, methods=["POST"]),
    Route(_LFS, lfs_batch, methods=["POST"]),
    Route("/lfs/{oid}", lfs_upload, methods=["PUT"]),
]
