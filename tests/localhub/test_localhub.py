"""The localhub on the wire: a server in a subprocess, requests as a client writes them."""

import base64
import hashlib
import http.client
import json
import os
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import lz4.frame
import pytest
from hubserver import ADMIN, READ, WRITE, RunningHub, running_hub
from hypothesis import given, settings
from hypothesis import strategies as st
from localhub_wire import (
    APP,
    FAMILY,
    Answer,
    at_rest,
    call,
    commit,
    is_alive,
    localhub,
    ndjson,
    space,
    text_file,
    visit,
)

from localhub.errors import HubError
from localhub.names import check_path, is_repo_id
from localhub.validate import read_card, validate_card


@pytest.fixture
def repo(hub, request):
    """A new model, as `models/demo/NAME`."""
    name = "".join(char if char.isalnum() else "-" for char in request.node.name)[:60].strip("-")
    name = name.replace("--", "-").replace("--", "-")
    call(hub, "DELETE", "/api/repos/delete", {"name": name})
    assert call(hub, "POST", "/api/repos/create", {"name": name}).status == 200
    return f"models/demo/{name}"


# Who may do what


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (WRITE, ("demo", [], "write")),
        (READ, ("demo", [], "read")),
        (ADMIN, ("admin", [], "write")),
    ],
)
def test_whoami(hub, token, expected):
    answer = call(hub, "GET", "/api/whoami-v2", token=token).json
    role = answer["auth"]["accessToken"]["role"]
    assert (answer["name"], answer["orgs"], role) == expected
    assert answer["type"] == "user"


@pytest.mark.parametrize("token", [None, "hf_unknown"])
def test_whoami_refuses(hub, token):
    assert call(hub, "GET", "/api/whoami-v2", token=token).status == 401


def test_rights_to_create(hub):
    def create(token: str | None, **fields: object) -> Answer:
        return call(hub, "POST", "/api/repos/create", {"name": "rights", **fields}, token)

    assert create(None).status == 401
    assert create(READ).status == 403
    other = create(WRITE, organization="stanfordnlp", type="dataset")
    assert other.status == 403
    message = 'You don\'t have the rights to create a dataset under the namespace "stanfordnlp"'
    assert other.json["error"] == other.headers["X-Error-Message"] == message
    assert create(ADMIN, organization="stanfordnlp", type="dataset").status == 200
    assert create(WRITE).json["url"] == f"{hub.endpoint}/demo/rights"
    again = create(WRITE)
    assert (again.status, again.json["url"]) == (409, f"{hub.endpoint}/demo/rights")


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"name": "../../etc"}, "namespace/name"),
        ({"name": "a--b"}, "namespace/name"),
        ({"name": ""}, "namespace/name"),
        ({"name": "x", "type": "kernel"}, "type: Input should be 'model'"),
        ({"name": "x", "visibility": "protected"}, "visibility"),
        ({"name": "x", "type": "space"}, "sdk must be"),
        ({"name": "x", "type": "space", "sdk": "streamlit"}, "sdk: Input should be 'gradio'"),
        ({"name": "x", "type": "space", "sdk": "gradio", "hardware": "tpu"}, "hardware"),
        ({"name": "x", "type": "space", "sdk": "gradio", "secrets": [{"key": "K"}]}, "value"),
    ],
)
def test_create_refuses(hub, fields, word):
    answer = call(hub, "POST", "/api/repos/create", fields, ADMIN)
    assert answer.status in (400, 403) and word in answer.json["error"]


@pytest.mark.parametrize("body", [b"{", b"[1]"])
def test_body_must_be_an_object(hub, body):
    answer = call(hub, "POST", "/api/repos/create", body)
    assert answer.status == 400 and "The body must be" in answer.json["error"]


def test_a_private_repository_is_hidden(hub, repo):
    assert call(hub, "PUT", f"/api/{repo}/settings", {"visibility": "private"}).json["private"]
    name = repo.removeprefix("models/")
    for path in (f"/api/{repo}", f"/{name}/resolve/main/.gitattributes", f"/{name}"):
        anonymous = call(hub, "GET", path, token=None)
        assert (anonymous.status, anonymous.code) == (401, "RepoNotFound")
        assert call(hub, "GET", path, token=READ).status == 200
        unknown = call(hub, "GET", path, token="hf_unknown")
        assert (unknown.status, unknown.code) == (401, None)
    listed = call(hub, "GET", "/api/models", token=None).json
    assert name not in [row["id"] for row in listed]
    assert name in [row["id"] for row in call(hub, "GET", "/api/models").json]


def test_a_gated_repository_shows_itself_but_not_its_files(hub):
    body = {"name": "gated", "organization": "stanfordnlp"}
    assert call(hub, "POST", "/api/repos/create", body, ADMIN).status == 200
    repo = "models/stanfordnlp/gated"
    assert call(hub, "PUT", f"/api/{repo}/settings", {"gated": "auto"}, ADMIN).status == 200
    assert call(hub, "GET", f"/api/{repo}").json["gated"] == "auto"
    assert call(hub, "GET", f"/api/{repo}/tree/main").status == 200
    file = "/stanfordnlp/gated/resolve/main/.gitattributes"
    for token, status in ((None, 401), (WRITE, 403), (ADMIN, 200)):
        for path in (file, f"/api/{repo}/auth-check"):
            answer = call(hub, "GET", path, token=token)
            assert answer.status == status
            assert answer.code == (None if status == 200 else "GatedRepo")
    assert call(hub, "PUT", f"/api/{repo}/settings", {"gated": "perhaps"}, ADMIN).status == 400


def test_writes_need_the_write_role(hub, repo):
    for method, path in (
        ("POST", "preupload/main"),
        ("POST", "commit/main"),
        ("POST", "branch/new"),
        ("DELETE", "tag/v1"),
        ("PUT", "settings"),
        ("GET", "xet-write-token/main"),
        ("GET", "auth-check/write"),
    ):
        assert call(hub, method, f"/api/{repo}/{path}", {}, None).status == 401
        assert call(hub, method, f"/api/{repo}/{path}", {}, READ).status == 403
    batch = f"/{repo.removeprefix('models/')}.git/info/lfs/objects/batch"
    assert call(hub, "POST", batch, {"operation": "upload"}, READ).status == 403


# What isn't there


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/api/models/demo/nothing", "RepoNotFound"),
        ("/api/models/gpt2", "RepoNotFound"),
        ("/api/models/gpt2/revision/main", "RepoNotFound"),
        ("/gpt2/resolve/main/config.json", "RepoNotFound"),
        ("/spaces/evaluate-metric/accuracy/resolve/main/accuracy.py", "RepoNotFound"),
        ("/api/models/demo/..%2f..%2fetc", "RepoNotFound"),
        ("/api/agent-harnesses", None),
        ("/api", None),
        ("/api/", None),
        ("/favicon.ico", None),
    ],
)
def test_missing(hub, path, code):
    answer = call(hub, "GET", path)
    assert (answer.status, answer.code) == (404, code)
    if code:
        assert call(hub, "GET", path, token=None).status == 401


def test_missing_revisions_and_entries(hub, repo):
    name = repo.removeprefix("models/")
    for path in (f"/api/{repo}/revision/nope", f"/{name}/resolve/nope/x", f"/api/{repo}/tree/nope"):
        answer = call(hub, "GET", path)
        assert (answer.status, answer.code) == (404, "RevisionNotFound")
    for path in (f"/{name}/resolve/main/x", f"/api/{repo}/tree/main/x"):
        answer = call(hub, "GET", path)
        assert (answer.status, answer.code) == (404, "EntryNotFound")
        assert answer.headers["X-Repo-Commit"] == call(hub, "GET", f"/api/{repo}").json["sha"]


def test_what_is_not_imitated_says_so(hub, repo):
    answer = call(hub, "POST", "/api/repos/move", {})
    assert answer.status == 501 and "doesn't imitate POST /api/repos/move" in answer.json["error"]
    assert call(hub, "POST", f"/api/{repo}/discussions", {"title": "x"}).status == 501
    body = ndjson(text_file("a", "1"))
    answer = call(hub, "POST", f"/api/{repo}/commit/main?create_pr=1", body)
    assert answer.status == 501 and "pull requests" in answer.json["error"]


# Commits


def test_commit_and_history(hub, repo):
    first = commit(hub, repo, text_file("a.txt", "one"), text_file("sub/é b.txt", "two")).json
    assert first["commitUrl"].endswith(f"/commit/{first['commitOid']}")
    second = commit(hub, repo, ("deletedFile", {"path": "a.txt"}), summary="less").json
    history = call(hub, "GET", f"/api/{repo}/commits/main").json
    assert [row["title"] for row in history] == ["less", "a change", "initial commit"]
    assert history[0]["id"] == second["commitOid"] and history[0]["authors"] == [{"user": "demo"}]
    name = repo.removeprefix("models/")
    for revision in (first["commitOid"], first["commitOid"][:7]):
        old = call(hub, "GET", f"/{name}/resolve/{revision}/a.txt")
        assert old.body == b"one" and old.headers["X-Repo-Commit"] == first["commitOid"]
    assert call(hub, "GET", f"/{name}/resolve/HEAD/a.txt").status == 404
    assert call(hub, "GET", f"/{name}/resolve/main/{quote('sub/é b.txt')}").body == b"two"
    oid = hashlib.sha1(b"blob 3\0one").hexdigest()
    head = call(hub, "HEAD", f"/{name}/resolve/{first['commitOid']}/a.txt")
    assert head.headers["ETag"] == f'"{oid}"'


def test_a_commit_on_another_parent_is_refused(hub, repo):
    head = call(hub, "GET", f"/api/{repo}").json["sha"]
    made = commit(hub, repo, text_file("a", "1"), parentCommit=head).json["commitOid"]
    late = commit(hub, repo, text_file("b", "2"), parentCommit=head)
    assert late.status == 412 and made in late.json["error"]


def test_a_commit_without_a_change_is_none(hub, repo):
    one = commit(hub, repo, text_file("a", "1")).json["commitOid"]
    assert commit(hub, repo, text_file("a", "1")).json["commitOid"] == one


@pytest.mark.parametrize(
    ("operations", "status"),
    [
        ([("file", {"path": "../up", "content": ""})], 400),
        ([("file", {"path": "/etc/passwd", "content": ""})], 400),
        ([("file", {"path": "a\\b", "content": ""})], 400),
        ([("file", {"path": "a\0b", "content": ""})], 400),
        ([("file", {"path": "a", "content": "%", "encoding": "base64"})], 400),
        ([("lfsFile", {"path": "a", "oid": "0" * 64, "size": 1})], 400),
        ([("lfsFile", {"path": "a", "oid": "../../x", "size": 1})], 400),
        ([("deletedFile", {"path": "none"})], 404),
        ([("deletedFolder", {"path": "none/"})], 404),
        ([text_file("a", ""), text_file("a/b", "")], 400),
        ([("copyFile", {"path": "a"})], 400),
    ],
)
def test_a_bad_commit_changes_nothing(hub, repo, operations, status):
    before = call(hub, "GET", f"/api/{repo}").json["sha"]
    assert commit(hub, repo, text_file("good", "x"), *operations).status == status
    assert call(hub, "GET", f"/api/{repo}").json["sha"] == before


@pytest.mark.parametrize(
    "body", [b"{}\n", b"not json\n", b'{"key":"header","value":{}}\n', b"\n", b'["key"]']
)
def test_a_malformed_commit_is_refused(hub, repo, body):
    assert call(hub, "POST", f"/api/{repo}/commit/main", body).status == 400


def test_a_commit_in_utf8_without_a_last_newline(hub, repo):
    body = ndjson(("file", {"path": "a", "content": "é", "encoding": "utf-8"})).rstrip()
    assert call(hub, "POST", f"/api/{repo}/commit/main", body).status == 200
    assert call(hub, "GET", f"/{repo.removeprefix('models/')}/resolve/main/a").body == "é".encode()


def test_branches_and_tags(hub, repo):
    start = call(hub, "GET", f"/api/{repo}").json["sha"]
    branch = f"/api/{repo}/branch/feature%2Fx"
    assert call(hub, "POST", branch, {}).status == 201
    assert call(hub, "POST", branch, {}).status == 409
    made = call(hub, "POST", f"/api/{repo}/commit/feature%2Fx", ndjson(text_file("a", "1"))).json
    assert call(hub, "POST", f"/api/{repo}/tag/feature%2Fx", {"tag": "v1"}).status == 201
    refs = call(hub, "GET", f"/api/{repo}/refs?include_prs=1").json
    targets = {row["ref"]: row["targetCommit"] for row in refs["branches"] + refs["tags"]}
    assert targets == {
        "refs/heads/main": start,
        "refs/heads/feature/x": made["commitOid"],
        "refs/tags/v1": made["commitOid"],
    }
    assert refs["pullRequests"] == refs["converts"] == []
    for revision in ("v1", "feature%2Fx", "refs%2Fheads%2Ffeature%2Fx"):
        assert call(hub, "GET", f"/api/{repo}/revision/{revision}").json["sha"] == made["commitOid"]
    assert call(hub, "DELETE", branch).status == 204
    assert call(hub, "DELETE", branch).status == 404
    assert call(hub, "DELETE", f"/api/{repo}/branch/main").status == 403
    for bad in ("refs%2Fpr%2F1", "a..b", "%2Fa", "a%00", "HEAD"):
        assert call(hub, "POST", f"/api/{repo}/branch/{bad}", {}).status == 400
    assert call(hub, "POST", f"/api/{repo}/tag/main", {}).status == 400
    copied_from = "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"
    assert call(hub, "POST", f"/api/{repo}/tag/main", {"tag": copied_from}).status == 201
    assert call(hub, "GET", f"/api/{repo}/revision/{copied_from}").json["sha"] == start
    assert call(hub, "POST", f"/api/{repo}/commit/v1", ndjson(text_file("a", "2"))).status == 404


def test_commits_at_once_are_all_kept(hub, repo):
    threads = [
        threading.Thread(target=commit, args=(hub, repo, text_file(f"{number}.txt", "x")))
        for number in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(call(hub, "GET", f"/api/{repo}").json["siblings"]) == 13
    assert len(call(hub, "GET", f"/api/{repo}/commits/main").json) == 13


def test_a_killed_server_leaves_the_old_or_the_new_revision(tmp_path):
    root = tmp_path / "hub"
    made: list[str] = []

    def push(hub: RunningHub) -> None:
        for number in range(1000):
            try:
                files = [text_file(f"f{at}", f"{number}") for at in range(5)]
                made.append(commit(hub, "models/demo/m", *files).json["commitOid"])
            except (OSError, http.client.HTTPException):
                return

    for round_number in range(3):
        with running_hub(root) as hub:
            call(hub, "POST", "/api/repos/create", {"name": "m"})
            pusher = threading.Thread(target=push, args=(hub,))
            pusher.start()
            time.sleep(0.25 + 0.11 * round_number)
            hub.process.send_signal(signal.SIGKILL)
            pusher.join()
        with running_hub(root) as hub:
            rows = call(hub, "GET", "/api/models/demo/m/commits/main").json
            # Every commit that was answered is there; at most one more was cut off after it.
            assert made[-1] in [row["id"] for row in rows[:2]]
            contents = {call(hub, "GET", f"/demo/m/resolve/main/f{at}").body for at in range(5)}
            assert len(contents) == 1


# Files


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


def test_lfs(hub, repo):
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


def test_lfs_refuses(hub, repo):
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


def test_an_interrupted_upload_leaves_nothing(hub, repo):
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


def test_a_large_regular_file_is_refused(hub, repo):
    line = ndjson(("file", {"path": "a", "content": "A" * (22 << 20), "encoding": "base64"}))
    answer = call(hub, "POST", f"/api/{repo}/commit/main", line.rstrip() + b" " * 100_000)
    assert answer.status == 413 and "must be sent to LFS" in answer.json["error"]


def test_tree_in_pages(hub, repo):
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


def test_commits_in_pages(hub, repo):
    for number in range(51):
        commit(hub, repo, text_file("a", str(number)))
    first = call(hub, "GET", f"/api/{repo}/commits/main")
    assert (len(first.json), first.headers["X-Total-Count"]) == (50, "52")
    rest = call(hub, "GET", first.headers["Link"].split(";")[0].strip("<>"))
    assert [row["title"] for row in rest.json] == ["a change", "initial commit"]


def test_pages_for_people(hub, repo):
    readme = "---\nlicense: mit\n---\n# Hello\n"
    sha = commit(hub, repo, text_file("README.md", readme)).json["commitOid"]
    name = repo.removeprefix("models/")
    assert f"{hub.endpoint}/{name}" in call(hub, "GET", "/", token=None).body.decode()
    for path in (f"/{name}", f"/{name}/commit/{sha}", f"/{name}/tree/main"):
        page = call(hub, "GET", path, token=None)
        assert page.headers["Content-Type"].startswith("text/plain")
        assert sha in page.body.decode() and "# Hello" in page.body.decode()


def test_a_page_of_this_machine_may_read_but_not_send_a_token(hub):
    origin = "http://localhost:7860"
    answer = call(hub, "GET", "/api/models", token=None, Origin=origin)
    assert answer.headers["Access-Control-Allow-Origin"] == origin
    stranger = call(hub, "GET", "/api/models", token=None, Origin="http://localhost.evil.test")
    assert stranger.headers["Access-Control-Allow-Origin"] is None
    ask = {"Origin": origin, "Access-Control-Request-Method": "GET"}
    ask["Access-Control-Request-Headers"] = "Authorization"
    assert call(hub, "OPTIONS", "/api/models", token=None, **ask).status == 400


# What is known about repositories


def test_info_and_lists(hub, repo):
    card = (
        "---\nlicense: mit\ntags: [films]\npipeline_tag: text-classification\ndatasets: imdb\n"
        "released: 2026-01-01\nscore: .nan\nmodel-index:\n- name: x\n  results: []\n---\n"
    )
    commit(hub, repo, text_file("README.md", card))
    info = call(hub, "GET", f"/api/{repo}").json
    assert info["tags"] == ["films", "text-classification", "license:mit", "dataset:imdb"]
    assert info["model-index"] == [{"name": "x", "results": []}]
    assert (info["cardData"]["released"], info["cardData"]["score"]) == ("2026-01-01", None)
    name = info["id"]
    for query in ("search=INFO-AND", "author=demo", "filter=films&filter=license:mit", "limit=1"):
        assert name in [row["id"] for row in call(hub, "GET", f"/api/models?{query}").json]
    for query in ("search=zzz", "author=nobody", "filter=cats", "limit=0"):
        assert call(hub, "GET", f"/api/models?{query}").json == []
    assert call(hub, "GET", "/api/models?limit=x").status == 400


def test_delete(hub, repo):
    body = {"name": repo.split("/")[-1]}
    assert call(hub, "DELETE", "/api/repos/delete", body, READ).status == 403
    assert call(hub, "DELETE", "/api/repos/delete", body).status == 200
    gone = call(hub, "DELETE", "/api/repos/delete", body)
    assert (gone.status, gone.code) == (404, "RepoNotFound")


def test_spaces(hub):
    secret = "hf_very_secret_value"
    repo = space(
        hub,
        "rooms",
        hardware="zero-a10g",
        secrets=[{"key": "HF_TOKEN", "value": secret}],
        variables=[{"key": "MODEL", "value": "demo/m", "description": "d"}],
    )
    readme = call(hub, "GET", "/spaces/demo/rooms/resolve/main/README.md").body.decode()
    assert validate_card(readme, "space") == ([], [])
    variables = call(hub, "GET", f"/api/{repo}/variables").json
    assert (variables["MODEL"]["value"], variables["MODEL"]["description"]) == ("demo/m", "d")
    secrets = call(hub, "POST", f"/api/{repo}/secrets", {"key": "OTHER", "value": secret}).json
    assert set(secrets) == {"HF_TOKEN", "OTHER"} and "value" not in secrets["OTHER"]
    for file in hub.root.rglob("*"):
        assert file.is_dir() or secret.encode() not in file.read_bytes()
    assert call(hub, "DELETE", f"/api/{repo}/secrets", {"key": "OTHER"}).status == 200
    assert set(call(hub, "GET", f"/api/{repo}/secrets").json) == {"HF_TOKEN"}
    assert call(hub, "DELETE", f"/api/{repo}/variables", {"key": "NONE"}).status == 404
    assert call(hub, "GET", f"/api/{repo}/secrets", token=READ).status == 403
    assert call(hub, "POST", f"/api/{repo}/variables", {"key": 3}).status == 400

    def runtime() -> Any:
        return call(hub, "GET", f"/api/{repo}/runtime").json

    assert runtime()["stage"] == "NO_APP_FILE"
    commit(hub, repo, text_file("app.py", "print()"))
    why = "This hub does not run it: start localhub with --run-spaces demo/rooms"
    assert (runtime()["stage"], runtime()["errorMessage"]) == ("PAUSED", why)
    assert runtime()["hardware"] == {"current": None, "requested": "zero-a10g"}
    assert "errorMessage" not in call(hub, "POST", f"/api/{repo}/pause").json
    assert call(hub, "POST", f"/api/{repo}/restart?factory=true").json["errorMessage"] == why
    changed = call(hub, "POST", f"/api/{repo}/hardware", {"flavor": "t4-small"}).json
    assert changed["hardware"]["requested"] == "t4-small"
    assert call(hub, "POST", f"/api/{repo}/hardware", {"flavor": "tpu"}).status == 400
    info = call(hub, "GET", f"/api/{repo}").json
    assert (info["sdk"], info["subdomain"]) == ("gradio", "demo-rooms")
    assert call(hub, "GET", "/api/models/demo/rooms/runtime").status == 404
    docker = space(hub, "boxed", sdk="docker")
    commit(hub, docker, text_file("Dockerfile", "FROM scratch"))
    state = call(hub, "GET", f"/api/{docker}/runtime").json
    assert (state["stage"], state["errorMessage"]) == (
        "PAUSED",
        "localhub runs only Gradio Spaces, the SDK of this is docker.",
    )


# Spaces as processes


@pytest.fixture(scope="module")
def running():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_TOKEN", "hf_of_whoever_started_the_hub")
        patch.setenv("MODEL_ID", "of/whoever-started-the-hub")
        spaces = [f"demo/{name}" for name in ("runs", "anew", "ends", "stops", "page", "full")]
        with running_hub(arguments=["--run-spaces", *spaces]) as hub:
            yield hub


def test_a_pushed_space_runs_with_what_was_set_for_it(running):
    secret = {"key": "HF_TOKEN", "value": "hf_secret_of_the_space"}
    variable = {"key": "GREETING", "value": "one"}
    repo = space(running, "runs", secrets=[secret], variables=[variable])
    assert call(running, "GET", f"/api/{repo}/runtime").json["stage"] == "NO_APP_FILE"
    made = commit(running, repo, text_file("app.py", APP), text_file("tabs/a.py", "")).json
    first = call(running, "GET", f"/api/{repo}/runtime").json
    assert (first["stage"], first["sha"]) == ("BUILDING", made["commitOid"])
    found = visit(running, repo)
    assert found["HF_ENDPOINT"] == running.endpoint
    assert found["GREETING"] == "one"
    assert found["HF_TOKEN"] == "hf_secret_of_the_space"
    assert found["SPACE_ID"] == "demo/runs"
    assert "MODEL_ID" not in found
    assert found["HF_HOME"] != os.environ["HF_HOME"]
    assert found["FILES"] == "app.py,tabs/a.py"
    for file in running.root.rglob("*"):
        assert file.is_dir() or b"hf_secret_of_the_space" not in file.read_bytes()
    log = call(running, "GET", f"/api/{repo}/logs/run").body.decode()
    assert '{"data": "listening at 127.0.0.1' in log
    assert call(running, "GET", f"/api/{repo}/logs/build").body == b""
    assert call(running, "GET", f"/api/{repo}/logs/run", token=READ).status == 403


def test_a_space_starts_anew_on_what_changes_it_and_on_nothing_else(running):
    repo = space(running, "anew")
    commit(running, repo, text_file("app.py", APP))
    before = visit(running, repo)
    # Neither its owner's token nor the one of whoever started the hub: it has not asked for one.
    assert not [name for name, value in before.items() if "hf_" in value or name == "HF_TOKEN"]
    home = Path(before["HF_HOME"])

    def starts_anew(*request: Any) -> dict[str, str]:
        nonlocal before
        old, (method, path, body) = before, request
        assert call(running, method, path, body).status == 200
        before = visit(running, repo)
        assert before["PID"] != old["PID"] and not is_alive(old["PID"])
        assert before["GRADIO_SERVER_PORT"] == old["GRADIO_SERVER_PORT"]
        return before

    variable = {"key": "GREETING", "value": "two"}
    assert starts_anew("POST", f"/api/{repo}/variables", variable)["GREETING"] == "two"
    assert call(running, "POST", f"/api/{repo}/variables", variable).status == 200
    assert call(running, "POST", f"/api/{repo}/hardware", {"flavor": "t4-small"}).status == 200
    assert commit(running, repo, text_file("app.py", APP)).status == 200
    assert visit(running, repo)["PID"] == before["PID"]
    assert "GREETING" not in starts_anew("DELETE", f"/api/{repo}/variables", {"key": "GREETING"})
    secret = {"key": "KEY", "value": "lock"}
    assert starts_anew("POST", f"/api/{repo}/secrets", secret)["KEY"] == "lock"
    assert "KEY" not in starts_anew("DELETE", f"/api/{repo}/secrets", {"key": "KEY"})
    starts_anew("POST", f"/api/{repo}/restart", {})
    changed = ndjson(text_file("app.py", f"{APP}# changed"))
    starts_anew("POST", f"/api/{repo}/commit/main", changed)
    assert Path(before["HF_HOME"]) == home and home.is_dir()  # what was pulled is kept


def test_a_space_that_ends_says_its_last_words(running):
    repo = space(running, "ends")
    commit(running, repo, text_file("app.py", "print('in the log')\nraise ValueError('no model')"))
    state = at_rest(running, repo)
    assert state["stage"] == "RUNTIME_ERROR"
    assert state["errorMessage"].startswith("Exit code: 1\nin the log\nTraceback")
    assert state["errorMessage"].endswith("ValueError: no model")
    commit(running, repo, text_file("app.py", APP))
    assert visit(running, repo)
    assert "errorMessage" not in call(running, "GET", f"/api/{repo}/runtime").json


def test_a_space_stops_on_pause_and_with_its_repository(running):
    repo = space(running, "stops")
    commit(running, repo, text_file("app.py", APP))
    pid = visit(running, repo)["PID"]
    assert call(running, "POST", f"/api/{repo}/pause").json["stage"] == "PAUSED"
    assert not is_alive(pid)
    commit(running, repo, text_file("app.py", f"{FAMILY}\nprint(os.environ['FAMILY'])"))
    call(running, "POST", f"/api/{repo}/restart")
    family = at_rest(running, repo)["errorMessage"].splitlines()[-1].split(",")
    assert len(family) == 3 and not any(map(is_alive, family))
    call(running, "POST", f"/api/{repo}/pause")
    commit(running, repo, text_file("app.py", f"{APP}# changed"))
    assert call(running, "GET", f"/api/{repo}").json["host"] is None
    assert call(running, "POST", f"/api/{repo}/restart").json["stage"] == "BUILDING"
    pid = visit(running, repo)["PID"]
    assert call(running, "DELETE", "/api/repos/delete", {"name": "stops", "type": "space"}).status
    assert not is_alive(pid)


def test_spaces_that_are_not_gradio_are_not_run(running):
    repo = space(running, "page", sdk="static")
    commit(running, repo, text_file("index.html", "<p>"))
    assert call(running, "GET", f"/api/{repo}/runtime").json["stage"] == "PAUSED"
    assert call(running, "GET", f"/api/{repo}").json["host"] is None


def test_only_the_spaces_that_are_named_run(running):
    repo = space(running, "other")
    commit(running, repo, text_file("app.py", "open('ran', 'w')"))
    state = call(running, "POST", f"/api/{repo}/restart").json
    assert (state["stage"], state["errorMessage"]) == (
        "PAUSED",
        "This hub does not run it: start localhub with --run-spaces demo/other",
    )
    assert call(running, "GET", f"/api/{repo}/logs/run").body == b""


def test_a_space_that_cant_be_started_says_why(running):
    rows = [{"key": f"V{number}", "value": "x" * 30_000} for number in range(300)]
    repo = space(running, "full", variables=rows)
    assert commit(running, repo, text_file("app.py", APP)).status == 200
    state = call(running, "GET", f"/api/{repo}/runtime").json
    assert state["stage"] == "RUNTIME_ERROR" and "It can't be started" in state["errorMessage"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_no_space_outlives_its_hub(tmp_path, number):
    deaf = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    spaces = ["--run-spaces", "demo/parent", "demo/deaf"]
    with running_hub(tmp_path, spaces) as hub:
        repos = [space(hub, name) for name in ("parent", "deaf")]
        for repo, extra in zip(repos, [FAMILY, deaf], strict=True):
            commit(hub, repo, text_file("app.py", extra + APP))
        found = [visit(hub, repo) for repo in repos]
        hub.process.send_signal(number)
        assert hub.process.wait(timeout=30) == 0
    assert not any(map(is_alive, found[0]["FAMILY"].split(",")))
    for environment in found:
        assert not is_alive(environment["PID"])
        assert not Path(environment["HF_HOME"]).exists()
    with running_hub(tmp_path, spaces) as hub:
        assert call(hub, "GET", f"/api/{repos[0]}/runtime").json["stage"] == "SLEEPING"
        assert call(hub, "POST", f"/api/{repos[0]}/restart").json["stage"] == "BUILDING"
        assert visit(hub, repos[0])


# xet, by hand: what a broken client sends


def xet_hash(number: int) -> str:
    return f"{number:016x}" * 4


def raw_hash(number: int) -> bytes:
    return number.to_bytes(8, "little") * 4


def xorb(*chunks: tuple[int, bytes, int]) -> bytes:
    """Chunks of (scheme, packed data, unpacked size)."""
    return b"".join(
        (len(data) << 8 | scheme << 32 | size << 40).to_bytes(8, "little") + data
        for scheme, data, size in chunks
    )


def shard(file: int, xorb_number: int, size: int, end: int, sha256: str | None = None) -> bytes:
    flags = (1 << 31) | ((1 << 30) if sha256 else 0)
    words = [bytes.fromhex(sha256)[at : at + 8][::-1] for at in range(0, 32, 8)] if sha256 else []
    return b"".join(
        [
            b"\1" * 48,
            raw_hash(file) + flags.to_bytes(4, "little") + (1).to_bytes(4, "little") + bytes(8),
            raw_hash(xorb_number) + b"".join(n.to_bytes(4, "little") for n in (0, size, 0, end)),
            bytes(48),
            (b"".join(words) + bytes(16)) if sha256 else b"",
            b"\xff" * 32 + bytes(16),
        ]
    )


@pytest.fixture
def cas(hub, repo):
    """How to post to the xet storage: path, body."""
    grant = call(hub, "GET", f"/api/{repo}/xet-write-token/main").json

    def send(path: str, body: bytes, token: str = grant["accessToken"]) -> Answer:
        return call(hub, "POST", grant["casUrl"] + path, body, token)

    return send


def test_xet_all_schemes(hub, repo, cas):
    plain, text = b"plain bytes!", b"compressible " * 100
    numbers = b"".join(n.to_bytes(4, "little") for n in range(1000)) + b"tail"[:3]
    grouped = b"".join(numbers[lane::4] for lane in range(4))
    content = plain + text + numbers
    body = xorb(
        (0, plain, len(plain)),
        (1, lz4.frame.compress(text), len(text)),
        (2, lz4.frame.compress(grouped), len(numbers)),
    )
    footer = b"\1XETBLOB footer"
    for is_new in (True, False):
        answer = cas(f"/v1/xorbs/default/{xet_hash(1)}", body + footer)
        assert answer.json == {"was_inserted": is_new}
    sha = hashlib.sha256(content).hexdigest()
    assert cas("/v1/shards", shard(2, 1, len(content), 3, sha)).status == 200
    assert commit(hub, repo, ("lfsFile", {"path": "x.bin", "oid": sha})).status == 200
    answer = call(hub, "GET", f"/{repo.removeprefix('models/')}/resolve/main/x.bin")
    assert answer.body == content and answer.headers["X-Xet-Hash"] is None


def test_xet_refuses(cas):
    def put(number: int, body: bytes) -> int:
        return cas(f"/v1/xorbs/default/{xet_hash(number)}", body).status

    def tell(body: bytes) -> str:
        answer = cas("/v1/shards", body)
        assert answer.status == 400
        return str(answer.json["error"])

    assert put(10, xorb((0, b"abc", 3))) == 200
    assert put(11, xorb((0, b"abc", 3))[:-1]) == 400
    assert put(12, b"") == 400
    assert cas("/v1/xorbs/default/..%2f..%2fx", b"").status == 400
    assert put(13, xorb((1, b"not lz4", 3))) == 200
    assert put(14, xorb((0, b"abc", 4))) == 200
    assert put(15, xorb((3, lz4.frame.compress(b"abc"), 3))) == 200
    assert "ends early" in tell(shard(20, 10, 3, 1)[:100])
    assert "before its shard" in tell(shard(20, 99, 3, 1))
    assert "must have the sha256" in tell(shard(20, 10, 3, 1, "0" * 64))
    assert "must lie in" in tell(shard(20, 10, 3, 2))
    assert "decompressed" in tell(shard(20, 13, 3, 1))
    assert "must have 4 bytes" in tell(shard(20, 14, 3, 1))
    assert "scheme 3" in tell(shard(20, 15, 3, 1))
    assert cas("/v1/shards", b"", token="1.2").status == 403
    assert cas("/v2/shards", b"").status == 404


# README.md


@pytest.mark.parametrize(
    ("kind", "front", "problem"),
    [
        ("models", "license: mit\nlanguage: en\ntags: [a]", None),
        ("models", "license: [mit, apache-2.0]", None),
        ("models", "license: MIT License", '"license[0]": String should match'),
        ("models", "tags: films", '"tags": Input should be a valid list'),
        ("models", "a: [", "Invalid YAML"),
        ("models", "- a", "must be an object"),
        ("models", "model-index: 3", "should be a valid list"),
        ("models", "model-index: [{results: []}]", "name"),
        ("models", "model-index: [{name: x}]", "results"),
        ("models", "model-index: [3]", "model-index[0]"),
        ("models", "model-index: [{name: x, results: [{task: {type: t}}]}]", "dataset"),
        (
            "models",
            "model-index: [{name: x, results: [{task: {type: t}, dataset: {type: d, name: D},"
            " metrics: [{type: accuracy, value: .nan}]}]}]",
            "metrics[0].value",
        ),
        (
            "models",
            "model-index: [{name: x, results: [{task: {type: t}, dataset: {type: d, name: D},"
            " metrics: [{value: 1}]}]}]",
            "metrics[0].type",
        ),
        (
            "models",
            "model-index: [{name: x, results: [{task: {type: t}, dataset: {type: d, name: D},"
            " metrics: [{type: accuracy, value: 0.9}]}]}]",
            None,
        ),
        ("datasets", "configs: [{config_name: x}]", None),
        ("datasets", "configs: x", '"configs"'),
        ("spaces", "sdk: gradio\nsdk_version: 6.31.0\ncolorFrom: blue\nemoji: 🎬", None),
        ("models", "x: !!timestamp z", "a value does not have the type of its tag"),
        ("models", "a: &a [*a]", "a value contains itself"),
        ("models", "a: &a {b: [*a]}", "a value contains itself"),
        ("models", "a: &a [1]\nb: [*a, *a]", None),
        ("spaces", "title: x", '"sdk" is required'),
        ("spaces", "sdk: flask", '"sdk": Input should be'),
        ("spaces", "sdk: gradio\ncolorTo: orange", '"colorTo": Input should be'),
        ("spaces", "sdk: gradio\nsdk_version: latest", '"sdk_version"'),
        ("spaces", "sdk: gradio\nshort_description: " + "x" * 61, "60 characters"),
    ],
)
def test_validate_yaml(hub, kind, front, problem):
    body = {"content": f"---\n{front}\n---\n# x\n", "repoType": kind[:-1]}
    answer = call(hub, "POST", "/api/validate-yaml", body, token=None)
    messages = [error["message"] for error in answer.json["errors"]]
    assert answer.status == (400 if problem else 200), messages
    assert any(problem in message for message in messages) if problem else not messages


def test_validate_yaml_without_metadata(hub):
    answer = call(hub, "POST", "/api/validate-yaml", {"content": "# x"})
    assert answer.status == 200 and "metadata" in answer.json["warnings"][0]["message"]
    answer = call(hub, "POST", "/api/validate-yaml", {"content": "# x", "repoType": "space"})
    assert answer.status == 400
    assert read_card("---\na: [\n---\n") == {} == read_card("no front matter")


# Names


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("ab./\\\0 é"), max_size=8))
def test_a_path_that_passes_stays_inside(path):
    try:
        checked = check_path(path)
    except HubError as error:
        assert error.status == 400
        return
    root = Path("/root/of/repo")
    assert Path(os.path.normpath(root / checked)).is_relative_to(root)
    assert str(root / checked) == os.path.normpath(root / checked)


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("aZ9._-/\\\0 é"), max_size=8))
def test_a_repository_id_that_passes_is_two_folders(repo_id):
    if is_repo_id(repo_id):
        assert len(Path(os.path.normpath(Path("/root") / repo_id)).parts) == 4


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=20))
def test_no_path_is_an_error_of_the_server(hub, path):
    for prefix in ("/demo/x/resolve/main/", "/api/models/demo/x/tree/main/", "/", "/api/"):
        encoded = quote(path.encode("utf-8", "surrogatepass"), safe="/")
        assert call(hub, "GET", prefix + encoded).status < 500


# The command


def test_help_has_an_example():
    assert "python -m localhub --root hub" in localhub("--help").stdout


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--port", "99999"], "Choose another --port"),
        (["--host", "0.0.0.0"], "Define who may call"),
        (["--host", "example.invalid"], "Define who may call"),
        (["--run-spaces", "page"], "user/name, got 'page'"),
        (["--fault", "nonsense"], "METHOD PATH"),
        (["--fault", "GET [=500"], "regular expressions, got 'GET [=500'"),
    ],
)
def test_the_command_refuses(tmp_path, arguments, problem):
    ended = localhub("--root", str(tmp_path / "hub"), *arguments)
    assert ended.returncode == 1 and problem in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_taken_port(hub, tmp_path):
    ended = localhub("--root", str(tmp_path), "--port", hub.endpoint.split(":")[-1])
    assert ended.returncode == 1 and "Choose another --port" in ended.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_ends_cleanly(number, tmp_path):
    with running_hub(tmp_path) as hub:
        hub.process.send_signal(number)
        assert hub.process.wait(timeout=20) == 0
        assert "export HF_ENDPOINT=" + hub.endpoint in hub.process.stdout.read()


def test_own_tokens(tmp_path):
    rows = [
        {"token": "t1", "name": "ann", "role": "write", "orgs": ["films", "books"]},
        {"token": "t2", "name": "ben", "role": "read"},
    ]
    with running_hub(tmp_path, tokens=rows) as hub:
        ann = call(hub, "GET", "/api/whoami-v2", token="t1").json
        assert (ann["name"], [org["name"] for org in ann["orgs"]]) == ("ann", ["films", "books"])
        assert call(hub, "GET", "/api/whoami-v2", token="t2").json["name"] == "ben"
        assert call(hub, "GET", "/api/whoami-v2").status == 401
        body = {"name": "x", "organization": "films"}
        assert call(hub, "POST", "/api/repos/create", body, "t1").status == 200
        assert not (tmp_path / "token").exists()
        assert "HF_TOKEN" not in hub.process.stdout.readline()
    run_spaces = ["--run-spaces", "demo/page", "--host", "0.0.0.0"]
    ended = localhub("--root", str(tmp_path), *run_spaces)
    assert "--run-spaces runs any app that a token may push" in ended.stderr
    (tmp_path / "faults.json").write_text('["GET"]')
    assert "A fault must read" in localhub("--root", str(tmp_path)).stderr


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (["t2"], "must be a list of objects"),
        ([{"token": "t", "name": "x", "role": "owner"}], "'read' or 'write'"),
        ([{"token": "t", "name": "a/b", "role": "read"}], "user name"),
        ([{"token": "", "name": "a", "role": "read"}], "ASCII secret"),
    ],
)
def test_malformed_tokens_are_refused(tmp_path, content, problem):
    file = tmp_path / "tokens.json"
    file.touch(0o600)
    file.write_text(json.dumps(content))
    ended = localhub("--root", str(tmp_path))
    assert ended.returncode == 1 and problem in ended.stderr and "Traceback" not in ended.stderr


# Kills


def test_what_killed_servers_left_half_written_is_swept(tmp_path):
    root = tmp_path / "hub"
    with running_hub(root) as hub:
        call(hub, "POST", "/api/repos/create", {"name": "m"})
        hub.process.kill()
        hub.process.wait()
    repo = root / "models/demo/m"
    drafts = [
        *(root / name for name in ("tmp/upload", "tmp/draft/settings.json", "tmp/spaces-x/home/y")),
        *(folder / ".write-x" for folder in (root, repo, repo / "commits", repo / "refs/heads")),
    ]
    with running_hub(root) as first:
        for draft in drafts:
            draft.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text("half")
        with running_hub(root):  # beside another server they may be its own
            assert all(draft.exists() for draft in drafts)
        first.process.kill()
        first.process.wait()
    with running_hub(root) as hub:
        assert not any(draft.exists() for draft in drafts)
        assert [file.name for file in (root / "tmp").iterdir() if file.is_file()] == ["lock"]
        assert call(hub, "GET", "/demo/m/resolve/main/.gitattributes").status == 200


def test_no_space_outlives_a_killed_hub(tmp_path):
    deaf = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    with running_hub(tmp_path, ["--run-spaces", "demo/parent", "demo/deaf"]) as hub:
        repos = [space(hub, name) for name in ("parent", "deaf")]
        for repo, extra in zip(repos, [FAMILY, deaf], strict=True):
            commit(hub, repo, text_file("app.py", extra + APP))
        found = [visit(hub, repo) for repo in repos]
        hub.process.kill()
        hub.process.wait()
    pids = [*found[0]["FAMILY"].split(","), *(environment["PID"] for environment in found)]
    assert len(pids) == 5
    deadline = time.monotonic() + 30
    while any(map(is_alive, pids)):
        assert time.monotonic() < deadline, [pid for pid in pids if is_alive(pid)]
        time.sleep(0.05)


def test_what_is_stored_outlives_the_server(tmp_path):
    with running_hub(tmp_path / "hub") as hub:
        call(hub, "POST", "/api/repos/create", {"name": "m"})
        sha = commit(hub, "models/demo/m", text_file("a", "1")).json["commitOid"]
        stale = tmp_path / "hub" / "tmp" / "stale"
        stale.write_text("left by a killed upload")
        os.utime(stale, (0, 0))
    with running_hub(tmp_path / "hub", ["--verbose"]) as hub:
        assert call(hub, "GET", "/api/models/demo/m").json["sha"] == sha
        assert not stale.exists()


# Faults


def test_faults(tmp_path):
    drop, lose = "POST /api/models/.*/commit/ dropped=drop*1", "POST /api/.*/commit/=lose*1"
    arguments = ["--fault", drop, "--fault", lose, "--fault", "* /api/whoami-v2=500*2"]
    with running_hub(tmp_path, [*arguments, "--free-account"]) as hub:
        statuses = [call(hub, "GET", "/api/whoami-v2").status for _ in range(3)]
        assert statuses == [500, 500, 200]
        assert call(hub, "POST", "/api/repos/create", {"name": "m"}).status == 200
        for summary, kept in (("dropped", 0), ("lost", 1)):
            with pytest.raises((ConnectionError, http.client.HTTPException)):
                commit(hub, "models/demo/m", text_file("a", summary), summary=summary)
            rows = call(hub, "GET", "/api/models/demo/m/commits/main").json
            assert [row["title"] for row in rows].count(summary) == kept
        assert commit(hub, "models/demo/m", text_file("a", "x")).status == 200

        def space_status(name: str, **fields: object) -> int:
            body = {"name": name, "type": "space", **fields}
            return call(hub, "POST", "/api/repos/create", body).status

        assert space_status("a", sdk="gradio") == space_status("a", sdk="docker") == 402
        assert space_status("b", sdk="static") == 200
        assert space_status("c", sdk="gradio", hardware="zero-a10g") == 200

        (tmp_path / "faults.json").write_text('["GET /api/models=403"]')
        refused = call(hub, "GET", "/api/models")
        assert refused.status == 403 and refused.headers["X-Error-Message"]
        (tmp_path / "faults.json").unlink()
        assert call(hub, "GET", "/api/models").status == 200
