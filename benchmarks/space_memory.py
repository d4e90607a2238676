"""Memory and disk of the Space after many uploads, a comparison and a file of 10,000 rows.

Each upload is that of another user, and all of them stay until the end. In: the running app. Out:
its peak memory, and the files that it leaves. `benchmarks.space` calls it.
"""

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import psutil

from benchmarks import REPOSITORY
from space.tabs.batch import FIRST
from space.tabs.upload import NO_COLUMN

UPLOADS, UPLOAD_ROWS = 200, 50
ROWS = 10_000
SENTENCE = "Row {}: the lead is wonderful, the script is dull, and the ending was worth the wait.\n"
SAMPLE_FILE = REPOSITORY / "space" / "sample.csv"
POLL_SECONDS = 0.1
CLOSE_SECONDS = 30  # that the app has to delete the files of users who left


def measure(url: str, pid: int, temporary: Path, own: str, other: str) -> dict[str, Any]:
    """Use the app as its users do.

    Args:
        url: Of the app.
        pid: Of its process.
        temporary: `GRADIO_TEMP_DIR` of the app.
        own: The app's model.
        other: Another model to compare it with.

    Returns:
        `peak_rss_mb` (of the app), `peak_total_mb` (with the worker of the other model),
        `files_left` (of users who have left), `uploads` and `rows`.
    """
    with PeakMemory(pid) as memory, contextlib.ExitStack() as users:
        for number in range(UPLOADS):
            user = users.enter_context(connect(url, f"upload-{number}"))
            user.upload("receive", f"reviews-{number}.csv", _reviews(UPLOAD_ROWS))
        user = users.enter_context(connect(url, "compare"))
        user.upload("receive_1", SAMPLE_FILE.name, SAMPLE_FILE.read_text(encoding="utf-8"))
        user.call("run", own, "", other, "", "", None, "text", "label")
        user = users.enter_context(connect(url, "file"))
        user.upload("receive", "large.csv", _reviews(ROWS))
        user.call("score", None, FIRST, "text", *[NO_COLUMN] * 4)
        # The state is the server's. A browser triggers the first two after the last answer of
        # `score`; a user then downloads each kind of file.
        user.call("show", None)
        user.call("_find_words", None, [])
        for write in ("write", "write_1", "write_2"):  # CSV, Excel, charts
            user.call(write, None, "month", [])
    deadline = time.monotonic() + CLOSE_SECONDS
    while (left := _files(temporary)) and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    return {
        "peak_rss_mb": memory.app_mb,
        "peak_total_mb": memory.total_mb,
        "files_left": len(left),
        "uploads": UPLOADS,
        "rows": ROWS,
    }


class PeakMemory:
    """The largest resident memory of a process while the block runs.

    Attributes:
        app_mb: Of the process alone, in MB.
        total_mb: Of the process and its children.
    """

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._done = Event()
        self._thread = Thread(target=self._watch, daemon=True)
        self.app_mb = self.total_mb = 0.0

    def __enter__(self) -> "PeakMemory":
        """Start measuring."""
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Stop measuring."""
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(POLL_SECONDS):
            app = children = 0
            with contextlib.suppress(psutil.NoSuchProcess):
                app = self._process.memory_info().rss
                children = sum(
                    child.memory_info().rss for child in self._process.children(recursive=True)
                )
            self.app_mb = max(self.app_mb, app / 2**20)
            self.total_mb = max(self.total_mb, (app + children) / 2**20)


class User:
    """A user's session with the page."""

    def __init__(self, client: httpx.Client, session: str) -> None:
        self._client, self._session = client, session
        events = client.get("/config").json()["dependencies"]
        self._ids = {event["api_name"]: event["id"] for event in events}

    def upload(self, event: str, name: str, content: str) -> None:
        """Upload a file and let the page read it."""
        answer = self._client.post("/gradio_api/upload", files={"files": (name, content.encode())})
        (path,) = answer.raise_for_status().json()
        self.call(event, {"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}})

    def call(self, event: str, *data: Any) -> None:
        """Run an event of the page to its end."""
        body = {"data": data, "fn_index": self._ids[event], "session_hash": self._session}
        self._client.post("/gradio_api/queue/join", json=body).raise_for_status()
        query = {"session_hash": self._session}
        with self._client.stream("GET", "/gradio_api/queue/data", params=query) as answer:
            for line in answer.iter_lines():
                message = json.loads(line.removeprefix("data: ") or "{}")
                if message.get("msg") == "process_completed":
                    if not message["success"]:
                        raise SystemExit(f"{event} failed: {message['output']}")
                    return
        raise SystemExit(f"{event} ended without an answer")


@contextlib.contextmanager
def connect(url: str, session: str) -> Iterator[User]:
    """A user who has the page open until the block ends."""
    with httpx.Client(base_url=url, timeout=1_800) as client:
        with client.stream("GET", f"/gradio_api/heartbeat/{session}"):
            yield User(client, session)


def _reviews(rows: int) -> str:
    return "text\n" + "".join(f'"{SENTENCE.format(i).strip()}"\n' for i in range(rows))


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
