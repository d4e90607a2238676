"""Protection against strangers: private tokens, the Host check, and pages of other sites."""

from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from hubserver import call, running_hub
from hypothesis import given, settings
from hypothesis import strategies as st
from localhub_fuzz import ROUTES, answer
from localhub_wire import localhub


def secrets_of(root: Path) -> dict[str, str]:
    return {
        name: (root / name).read_text().strip() for name in ("token", "token-read", "token-admin")
    }


def test_each_root_has_random_private_tokens(tmp_path):
    all_secrets = []
    for folder in ("one", "two", "one"):
        root = tmp_path / folder
        with running_hub(root, tokens=None) as hub:
            secrets = secrets_of(root)
            all_secrets.append(secrets)
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
            announcement = [hub.process.stdout.readline() for _ in range(2)][1]
            assert announcement == f"export HF_TOKEN=$(cat {root}/token)  # readable by you alone\n"
            arguments = " ".join(psutil.Process(hub.process.pid).cmdline())
            assert not any(secret in arguments + announcement for secret in secrets.values())
        for file in root.iterdir():
            assert file.is_dir() or file.stat().st_mode & 0o077 == 0, file
    assert all_secrets[0] == all_secrets[2]
    assert len({*all_secrets[0].values(), *all_secrets[1].values()}) == 6
    assert all(len(secret) > 40 for secret in all_secrets[0].values())


@pytest.mark.parametrize("name", ["token", "tokens.json"])
def test_secret_readable_by_others_is_refused(tmp_path, name):
    (tmp_path / name).write_text("[]")
    (tmp_path / name).chmod(0o644)
    ended = localhub("--root", str(tmp_path))
    assert ended.returncode == 1
    assert f"its mode is 644. Run: chmod 600 {tmp_path / name}" in ended.stderr


OWN_HOSTS = ["127.0.0.1", "127.0.0.1:PORT", "localhost", "LOCALHOST:PORT", "[::1]", "[::1]:PORT"]
FOREIGN_HOSTS = [
    "evil.test", "evil.test:PORT", "localhost.evil.test", "127.0.0.1.evil.test:PORT", "", "\xe9",
    "10.0.0.1", "0.0.0.0", "[::]", "::1", "[::1", "127.0.0.1:PORT:PORT", "127.0.0.1:x", "0x7f.1",
    "evil.test#@127.0.0.1", "2130706433", "127.0.0.1, evil.test", "[::ffff:10.0.0.1]", "localhost.",
    "127.0.0.1@evil.test",
]  # fmt: skip


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.sampled_from(OWN_HOSTS + FOREIGN_HOSTS), st.sampled_from(ROUTES))
def test_only_own_hosts_are_answered(hub, name, route):
    method, path, body = route
    path = path.replace("KIND", "models").replace("SITE", "datasets")
    host = name.replace("PORT", str(urlsplit(hub.endpoint).port))
    answer = call(hub, method, path, body if isinstance(body, dict) else None, Host=host)
    assert (answer.status == 421) == (name in FOREIGN_HOSTS)
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
def test_host_check_applies_to_every_request_form(hub, head):
    assert answer(hub.endpoint, head.encode())[0] == 421


def test_page_of_another_site_changes_nothing(hub, repo):
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
