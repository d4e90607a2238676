"""Invalid requests: each gets an answer with a reason, never a server error."""

import json
from urllib.parse import quote, unquote

import pytest
from hubserver import WRITE, call, running_hub
from localhub_fuzz import ROUTES as FUZZED
from localhub_fuzz import SHA, YAMLS, answer, odd_requests
from localhub_wire import commit, text_file

from localhub.routes import commits, files, info, pages, repos, spaces, xet

MODULES = (commits, files, info, pages, repos, spaces, xet)
LFS = "/NAME.git/info/lfs/objects/batch"


@pytest.mark.parametrize("text", ["%00", "a%00b", "%1b", "%7f", "é", "a" * 60_000], ids=ascii)
def test_error_message_fits_into_header(hub, repo, text):
    """A NUL in X-Error-Message left the client without an answer; so did one of 64 KiB."""
    for method, path, body in [
        ("GET", f"/api/{repo}/revision/{quote(text, safe='%')}", None),
        ("POST", "/api/repos/create", {"name": "x", "organization": unquote(text) * 2}),
        ("PUT", f"/api/{repo}/settings", {"gated": unquote(text) * 2}),
    ]:
        refused = call(hub, method, path, body)
        assert refused.status in (400, 403, 404)
        assert len(refused.headers["X-Error-Message"]) <= 1000


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        ("repos/create", {"name": ["x"]}, "name: Input should be a valid string, got ['x']"),
        ("repos/create", b'{"name": "\\ud83d"}', "Invalid JSON"),
        ("repos/create", b"[" * 100_000, "recursion limit"),
        ("repos/create", b'{"x": ' + b"9" * 5000 + b"}", "number out of range"),
        ("REPO/preupload/main", {"files": [{"path": "a"}]}, "files.0.size: Field required"),
        (LFS, {"operation": "upload", "objects": "x"}, "Input should be a valid array"),
        (LFS, {"operation": "upload", "objects": [3]}, "objects.0: Input should be an object"),
        (LFS, {"operation": ["upload"]}, "operation: Input should be a valid string"),
        ("REPO/lfs-verify", {"oid": "a" * 64, "size": "x"}, "Input should be a valid integer"),
        ("REPO/lfs-verify", {"oid": "a" * 64, "size": 10**30}, "size: Input should be less than"),
        ("REPO/commit/main", b'{"key": "header", "value": 3}', "value: Input should be an object"),
    ],
)  # fmt: skip
def test_invalid_body_is_refused_with_reason(hub, repo, path, body, reason):
    name = repo.removeprefix("models/")
    path = path.replace("NAME", name) if path == LFS else f"/api/{path.replace('REPO', repo)}"
    refused = call(hub, "POST", path, body)
    assert refused.status == 400 and reason in refused.json["error"], refused.json


@pytest.mark.parametrize("front", YAMLS, ids=range(len(YAMLS)))
def test_no_front_matter_causes_server_error(hub, repo, front):
    readme = f"---\n{front}\n---\n# x\n"
    checked = call(hub, "POST", "/api/validate-yaml", {"content": readme})
    assert checked.status in (200, 400)
    if checked.status == 400:
        assert checked.json["errors"]
    assert commit(hub, repo, text_file("README.md", readme)).status == 200
    assert call(hub, "GET", f"/api/{repo}").json["cardData"] is not None


@pytest.mark.parametrize("number", ["9" * 5000, "²", "-1", "1e3", "", "x"], ids=ascii)
@pytest.mark.parametrize(
    "path", ["/api/models?limit=", "/api/REPO/tree/main?limit=", "/api/REPO/commits/main?p="]
)
def test_invalid_number_in_query_is_refused(hub, repo, path, number):
    refused = call(hub, "GET", path.replace("REPO", repo) + quote(number))
    assert refused.status == 400 and "must be a whole number" in refused.json["error"]


def test_odd_requests_cover_all_routes():
    targets = [(method, path.partition("?")[0]) for method, path, _ in FUZZED]
    targets = [(method, path.replace("SITE", "datasets")) for method, path in targets]
    for route in [route for module in MODULES for route in module.ROUTES]:
        kinds = ("models", "datasets", "spaces")
        assert any(
            route.path_regex.match(path.replace("KIND", kind)) and method in route.methods
            for method, path in targets
            for kind in kinds
        ), route


def test_odd_requests_get_well_formed_answers(tmp_path):
    """All routes and methods, with wrong values, types, bytes and headers."""
    with open(tmp_path / "stderr", "w+") as stderr, running_hub(stderr=stderr) as hub:
        for kind in ("model", "dataset", "space"):
            fields = {"name": "fuzz", "type": kind, "sdk": "gradio"}
            assert call(hub, "POST", "/api/repos/create", fields).status == 200
            commit(hub, f"{kind}s/demo/fuzz", text_file("a.txt", "hello"), text_file("sub/b", "x"))
        objects = {"operation": "upload", "objects": [{"oid": SHA, "size": 3}]}
        batch = call(hub, "POST", "/demo/fuzz.git/info/lfs/objects/batch", objects).json
        href = batch["objects"][0]["actions"]["upload"]["href"]
        xet_token = call(hub, "GET", "/api/models/demo/fuzz/xet-write-token/main").json
        grants = {"lfs": href.partition("grant=")[2], "xet": xet_token["accessToken"]}
        for request in odd_requests(18, 700, WRITE, grants):
            status, body = answer(hub.endpoint, request)
            # 501 is what is not imitated.
            assert 200 <= status < 500 or status == 501, request[:500]
            if status >= 400 and body.startswith(b"{"):
                assert json.loads(body), request[:500]
        stderr.seek(0)
        assert "Traceback" not in stderr.read()
