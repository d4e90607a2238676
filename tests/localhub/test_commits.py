"""Commits and tags over HTTP."""

import hashlib
import threading
from urllib.parse import quote

import pytest
from hubserver import call
from localhub_wire import commit, ndjson, text_file


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


def test_commit_on_outdated_parent_is_refused(hub, repo):
    head = call(hub, "GET", f"/api/{repo}").json["sha"]
    made = commit(hub, repo, text_file("a", "1"), parentCommit=head).json["commitOid"]
    late = commit(hub, repo, text_file("b", "2"), parentCommit=head)
    assert late.status == 412 and made in late.json["error"]


def test_commit_without_changes_returns_current_commit(hub, repo):
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
def test_invalid_commit_changes_nothing(hub, repo, operations, status):
    before = call(hub, "GET", f"/api/{repo}").json["sha"]
    assert commit(hub, repo, text_file("good", "x"), *operations).status == status
    assert call(hub, "GET", f"/api/{repo}").json["sha"] == before


@pytest.mark.parametrize(
    "body", [b"{}\n", b"not json\n", b'{"key":"header","value":{}}\n', b"\n", b'["key"]']
)
def test_malformed_commit_is_refused(hub, repo, body):
    assert call(hub, "POST", f"/api/{repo}/commit/main", body).status == 400


def test_commit_in_utf8_without_final_newline(hub, repo):
    body = ndjson(("file", {"path": "a", "content": "é", "encoding": "utf-8"})).rstrip()
    assert call(hub, "POST", f"/api/{repo}/commit/main", body).status == 200
    assert call(hub, "GET", f"/{repo.removeprefix('models/')}/resolve/main/a").body == "é".encode()


def test_tags(hub, repo):
    start = call(hub, "GET", f"/api/{repo}").json["sha"]
    made = commit(hub, repo, text_file("a", "1")).json
    tags = f"/api/{repo}/tag"
    assert call(hub, "POST", f"{tags}/{start}", {"tag": "old/x"}).status == 201
    assert call(hub, "POST", f"{tags}/{start}", {"tag": "old/x"}).status == 409
    assert call(hub, "POST", f"{tags}/main", {"tag": "v1"}).status == 201
    refs = call(hub, "GET", f"/api/{repo}/refs?include_prs=1").json
    targets = {row["ref"]: row["targetCommit"] for row in refs["branches"] + refs["tags"]}
    assert targets == {
        "refs/heads/main": made["commitOid"],
        "refs/tags/old/x": start,
        "refs/tags/v1": made["commitOid"],
    }
    assert refs["pullRequests"] == refs["converts"] == []
    for revision in ("old%2Fx", "refs%2Ftags%2Fold%2Fx"):
        assert call(hub, "GET", f"/api/{repo}/revision/{revision}").json["sha"] == start
    assert call(hub, "DELETE", f"{tags}/old%2Fx").status == 204
    assert call(hub, "DELETE", f"{tags}/old%2Fx").status == 404
    for bad in ("refs/pr/1", "a..b", "/a", "a\0", "HEAD", ""):
        assert call(hub, "POST", f"{tags}/main", {"tag": bad}).status == 400
    copied_from = "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"
    assert call(hub, "POST", f"/api/{repo}/tag/main", {"tag": copied_from}).status == 201
    assert call(hub, "GET", f"/api/{repo}/revision/{copied_from}").json["sha"] == made["commitOid"]
    assert call(hub, "POST", f"/api/{repo}/commit/v1", ndjson(text_file("a", "2"))).status == 404


def test_concurrent_commits_are_all_kept(hub, repo):
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


def test_history_is_paged(hub, repo):
    for number in range(51):
        commit(hub, repo, text_file("a", str(number)))
    first = call(hub, "GET", f"/api/{repo}/commits/main")
    assert (len(first.json), first.headers["X-Total-Count"]) == (50, "52")
    rest = call(hub, "GET", first.headers["Link"].split(";")[0].strip("<>"))
    assert [row["title"] for row in rest.json] == ["a change", "initial commit"]
