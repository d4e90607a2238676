"""Tokens and rights: who may do what."""

import json

import pytest
from hubserver import ADMIN, READ, WRITE, Answer, call, running_hub
from localhub_wire import localhub


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
def test_whoami_requires_a_known_token(hub, token):
    assert call(hub, "GET", "/api/whoami-v2", token=token).status == 401


def test_create_requires_write_access(hub):
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


def test_private_repository_is_hidden(hub, repo):
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


def test_gated_repository_shows_metadata_but_not_files(hub):
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


def test_writes_require_write_role(hub, repo):
    for method, path in (
        ("POST", "preupload/main"),
        ("POST", "commit/main"),
        ("POST", "tag/main"),
        ("DELETE", "tag/v1"),
        ("PUT", "settings"),
        ("GET", "xet-write-token/main"),
        ("GET", "auth-check/write"),
    ):
        assert call(hub, method, f"/api/{repo}/{path}", {}, None).status == 401
        assert call(hub, method, f"/api/{repo}/{path}", {}, READ).status == 403
    batch = f"/{repo.removeprefix('models/')}.git/info/lfs/objects/batch"
    assert call(hub, "POST", batch, {"operation": "upload"}, READ).status == 403


def test_custom_tokens(tmp_path):
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
