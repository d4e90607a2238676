"""What a killed server leaves: complete revisions and no partial files."""

import http.client
import os
import signal
import threading
import time

from hubserver import RunningHub, call, running_hub
from localhub_wire import commit, text_file


def test_killed_server_leaves_a_complete_revision(tmp_path):
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


def test_leftovers_of_killed_servers_are_removed(tmp_path):
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


def test_repositories_survive_restart(tmp_path):
    with running_hub(tmp_path / "hub") as hub:
        call(hub, "POST", "/api/repos/create", {"name": "m"})
        sha = commit(hub, "models/demo/m", text_file("a", "1")).json["commitOid"]
        stale = tmp_path / "hub" / "tmp" / "stale"
        stale.write_text("left by a killed upload")
        os.utime(stale, (0, 0))
    with running_hub(tmp_path / "hub", ["--verbose"]) as hub:
        assert call(hub, "GET", "/api/models/demo/m").json["sha"] == sha
        assert not stale.exists()
