"""Files over HTTP: LFS uploads, downloads, lists and pages."""

import base64
import hashlib
import os
import socket
import time
from typing import Any
from urllib.parse import urlsplit

from hubserver import RunningHub, call
from localhub_wire import commit, ndjson, text_file


def test_preupload(hub, repo):
    commit(hub, repo, text_file("same.txt", "x"))

    def mode(path: str, size: int = 5, sample: bytes = b"hello") -> dict[str, Any]:
        files = [{"path": path, "size": size, "sample": base64.b64encode(sample).decode()}]
        return call(hub, "POST", f"/api/{repo}/preupload/main", {"files": files}).json["files"][0]

    assert mode("a.txt") == {"path": "a.txt", "uploadMode": "regular", "shouldIgnore": False}
    assert mode("same.txt")["oid"] == hashlib.sha1(b"blob 1\0x").hexdigest()
    assert mode("model.safetensors")["uploadMode"] == "lfs"
    assert mode("big.txt", size=11 << 20)["uploadMode"] == "lfs"
    assert mode("binary", sample=b"a\0b")["uploadMode"] == "lfs"
    for files in ([{"path": "a"}], [{"path": "../a", "size": 1}], 3):
        assert call(hub, "POST", f"/api/{repo}/preupload/main", {"files": files}).status == 400


def upload_lfs(hub: RunningHub, repo: str, content: bytes) -> str:
    """Upload by LFS, up to the commit; return the oid."""
    oid = hashlib.sha256(content).hexdigest()
    batch = f"/{repo.removeprefix('models/')}.git/info/lfs/objects/batch"
    body = {"operation": "upload", "objects": [{"oid": oid, "size": len(content)}]}
    actions = call(hub, "POST", batch, body).json["objects"][0].get("actions")
    if actions:
        assert call(hub, "PUT", actions["upload"]["href"], content, token=None).status == 200
        verify = {"oid": oid, "size": len(content)}
        assert call(hub, "POST", actions["verify"]["href"], verify).status == 200
        assert call(hub, "POST", actions["verify"]["href"], {**verify, "size": 1}).status == 404
    return oid


def test_lfs_upload_and_download(hub, repo):
    content = os.urandom(100_000)
    oid = upload_lfs(hub, repo, content)
    assert commit(hub, repo, ("lfsFile", {"path": "m.bin", "oid": oid, "size": 7})).status == 400
    file = ("lfsFile", {"path": "m.bin", "algo": "sha256", "oid": oid, "size": len(content)})
    assert commit(hub, repo, file).status == 200
    name = repo.removeprefix("models/")
    head = call(hub, "HEAD", f"/{name}/resolve/main/m.bin", token=None)
    assert head.headers["ETag"] == head.headers["X-Linked-Etag"] == f'"{oid}"'
    assert head.headers["Content-Length"] == head.headers["X-Linked-Size"] == "100000"
    assert head.headers["Accept-Ranges"] == "bytes"
    part = call(hub, "GET", f"/{name}/resolve/main/m.bin", Range="bytes=10-19")
    assert (part.status, part.body) == (206, content[10:20])
    assert part.headers["Content-Range"] == "bytes 10-19/100000"
    assert call(hub, "GET", f"/{name}/resolve/main/m.bin", Range="bytes=-5").body == content[-5:]
    assert call(hub, "GET", f"/{name}/resolve/main/m.bin", Range="bytes=100000-").status == 416
    pointer = call(hub, "GET", f"/{name}/raw/main/m.bin").body
    assert pointer.decode().splitlines()[1:] == [f"oid sha256:{oid}", "size 100000"]
    row = call(hub, "GET", f"/api/{repo}/tree/main").json[1]
    assert row["lfs"] == {"oid": oid, "size": 100_000, "pointerSize": len(pointer)}
    assert row["oid"] == hashlib.sha1(b"blob %d\0%b" % (len(pointer), pointer)).hexdigest()
    sibling = call(hub, "GET", f"/api/{repo}?blobs=true").json["siblings"][1]
    assert sibling["lfs"]["sha256"] == oid


def test_lfs_rejects_invalid_uploads(hub, repo):
    batch = f"/{repo.removeprefix('models/')}.git/info/lfs/objects/batch"
    oid = "a" * 64
    body = {"operation": "upload", "objects": [{"oid": oid, "size": 1}]}
    href = call(hub, "POST", batch, body).json["objects"][0]["actions"]["upload"]["href"]
    wrong = call(hub, "PUT", href, b"x", token=None)
    assert wrong.status == 400 and "must have the sha256" in wrong.json["error"]
    assert not (hub.root / "blobs" / "aa").exists()
    assert call(hub, "PUT", f"/lfs/{'b' * 64}?{urlsplit(href).query}", b"x").status == 403
    assert call(hub, "PUT", f"/lfs/{oid}?grant=1.2", b"x").status == 403
    assert call(hub, "PUT", f"/lfs/{oid}?grant=%C3%A9", b"x").status == 403
    assert call(hub, "POST", batch, {"operation": "download"}).status == 501
    assert call(hub, "POST", batch, {**body, "objects": [{"oid": "x"}]}).status == 400


def test_interrupted_upload_leaves_no_file(hub, repo):
    oid = hashlib.sha256(b"x" * 1000).hexdigest()
    batch = f"/{repo.removeprefix('models/')}.git/info/lfs/objects/batch"
    body = {"operation": "upload", "objects": [{"oid": oid, "size": 1000}]}
    href = urlsplit(call(hub, "POST", batch, body).json["objects"][0]["actions"]["upload"]["href"])
    with socket.create_connection((href.hostname, href.port)) as client:
        head = f"PUT {href.path}?{href.query} HTTP/1.1\r\nHost: localhost\r\n"
        client.sendall(f"{head}Content-Length: 1000\r\n\r\n".encode() + b"x" * 500)
    deadline = time.time() + 10
    while left := [file for file in (hub.root / "tmp").iterdir() if file.name != "lock"]:
        assert time.time() < deadline, left
        time.sleep(0.02)
    assert not (hub.root / "blobs" / oid[:2] / oid).exists()


def test_large_regular_file_is_refused(hub, repo):
    line = ndjson(("file", {"path": "a", "content": "A" * (22 << 20), "encoding": "base64"}))
    answer = call(hub, "POST", f"/api/{repo}/commit/main", line.rstrip() + b" " * 100_000)
    assert answer.status == 413 and "must be sent to LFS" in answer.json["error"]


def test_tree_is_paged(hub, repo):
    files = [text_file(f"d{number % 3}/f{number:04}", "") for number in range(1001)]
    assert commit(hub, repo, *files).status == 200
    root = call(hub, "GET", f"/api/{repo}/tree/main").json
    assert [row["path"] for row in root] == [".gitattributes", "d0", "d1", "d2"]
    assert [row["type"] for row in root] == ["file"] + ["directory"] * 3
    first = call(hub, "GET", f"/api/{repo}/tree/main?recursive=True")
    assert len(first.json) == 1000
    link = first.headers["Link"].split(";")[0].strip("<>")
    rest = call(hub, "GET", link)
    assert len(rest.json) == 1005 - 1000 and rest.headers["Link"] is None
    assert len(call(hub, "GET", f"/api/{repo}/tree/main/d0?limit=7").json) == 7


def test_paths_info_by_json_and_form(hub, repo):
    commit(hub, repo, text_file("a", "1"), text_file("d/x", "1"))
    body = {"paths": ["d/x", "d", "none"]}
    headers = {"Content-Type": "application/json"}
    rows = call(hub, "POST", f"/api/{repo}/paths-info/main", body, **headers).json
    assert [(row["type"], row["path"]) for row in rows] == [("file", "d/x"), ("directory", "d")]
    form = call(hub, "POST", f"/api/{repo}/paths-info/main", b"paths=a&paths=d&expand=False").json
    assert [row["path"] for row in form] == ["a", "d"]


def test_plain_text_pages(hub, repo):
    readme = "---\nlicense: mit\n---\n# Hello\n"
    sha = commit(hub, repo, text_file("README.md", readme)).json["commitOid"]
    name = repo.removeprefix("models/")
    assert f"{hub.endpoint}/{name}" in call(hub, "GET", "/", token=None).body.decode()
    for path in (f"/{name}", f"/{name}/commit/{sha}", f"/{name}/tree/main"):
        page = call(hub, "GET", path, token=None)
        assert page.headers["Content-Type"].startswith("text/plain")
        assert sha in page.body.decode() and "# Hello" in page.body.decode()


def test_local_page_may_read_without_token(hub):
    origin = "http://localhost:7860"
    answer = call(hub, "GET", "/api/models", token=None, Origin=origin)
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    stranger = call(hub, "GET", "/api/models", token=None, Origin="http://localhost.evil.test")
    assert stranger.headers["Access-Control-Allow-Origin"] is None
    ask = {"Origin": origin, "Access-Control-Request-Method": "GET"}
    ask["Access-Control-Request-Headers"] = "Authorization"
    assert call(hub, "OPTIONS", "/api/models", token=None, **ask).status == 400
