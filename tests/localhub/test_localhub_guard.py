"""The localhub lets no stranger in: its tokens, its names, and pages of other sites."""

from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from hubserver import running_hub
from hypothesis import given, settings
from hypothesis import strategies as st
from localhub_fuzz import ROUTES, answer
from localhub_wire import call, localhub


def secrets_of(root: Path) -> dict[str, str]:
    return {
        name: (root / name).read_text().strip() for name in ("token", "token-read", "token-admin")
    }


def test_each_root_has_random_tokens_that_its_owner_alone_can_read(tmp_path):
    found = []
    for folder in ("one", "two", "one"):
        root = tmp_path / folder
        with running_hub(root, tokens=None) as hub:
            secrets = secrets_of(root)
            found.append(secrets)
            names = {
                name: call(hub, "GET", "/api/whoami-v2", token=secret).json["name"]
                for name, secret in secrets.items()
            }
            assert names == {"token": "demo", "token-read": "demo", "token-admin": "admin"}
            assert call(hub, "GET", "/api/whoami-v2", token="hf_localhub_write").status == 401
            body = {"name": "x", "organization": "stanfordnlp"}
            create = ("POST", "/api/repos/create")
            assert call(hub, *create, body, secrets["token-read"]).status == 403
            assert call(hub, *create, {"name": "x"}, secrets["token"]).status in (200, 409)
            assert call(hub, *create, body, secrets["token"]).status == 403
            assert call(hub, *create, body, secrets["token-admin"]).status in (200, 409)
            said = [hub.process.stdout.readline() for _ in range(2)][1]
            assert said == f"export HF_TOKEN=$(cat {root}/token)  # readable by you alone\n"
            arguments = " ".join(psutil.Process(hub.process.pid).cmdline())
            assert not any(secret in arguments + said for secret in secrets.values())
        for file in root.iterdir():
            assert file.is_dir() or file.stat().st_mode & 0o077 == 0, file
    assert found[0] == found[2]
    assert len({*found[0].values(), *found[1].values()}) == 6
    assert all(len(secret) > 40 for secret in found[0].values())


@pytest.mark.parametrize("name", ["token", "tokens.json"])
def test_a_secret_that_others_can_read_is_refused(tmp_path, name):
    (tmp_path / name).write_text("[]")
    (tmp_path / name).chmod(0o644)
    ended = localhub("--root", str(tmp_path))
    assert ended.returncode == 1
    assert f"its mode is 644. Run: chmod 600 {tmp_path / name}" in ended.stderr


NAMES_OF_US = ["127.0.0.1", "127.0.0.1:PORT", "localhost", "LOCALHOST:PORT", "[::1]", "[::1]:PORT"]
NAMES_OF_OTHERS = [
    "evil.test", "evil.test:PORT", "localhost.evil.test", "127.0.0.1.evil.test:PORT", "", "\xe9",
    "10.0.0.1", "0.0.0.0", "[::]", "::1", "[::1", "127.0.0.1:PORT:PORT", "127.0.0.1:x", "0x7f.1",
    "evil.test#@127.0.0.1", "2130706433", "127.0.0.1, evil.test", "[::ffff:10.0.0.1]", "localhost.",
    "127.0.0.1@evil.test",
]  # fmt: skip


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.sampled_from(NAMES_OF_US + NAMES_OF_OTHERS), st.sampled_from(ROUTES))
def test_the_hub_answers_to_no_name_but_its_own(hub, name, route):
    method, path, body = route
    path = path.replace("KIND", "models").replace("SITE", "datasets")
    host = name.replace("PORT", str(urlsplit(hub.endpoint).port))
    answer = call(hub, method, path, body if isinstance(body, dict) else None, Host=host)
    assert (answer.status == 421) == (name in NAMES_OF_OTHERS)
    if answer.status == 421 and method != "HEAD":
        assert "This server is called 127.0.0.1, localhost or [::1]" in answer.json["error"]


@pytest.mark.parametrize(
    "head",
    [
        "GET /api/models HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: evil.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        "GET http://127.0.0.1/ HTTP/1.1\r\nHost: evil.test\r\n\r\n",
        "CONNECT evil.test:80 HTTP/1.1\r\nHost: evil.test\r\n\r\n",
    ],
)
def test_no_form_of_a_request_gets_around_the_name(hub, head):
    assert answer(hub.endpoint, head.encode())[0] == 421


def test_a_page_of_another_site_changes_nothing(hub, repo):
    own = {"Origin": hub.endpoint, "Sec-Fetch-Site": "same-origin"}
    other = [
        {"Origin": "http://evil.test"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:7860"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ]
    for method, path, body in ROUTES:
        path = path.replace("KIND", "models").replace("SITE", "datasets")
        for headers in other if method != "GET" else []:
            refused = call(hub, method, path, body if isinstance(body, dict) else None, **headers)
            assert refused.status == 403 and "another site" in refused.json["error"]
    new = {"name": "of-a-page"}
    assert call(hub, "POST", "/api/repos/create", new, **own).status == 200
    assert call(hub, "GET", f"/api/{repo}", **other[0]).status == 200
