"""Routes of a push: what goes where, large files, and the commit that names them all."""

import base64
from collections.abc import Iterator
from fnmatch import fnmatch
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..access import (
    base_url,
    body,
    chunks,
    granted,
    hub_of,
    known_caller,
    param,
    repo_url,
    repository,
)
from ..bodies import LfsBatch, LfsObject, Line, LineValue, Preupload, parse
from ..commits import Edit, Entry
from ..errors import HubError, missing_revision
from ..hub import LFS_PATTERNS, Hub
from ..names import check_path, check_sha256
from ..repos import Repo
from ..tokens import sign
from .spaces import follow

REGULAR_BYTES = 10 << 20
LINE_BYTES = 2 * REGULAR_BYTES


def _is_large(path: str, size: int, sample: bytes) -> bool:
    """Whether the Hub would keep a file out of git: by its name, its size, or binary content."""
    name = path.split("/")[-1]
    by_name = any(fnmatch(name, pattern) for pattern in LFS_PATTERNS)
    return by_name or size > REGULAR_BYTES or b"\0" in sample


def preupload(request: Request) -> Response:
    """Say of each file how to send it, and what the revision holds there now."""
    repo = repository(request, "write")
    files = repo.revision(param(request, "revision")).files
    rows = []
    for file in body(request, Preupload).files:
        path = check_path(file.path)
        large = _is_large(path, file.size, _bytes(file.sample, path))
        row = {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
        if path in files:
            row["oid"] = files[path].etag
        rows.append(row)
    return JSONResponse({"files": rows})


def _bytes(content: str, path: str) -> bytes:
    """What base64 stands for."""
    try:
        return base64.b64decode(content, validate=True)
    except ValueError as error:
        raise HubError(400, f"The content of {path} must be base64: {error}") from error


def lfs_batch(request: Request) -> Response:
    """Say where to send the large files that are not here yet."""
    repo = repository(request, "write")
    hub, url = hub_of(request), base_url(request)
    fields = body(request, LfsBatch)
    if fields.operation != "upload":
        raise HubError(501, "localhub has no git: download files from /resolve/ instead.")
    objects = []
    for item in fields.objects:
        oid = check_sha256(item.oid)
        answer: dict[str, Any] = {"oid": oid, "size": item.size}
        if hub.blobs.size(oid) is None:
            grant, _ = sign(hub.secret, f"lfs {oid}")
            verify = f"{url}/api/{repo.kind}/{repo.id}/lfs-verify"
            answer["actions"] = {
                "upload": {"href": f"{url}/lfs/{oid}?grant={grant}", "header": {}},
                "verify": {"href": verify, "header": {}},
            }
        objects.append(answer)
    return JSONResponse({"transfer": "basic", "objects": objects})


def lfs_upload(request: Request) -> Response:
    """Take a large file; its grant says which."""
    oid = check_sha256(param(request, "oid"))
    granted(request, f"lfs {oid}")
    hub_of(request).blobs.add(chunks(request), oid)
    return Response()


def lfs_verify(request: Request) -> Response:
    """Say whether a large file has arrived."""
    repository(request, "write")
    item = body(request, LfsObject)
    size = hub_of(request).blobs.size(check_sha256(item.oid))
    if size != item.size:
        raise HubError(404, f"The object must have {item.size} bytes, {size} are here.")
    return JSONResponse({})


def _lines(request: Request) -> Iterator[Line]:
    """The operations of a commit, one at a time: its body may be larger than memory."""
    line = bytearray()
    for chunk in chunks(request):
        first, *others = chunk.split(b"\n")
        line += first
        for other in others:
            if line.strip():
                yield parse(Line, line, "A line of a commit")
            line = bytearray(other)
        if len(line) > LINE_BYTES:
            raise HubError(413, f"A file over {REGULAR_BYTES} bytes must be sent to LFS or xet.")
    if line.strip():
        yield parse(Line, line, "A line of a commit")


def _edit(hub: Hub, key: str, value: LineValue) -> Edit:
    """One operation of a commit; a regular file's content is stored on the way."""
    path = check_path(value.path.rstrip("/") if "deleted" in key else value.path)
    match key:
        case "file":
            utf8 = value.encoding in (None, "utf-8")
            data = value.content.encode() if utf8 else _bytes(value.content, path)
            return Edit("add", path, hub.add(data))
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


def _target(request: Request, repo: Repo) -> tuple[tuple[str, str], str | None]:
    """The ref a commit moves, and the commit it starts from when the ref is a new one."""
    revision = param(request, "revision")
    if request.query_params.get("create_pr"):
        number = 1 + max((int(name) for name in repo.refs("pr")), default=0)
        return ("pr", str(number)), repo.resolve(revision)
    for folder, prefix in (("heads", ""), ("heads", "refs/heads/"), ("pr", "refs/pr/")):
        name = revision.removeprefix(prefix)
        if revision.startswith(prefix) and name in repo.refs(folder):
            return (folder, name), None
    raise missing_revision(revision)


def commit(request: Request) -> Response:
    """Make a commit of the operations in the body, all of them or none."""
    repo = repository(request, "write")
    hub, url = hub_of(request), repo_url(request, repo)
    author = known_caller(request).name
    ref, start = _target(request, repo)
    header = LineValue()
    edits: list[Edit] = []
    for line in _lines(request):
        if line.key == "header":
            header = line.value
        else:
            edits.append(_edit(hub, line.key, line.value))
    if not header.summary:
        raise HubError(400, "A commit must have a header line with a summary.")
    made = repo.record(
        edits,
        title=header.summary,
        message=header.description or "",
        author=author,
        ref=ref,
        start=start,
        parent=header.parentCommit or None,
    )
    answer: dict[str, Any] = {
        "success": True,
        "commitOid": made.sha,
        "commitUrl": f"{url}/commit/{made.sha}",
        "hookOutput": "",
    }
    if repo.kind == "spaces":
        follow(request, repo)
    if start:
        answer["pullRequestUrl"] = f"{url}/discussions/{ref[1]}"
    return JSONResponse(answer)


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
