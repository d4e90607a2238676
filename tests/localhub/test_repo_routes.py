"""Repositories over HTTP: creation, metadata, lists, removal, and what is missing."""

import pytest
from hubserver import ADMIN, READ, call
from localhub_wire import commit, ndjson, text_file


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
def test_create_rejects_invalid_fields(hub, fields, word):
    answer = call(hub, "POST", "/api/repos/create", fields, ADMIN)
    assert answer.status in (400, 403) and word in answer.json["error"]


@pytest.mark.parametrize("body", [b"{", b"[1]"])
def test_body_must_be_an_object(hub, body):
    answer = call(hub, "POST", "/api/repos/create", body)
    assert answer.status == 400 and "The body must be" in answer.json["error"]


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
def test_missing_repositories_and_routes(hub, path, code):
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


def test_unsupported_requests_get_501(hub, repo):
    answer = call(hub, "POST", "/api/repos/move", {})
    assert answer.status == 501 and "doesn't imitate POST /api/repos/move" in answer.json["error"]
    assert call(hub, "POST", f"/api/{repo}/discussions", {"title": "x"}).status == 501
    body = ndjson(text_file("a", "1"))
    answer = call(hub, "POST", f"/api/{repo}/commit/main?create_pr=1", body)
    assert answer.status == 501 and "pull requests" in answer.json["error"]


def test_info_and_listing(hub, repo):
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


def test_delete_repository(hub, repo):
    body = {"name": repo.split("/")[-1]}
    assert call(hub, "DELETE", "/api/repos/delete", body, READ).status == 403
    assert call(hub, "DELETE", "/api/repos/delete", body).status == 200
    gone = call(hub, "DELETE", "/api/repos/delete", body)
    assert (gone.status, gone.code) == (404, "RepoNotFound")
