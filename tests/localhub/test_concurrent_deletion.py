"""Repositories that are deleted and recreated during other requests."""

import fcntl
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from hubserver import RunningHub, call, running_hub
from localhub_wire import commit, text_file

from localhub.commits import read_commit
from localhub.errors import RepoGone
from localhub.hub import Hub

KINDS = ["models", "datasets", "spaces"]
LISTS = [
    "/",
    "/api/KIND",
]
READS = [
    "/api/KIND/demo/x",
    "/api/KIND/demo/x?blobs=true",
    "/api/KIND/demo/x/revision/main",
    "/api/KIND/demo/x/tree/main?recursive=true",
    "/api/KIND/demo/x/commits/main",
    "/api/KIND/demo/x/refs?include_prs=1",
    "/api/KIND/demo/x/auth-check/write",
    "/api/KIND/demo/x/xet-write-token/main",
    "/SITE/demo/x/resolve/main/.gitattributes",
    "/SITE/demo/x/raw/main/README.md",
    "/SITE/demo/x",
    "/SITE/demo/x/tree/main",
    "/api/spaces/demo/x/runtime",
    "/api/spaces/demo/x/logs/run",
    "/api/spaces/demo/x/variables",
]


def in_kind(path: str, kind: str) -> str:
    site = "" if kind == "models" else f"/{kind}"
    return path.replace("KIND", kind).replace("/SITE", site)


def make(hub: RunningHub, kind: str, name: str = "x") -> int:
    fields = {"name": name, "type": kind[:-1], "sdk": "gradio"}
    return call(hub, "POST", "/api/repos/create", fields).status


def delete(hub: RunningHub, kind: str) -> int:
    body = {"name": "x", "type": kind[:-1]}
    return call(hub, "DELETE", "/api/repos/delete", body).status


def recreate_repeatedly(hub: RunningHub, kind: str, rounds: int) -> None:
    """Delete and recreate a repository, with a commit, a tag and other settings."""
    for _ in range(rounds):
        assert delete(hub, kind) in (200, 404)
        assert make(hub, kind) in (200, 404, 409)
        app = text_file("app.py", "print('in the log')")
        repo = f"/api/{kind}/demo/x"
        assert commit(hub, f"{kind}/demo/x", app).status in (200, 404)
        assert call(hub, "POST", f"{repo}/tag/main", {"tag": "b"}).status in (201, 404, 409)
        assert call(hub, "PUT", f"{repo}/settings", {"private": False}).status in (200, 404)
        assert call(hub, "DELETE", f"{repo}/tag/b").status in (204, 404)


def read_repeatedly(hub: RunningHub, kind: str, rounds: int) -> None:
    for _ in range(rounds):
        for path in LISTS:
            answer = call(hub, "GET", in_kind(path, kind))
            assert answer.status == 200 and b"demo/stays" in answer.body, path
        for path in READS:
            answer = call(hub, "GET", in_kind(path, kind))
            assert answer.status in (200, 404), (path, answer.body)
            if path.endswith("include_prs=1") and answer.status == 200:
                assert [row["name"] for row in answer.json["branches"]][-1:] == ["main"]


def test_concurrent_deletion_causes_404_not_500(tmp_path):
    with (
        open(tmp_path / "stderr", "w+") as stderr,
        running_hub(arguments=["--run-spaces", "demo/x"], stderr=stderr) as hub,
        ThreadPoolExecutor(12) as pool,
    ):
        for kind in KINDS:
            assert make(hub, kind, "stays") == 200
        writers = [("models", 60), ("models", 60), ("datasets", 60), ("spaces", 6), ("spaces", 6)]
        work = [partial(recreate_repeatedly, hub, kind, rounds) for kind, rounds in writers]
        work += [partial(read_repeatedly, hub, kind, 15) for kind in KINDS * 2]
        for done in [pool.submit(job) for job in work]:
            done.result()
        for kind in KINDS:  # and no name is lost
            assert delete(hub, kind) in (200, 404)
            assert make(hub, kind) == 200
            assert commit(hub, f"{kind}/demo/x", text_file("a", "b")).status == 200
        stderr.seek(0)
        assert "Traceback" not in stderr.read()


SETTINGS = {"visibility": "public", "gated": False}


def test_deleted_repository_raises_repo_gone(tmp_path):
    """The repository is deleted between its lookup and its use."""
    hub = Hub(tmp_path)
    repo = hub.create("models", "demo/x", "demo", SETTINGS)
    old = repo.revision("main").sha
    hub.remove(repo)
    for use in [
        lambda: repo.settings,
        lambda: repo.private,
        lambda: repo.refs("heads"),
        lambda: repo.refs("tags"),
        lambda: repo.resolve("main"),
        lambda: repo.resolve(old),
        lambda: repo.revision("v1"),
        lambda: list(repo.history("main")),
        lambda: repo.edit_settings().__enter__(),
        lambda: repo.add_tag("v2", old),
        lambda: repo.remove_tag("v2"),
        lambda: repo.add_commit([], title="t", author="a"),
        lambda: hub.remove(repo),
    ]:
        with pytest.raises(RepoGone, match="demo/x was deleted or moved"):
            use()
    assert not repo.folder.exists()
    hub.create("models", "demo/x", "other", SETTINGS)
    read_commit.cache_clear()
    with pytest.raises(RepoGone):
        repo.commit(old)


@pytest.mark.parametrize("again", [False, True], ids=["deleted", "deleted and made anew"])
def test_write_waiting_for_lock_does_not_recreate_repository(tmp_path, monkeypatch, again):
    hub = Hub(tmp_path)
    repo = hub.create("models", "demo/x", "demo", SETTINGS)
    sha = repo.resolve("main")
    waits = threading.Event()
    flock = fcntl.flock

    def tell(*arguments: int) -> None:
        if threading.current_thread() is not threading.main_thread():
            waits.set()
        flock(*arguments)

    monkeypatch.setattr(fcntl, "flock", tell)
    with ThreadPoolExecutor(1) as pool:
        with repo.locked():
            waiting = pool.submit(repo.add_tag, "v2", sha)
            assert waits.wait(30)
            repo.folder.rename(tmp_path / "moved")
            if again:
                hub.create("models", "demo/x", "demo", SETTINGS)
        with pytest.raises(RepoGone):
            waiting.result()
    assert repo.folder.exists() == again
    assert not again or list(repo.refs("heads")) == ["main"]
